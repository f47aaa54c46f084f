"""Selection networks on disk: one safetensors file, the recipe in its header; nothing in it is run."""

from __future__ import annotations

import json
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save

from agents.importance.network import SelectionNetwork
from agents.importance.training import ImportanceConfig
from dmoe_gym.dmoe.inference import inference_scenario
from dmoe_gym.files import write_whole

FORMAT = "dmoe_gym.importance.SelectionNetwork/1"


def build(config: ImportanceConfig) -> SelectionNetwork:
    """An untrained network of the recipe's sizes."""
    system = inference_scenario(config.scenario)
    return SelectionNetwork(system.num_layers, system.num_states, system.num_experts, config.width)


def save_network(path: Path, config: ImportanceConfig, network: SelectionNetwork) -> None:
    """Write the file whole or not at all."""
    header = {"model": json.dumps({"format": FORMAT, "config": config.model_dump()}, sort_keys=True)}
    write_whole(path, save({name: tensor.contiguous() for name, tensor in network.state_dict().items()}, header))


def load_network(path: Path) -> SelectionNetwork:
    """The network of a file.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: one line, for a damaged or foreign file, or weights that do not fit the recipe.
    """
    if not path.is_file():
        raise FileNotFoundError(f"path = {str(path)!r}: no such file")
    try:
        with safe_open(path, framework="pt") as stored:
            metadata = stored.metadata() or {}
            tensors = {name: stored.get_tensor(name) for name in stored.keys()}  # noqa: SIM118  (not a dict)
        header = json.loads(metadata.get("model", "{}"))
        if header.get("format") != FORMAT:
            raise ValueError(f"format is {header.get('format')!r}, valid is {FORMAT!r}")
        network = build(ImportanceConfig(**header["config"]))
        network.load_state_dict(tensors)
        if not all(torch.isfinite(tensor).all() for tensor in tensors.values()):
            raise ValueError("holds numbers that are not finite")
    except (SafetensorError, KeyError, TypeError, ValueError, RuntimeError) as error:
        raise ValueError(f"path = {str(path)!r}: {' '.join(str(error).split())}") from None
    return network.eval()

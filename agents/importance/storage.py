"""Selection networks on disk; nothing in a file is run."""

from __future__ import annotations

from pathlib import Path

import torch

from agents.importance.network import SelectionNetwork
from agents.importance.training import ImportanceConfig
from dmoe_gym.dmoe.inference import inference_scenario
from dmoe_gym.io.files import write_whole
from dmoe_gym.io.model_file import model_bytes, read_model_file

FORMAT = "dmoe_gym.importance.SelectionNetwork/3"


def build(config: ImportanceConfig) -> SelectionNetwork:
    """An untrained network of the recipe's sizes."""
    system = inference_scenario(config.scenario)
    return SelectionNetwork(system.num_layers, system.num_states, system.num_experts, config.width, config.folds)


def save_network(path: Path, config: ImportanceConfig, network: SelectionNetwork) -> None:
    """Write the file whole or not at all."""
    arrays = {name: tensor.numpy() for name, tensor in network.state_dict().items()}
    write_whole(path, model_bytes(FORMAT, config.model_dump(mode="json"), arrays))


def load_network(path: Path) -> tuple[ImportanceConfig, SelectionNetwork]:
    """The recipe and the network of a file.

    Raises:
        FileNotFoundError, ValueError: as `read_model_file`.
        ValueError: one line, for weights that do not fit the recipe.
    """
    fields, arrays = read_model_file(path, FORMAT)
    try:
        config = ImportanceConfig(**fields)
        network = build(config)
        network.load_state_dict({name: torch.from_numpy(array) for name, array in arrays.items()})
    except (TypeError, ValueError, RuntimeError) as error:
        raise ValueError(f"path = {str(path)!r}: {' '.join(str(error).split())}") from None
    return config, network.eval()

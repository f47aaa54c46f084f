"""Shipped weights: a trained policy's tensors, its recipe and a card, from which it is rebuilt without running code.

A folder `NAME` holds `policy.safetensors`, `recipe.yaml`, `manifest.json` (digests of both, provenance, results) and
`README.md`, the card.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from stable_baselines3.common.base_class import BaseAlgorithm
from torch import Tensor

from agents.config import NetworkKind, TrainingConfig, dump_config, load_config
from agents.run_folder import (
    PROVENANCE,
    STATISTICS,
    RunFolder,
    checkpoint_steps,
    load_normalization,
    normalization_tensors,
    read_status,
)
from dmoe_gym.evaluation import Row, charted_means, line_up_of
from dmoe_gym.evaluation.statistics import Interval
from dmoe_gym.io.files import read_bytes, read_json, read_tensors, tensor_bytes, write_json, write_whole

TENSORS, RECIPE, MANIFEST, CARD = "policy.safetensors", "recipe.yaml", "manifest.json", "README.md"
FORMAT = 1


def is_export(path: Path) -> bool:
    """Whether a folder holds shipped weights, whole or not."""
    return any((path / name).is_file() for name in (TENSORS, MANIFEST))


def policy_tensors(model: BaseAlgorithm) -> dict[str, Tensor]:
    """The policy's parameters and buffers, and running statistics of normalization; optimizers are left behind."""
    tensors = {name: tensor.detach().clone().contiguous() for name, tensor in model.policy.state_dict().items()}
    return {**tensors, **normalization_tensors(model)}


def export_run(
    run: Path, to: Path, model: BaseAlgorithm, references: Sequence[Row], *, overwrite: bool = False
) -> Path:
    """Write the policy of a finished run into `to/NAME`, NAME being the recipe's.

    Args:
        run: the run's folder.
        to: root of the exports.
        model: the run's learner with its tensors.
        references: rows of the line-up on the run's held-out episodes, for the card.
        overwrite: replace what an earlier export wrote.

    Raises:
        ValueError: if the run is unfinished, or the target is there and `overwrite` is False.
    """
    folder = RunFolder(run)
    config = load_config(folder.config_file)
    steps = checkpoint_steps(folder.checkpoint_file)
    if not folder.is_finished(config):
        raise ValueError(
            f"{run}: has {steps} of {config.total_timesteps} steps behind it, or no evaluation of the last; "
            "valid are finished runs"
        )
    name, _, seed = run.resolve().name.rpartition("-seed")
    target = to / (name or run.resolve().name)
    if is_export(target) and not overwrite:
        raise ValueError(f"{target}: holds weights already; --overwrite replaces them")
    tensors = tensor_bytes({"format": "pt"}, {name: each.numpy() for name, each in policy_tensors(model).items()})
    recipe = dump_config(config).encode()
    evaluations = folder.evaluations(config)
    status = read_status(run)
    manifest = {
        "format": FORMAT,
        "name": target.name,
        "seed": int(seed),
        "steps": steps,
        "sha256": {TENSORS: _digest(tensors), RECIPE: _digest(recipe)},
        "provenance": read_json(read_bytes(run / PROVENANCE, "provenance"), str(run / PROVENANCE)),
        "cpu_minutes": float(f"{status.cpu_seconds / 60:.2g}") if status else None,
        "results": _results([row for row in evaluations if row["step"] == evaluations[-1]["step"]], references, config),
    }
    write_whole(target / TENSORS, tensors)
    write_whole(target / RECIPE, recipe)
    write_json(target / MANIFEST, manifest)
    write_whole(target / CARD, card(config, manifest, sum(each.numel() for each in model.policy.parameters())))
    return target


def read_export(path: Path) -> tuple[TrainingConfig, dict[str, Tensor]]:
    """The recipe and the tensors of shipped weights; nothing in the files can run code.

    Raises:
        ValueError: naming the file that is missing, damaged or does not belong to the others.
        OSError: if one cannot be read.
    """
    for name in (TENSORS, RECIPE, MANIFEST):
        if not (path / name).is_file():
            raise ValueError(f"{path}: holds no whole weights, {name} is missing")
    try:
        manifest = read_json(read_bytes(path / MANIFEST, "manifest"), "manifest")
        digests = manifest["sha256"]
        known = manifest["format"] == FORMAT and {TENSORS, RECIPE} <= set(digests)
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(f"{path / MANIFEST}: is damaged ({error})") from None
    if not known:
        raise ValueError(f"{path / MANIFEST}: format = {manifest['format']!r}, valid is {FORMAT}")
    for name in (TENSORS, RECIPE):
        if _digest((path / name).read_bytes()) != digests[name]:
            raise ValueError(f"{path / name}: is damaged or of another export, its digest differs from {MANIFEST}'s")
    _, arrays = read_tensors(path / TENSORS, "weights")
    return load_config(path / RECIPE), {name: torch.from_numpy(array) for name, array in arrays.items()}


def load_tensors(model: BaseAlgorithm, tensors: dict[str, Tensor], source: Path) -> None:
    """Put shipped tensors into a learner's policy.

    Raises:
        ValueError: in one line, if names or shapes differ from the policy's.
    """
    statistics = {name: tensor for name, tensor in tensors.items() if name.startswith(f"{STATISTICS}.")}
    try:
        load_normalization(model, statistics)
    except ValueError as error:
        raise ValueError(f"{source}: does not fit the recipe, {error}") from None
    tensors = {name: tensor for name, tensor in tensors.items() if name not in statistics}
    wanted = model.policy.state_dict()
    odd = sorted(set(wanted) ^ set(tensors))
    if odd:
        raise ValueError(f"{source}: does not fit the recipe, {odd[0]} is in only one of them")
    for name, tensor in tensors.items():
        if tensor.shape != wanted[name].shape or tensor.dtype != wanted[name].dtype:
            raise ValueError(
                f"{source}: does not fit, {name} is {tensor.dtype} {tuple(tensor.shape)}, "
                f"valid is {wanted[name].dtype} {tuple(wanted[name].shape)}"
            )
    model.policy.load_state_dict(tensors, strict=True)


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def _results(rows: Sequence[Row], references: Sequence[Row], config: TrainingConfig) -> dict[str, Any]:
    """Means on held-out episodes, beside the bound's and the best analytic scheduler's on the same ones."""
    seeds = {row["seed"] for row in rows}
    line_up = line_up_of(config.env_id, config.scenario, **config.overrides)
    costs: dict[str, list[float]] = {}
    for row in references:
        if row["seed"] in seeds:
            costs.setdefault(row["policy"], []).append(row["cost"])
    means = {name: float(np.mean(values)) for name, values in costs.items() if len(values) == len(seeds)}
    analytic = {name: mean for name, mean in means.items() if name in line_up.policies}
    strongest = min(analytic, key=lambda name: analytic[name], default=None)
    interval = Interval.of([row["cost"] for row in rows])
    return {
        "episodes": len(rows),
        "first_episode": min(seeds),
        # JSON has no word for what one episode does not say
        "cost_interval": [interval.low, interval.high] if len(rows) > 1 else None,
        **charted_means(rows),
        "bound": {"name": line_up.optimum, "cost": means.get(line_up.optimum)},
        "strongest_analytic": {"name": strongest, "cost": analytic[strongest] if strongest else None},
    }


def card(config: TrainingConfig, manifest: dict[str, Any], parameters: int) -> str:
    """The model card, in Markdown."""
    results, provenance = manifest["results"], manifest["provenance"]
    packages = ", ".join(f"{name} {number}" for name, number in provenance["packages"].items())
    overrides = f" with {config.overrides}" if config.overrides else ""
    trained = f"{manifest['steps']:,} environment steps"
    if config.imitation is not None:
        trained += f", the first {config.imitation.steps:,} of them imitating {config.imitation.teacher}"
    if manifest["cpu_minutes"] is not None:
        trained += f"; {manifest['cpu_minutes']} minutes of one CPU core"
    beside = "".join(
        f"\n| {results[key]['name']} | {results[key]['cost']:.4f} |"
        for key in ("strongest_analytic", "bound")
        if results[key]["cost"] is not None
    )
    cost = Interval(results["cost"], *(results["cost_interval"] or (float("nan"),) * 2))
    which = "the first" if manifest["seed"] == config.seeds[0] else "picked by whoever exported it"
    sizes = (
        "The network has no fixed sizes: other numbers of experts, hidden states and subcarriers are possible "
        "(`--scenario`), at a cost that is measured and not promised."
        if isinstance(config.network, NetworkKind)
        else "The network's sizes are fixed: it acts in environments of the trained sizes only."
    )
    return f"""# {manifest["name"]}

**What.** A scheduler for `{config.env_id}`, scenario `{config.scenario or "default"}`{overrides}: {config.algorithm},
network `{config.model_dump(mode="json")["network"]}`, {parameters:,} parameters. It acts on observations alone.

**How trained.** {trained}; training seed {manifest["seed"]}, {which} of the recipe's {len(config.seeds)}.
Recipe: [recipe.yaml]({RECIPE}). Command:
`{provenance["command"]}` at commit `{provenance["git_commit"]}`. {packages}, Python {provenance["python"]}.

**On what.** Synthetic episodes of the scenario, training seeds below 1,000,000.

**Measured** on {results["episodes"]} held-out episodes (seeds from {results["first_episode"]:,}), mean cost per round:

| scheduler | cost |
| --- | ---: |
| these weights | {cost:.4f} |{beside}

Brackets: 95 % bootstrap interval over episodes; one training seed says nothing of the spread over seeds, which
docs/results.md has.

**Limits.** {sizes} Gate scores and channels are synthetic; nothing is known of real models or radios. Costs follow this
project's reading of the papers' abstracts.

**Use.** `python -m agents evaluate {"agents/weights/" + manifest["name"]}`. Only tensors, YAML and JSON are read.
"""

"""Accuracy against energy in DMoE inference: which schedulers are compared, chosen on validation, judged on test."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from dmoe_gym.dmoe.inference import InferenceConfig, inference_scenario
from dmoe_gym.dmoe.policies import JointPolicy
from dmoe_gym.dmoe.schedulers.rounds import JESA, Random, TopK
from dmoe_gym.dmoe.schedulers.scheduler import Scheduler
from dmoe_gym.evaluation.run import Row, evaluate
from dmoe_gym.evaluation.statistics import Interval, by_policy, percent_change
from dmoe_gym.io.files import read_csv, write_csv
from dmoe_gym.policy import Policy
from dmoe_gym.registration import create_core

ENV_ID = "DMoE-Inference-Joint-v0"
Z_GRID = (0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0)
GAMMA_GRID = (1.0, 0.9, 0.8, 0.7, 0.6)
ENERGY, ACCURACY = "energy_per_answer_mJ", "accuracy"


@dataclass(frozen=True)
class Contender:
    """A scheduler with the configuration fields that it runs under.

    Fields:
        name: how rows call it; family: "JESA", "homogeneous" (gamma = 1), "top-k", "random".
        build: from the configuration.
        overrides: z and gamma.
    """

    name: str
    family: str
    build: Callable[[InferenceConfig], Scheduler]
    overrides: dict[str, Any]


def contenders() -> list[Contender]:
    """Top-1, Top-2, Top-3, random, and JESA on the grid of z and gamma; gamma = 1 is homogeneous selection."""
    found = [Contender(f"top-{k}", "top-k", partial(TopK, k=k), {}) for k in (1, 2, 3)]
    found.append(Contender("random", "random", Random, {}))
    for gamma in GAMMA_GRID:
        for z in Z_GRID:
            family = "homogeneous" if gamma == 1 else "JESA"
            overrides = {"threshold": z, "importance_factor": gamma}
            found.append(Contender(f"{family} z={z:g} gamma={gamma:g}", family, JESA, overrides))
    return found


def run_contender(
    contender: Contender, inputs: str, seeds: Sequence[int], scenario: str = "digits", **overrides: Any
) -> list[Row]:
    """One row per episode: those of the same seeds and inputs are paired."""
    changed = {**overrides, **contender.overrides}
    config = inference_scenario(scenario).replace(**changed)
    policy = JointPolicy(contender.build(config))
    relevance = {"kind": "classifier", "inputs": inputs}
    rows = evaluate(
        policy, ENV_ID, scenario=scenario, seeds=seeds, name=contender.name, check=False, relevance=relevance, **changed
    )
    kept = ("policy", "scenario", "seed", "cost", ENERGY, ACCURACY, "relevance")
    told = {"family": contender.family, "inputs": inputs, **contender.overrides}
    return [{**{name: row[name] for name in kept}, **told} for row in rows]


def contender_rows(
    folder: Path, contender: Contender, inputs: str, seeds: Sequence[int], scenario: str = "digits"
) -> list[Row]:
    """`run_contender`, kept as one CSV file; read from there if it holds these very episodes."""
    path = folder / f"{scenario}-{inputs}-{contender.name.replace(' ', '-')}.csv"
    if path.is_file():
        rows = read_csv(path)
        if [row.get("seed") for row in rows] == list(seeds):
            return rows
    rows = run_contender(contender, inputs, seeds, scenario)
    write_csv(path, rows)
    return rows


def read_rows(folder: Path, scenario: str = "digits") -> list[Row]:
    """What `contender_rows` kept in a folder.

    Raises:
        ValueError: if there is nothing, or a damaged file.
    """
    rows = [row for path in sorted(folder.glob(f"{scenario}-*.csv")) for row in read_csv(path)]
    if not rows:
        raise ValueError(f"{folder}: holds no rows; `python -m baselines inference --output {folder}` makes them")
    return rows


def means(rows: Iterable[Row]) -> dict[str, tuple[float, float]]:
    """(energy per answer [mJ], accuracy) by policy."""
    return {
        name: (float(np.mean([row[ENERGY] for row in group])), float(np.mean([row[ACCURACY] for row in group])))
        for name, group in by_policy(rows).items()
    }


def cheapest_as_accurate(rows: Iterable[Row], families: Sequence[str], accuracy: float) -> str | None:
    """The policy of least mean energy among those of the families with at least this mean accuracy; None for none."""
    known = means(row for row in rows if row["family"] in families)
    enough = {name: energy for name, (energy, reached) in known.items() if reached >= accuracy}
    return min(enough, key=lambda name: enough[name]) if enough else None


def most_accurate_as_cheap(rows: Iterable[Row], families: Sequence[str], energy: float) -> str | None:
    """The policy of largest mean accuracy among those of the families with at most this mean energy; None for none."""
    known = means(row for row in rows if row["family"] in families)
    enough = {name: reached for name, (used, reached) in known.items() if used <= energy}
    return max(enough, key=lambda name: enough[name]) if enough else None


@dataclass(frozen=True)
class Tradeoff:
    """One policy beside another on the same episodes.

    Fields:
        policy, reference: names.
        accuracy: paired difference, policy minus reference, in points of per cent.
        energy: change of the mean energy in per cent of the reference's.
    """

    policy: str
    reference: str
    accuracy: Interval
    energy: Interval


def tradeoff(rows: Sequence[Row], policy: str, reference: str) -> Tradeoff:
    """Paired differences with 95 % bootstrap intervals over episodes.

    Raises:
        ValueError: if the two ran on other seeds.
    """
    groups = by_policy(rows)
    one, other = groups[policy], groups[reference]
    if [row["seed"] for row in one] != [row["seed"] for row in other]:
        raise ValueError(f"policy {policy!r} ran on other seeds than {reference!r}: differences would not be paired")
    difference = Interval.of([100 * (a[ACCURACY] - b[ACCURACY]) for a, b in zip(one, other, strict=True)])
    energies = [np.array([row[ENERGY] for row in group]) for group in (one, other)]
    return Tradeoff(policy, reference, difference, percent_change(*energies))


@dataclass(frozen=True)
class Selection:
    """Which experts a policy had answer.

    Attributes:
        by_expert: (L, K) share of hidden states that node j's expert served.
        by_rank: (L, K) share of hidden states whose expert of the r-th best gate score served them.
    """

    by_expert: np.ndarray
    by_rank: np.ndarray


def selection_by_layer(
    policy: Policy, env_id: str, seeds: Sequence[int], scenario: str = "digits", **overrides: Any
) -> Selection:
    """Selections of the policy's episodes, one per seed."""
    core = create_core(env_id, len(seeds), scenario, overrides)
    core.seed(core.all_rows, [(seed, 0) for seed in seeds])
    core.start(core.all_rows)
    by_expert, by_rank = [], []
    while not core.terminated.any():
        observation = {key: values.copy() for key, values in core.observations.items()}
        actions, _ = policy.predict(observation)
        core.step(core.checked_actions(actions), core.all_rows)
        selected = core.selected.copy()  # type: ignore[attr-defined]
        order = np.argsort(-observation["gate_scores"], axis=-1, kind="stable")
        by_expert.append(selected.mean((0, 1, 2)))
        by_rank.append(np.take_along_axis(selected, order, axis=-1).mean((0, 1, 2)))
    return Selection(np.stack(by_expert), np.stack(by_rank))

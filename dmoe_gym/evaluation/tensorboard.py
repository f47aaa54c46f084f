"""Rows as TensorBoard scalars: flat lines for what does not learn, under the tags that learned runs use."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from dmoe_gym.evaluation.run import Row
from dmoe_gym.evaluation.statistics import by_policy
from dmoe_gym.io.extras import needed_for
from dmoe_gym.registration import system_of
from dmoe_gym.system import VIOLATIONS, LineUp


def charted_means(rows: Iterable[Row]) -> dict[str, float]:
    """Mean of every charted metric that the rows, which are of one environment, have."""
    rows = list(rows)
    metrics = (*system_of(rows[0]["env_id"]).metrics, VIOLATIONS)
    names = [metric.name for metric in metrics if metric.charted and all(metric.name in row for row in rows)]
    return {name: float(np.mean([row[name] for row in rows])) for name in names}


def scores(cost: float, random_cost: float, optimal_cost: float) -> dict[str, float]:
    """gap_to_optimum = cost / optimal - 1; normalized_score = 0 for random and 1 for the exact optimum.

    Not a number or infinite where the optimum costs nothing or as much as random.
    """
    with np.errstate(divide="ignore", invalid="ignore"):
        return {
            "gap_to_optimum": float(np.divide(cost, optimal_cost) - 1),
            "normalized_score": float(np.divide(random_cost - cost, random_cost - optimal_cost)),
        }


def mean_cost(rows: Iterable[Row], policy: str) -> float:
    """Mean cost of one policy's rows.

    Raises:
        ValueError: if it has none.
    """
    costs = [row["cost"] for row in rows if row["policy"] == policy]
    if not costs:
        raise ValueError(f"policy = {policy!r}: has no rows")
    return float(np.mean(costs))


def eval_scalars(rows: Sequence[Row], references: Sequence[Row], line_up: LineUp) -> dict[str, float]:
    """What is charted of one policy's rows: means, and where they stand between random and the optimum, if both ran."""
    means = charted_means(rows)
    if {line_up.random, line_up.optimum} <= {row["policy"] for row in references}:
        worst, best = mean_cost(references, line_up.random), mean_cost(references, line_up.optimum)
        means.update(scores(means["cost"], worst, best))
        with np.errstate(divide="ignore", invalid="ignore"):  # nothing, where there is no gap
            means["log10_gap"] = float(np.log10(means["gap_to_optimum"]))
    return {f"eval/{name}": value for name, value in means.items() if np.isfinite(value)}


def landmarks(rows: Sequence[Row], line_up: LineUp) -> list[str]:
    """What a cost is read against, of what the rows have: random, the reference, the strongest, the optimum.

    The strongest is the analytic scheduler of least mean cost on these very episodes, which is in its favour.
    """
    costs = {name: mean_cost(group, name) for name, group in by_policy(rows).items()}
    analytic = [name for name in costs if name in line_up.policies]
    strongest = [min(analytic, key=lambda name: costs[name])] if analytic else []
    wanted = [line_up.random, line_up.reference, *strongest, line_up.optimum]
    return [name for name in dict.fromkeys(wanted) if name in costs]


def event_writer() -> Any:
    """The class that writes event files.

    Raises:
        ImportError: without the extra that brings it.
    """
    with needed_for("TensorBoard"):
        from torch.utils.tensorboard import SummaryWriter
    return SummaryWriter


def write_scalars(folder: Path, scalars: Mapping[str, float], steps: Sequence[int]) -> None:
    """Write every scalar at every step into an event file in `folder`."""
    with event_writer()(str(folder)) as writer:
        for step in steps:
            for tag, value in scalars.items():
                writer.add_scalar(tag, value, step)


def write_lines(
    folder: Path, rows: Sequence[Row], line_up: LineUp, names: Iterable[str], last_step: int = 1_000_000
) -> None:
    """A flat line from step 0 to `last_step` for each of some policies and bounds of the rows.

    TensorBoard has seven colours: more than `landmarks` beside a few runs are told apart by nobody. Every one is a
    folder, `NAME` or, of the line-up, `baseline-NAME`. Folders that hold event files already are left alone: the same
    rows give the same lines.
    """
    groups = by_policy(rows)
    for name in names:
        known = name in line_up.policies or name in line_up.bounds
        target = folder / (f"baseline-{name}" if known else name)
        if not any(target.glob("events.out.tfevents.*")):
            write_scalars(target, eval_scalars(groups[name], rows, line_up), (0, last_step))

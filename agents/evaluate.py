"""Trained runs beside the line-up of their environment."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from agents.policy import load_run
from dmoe_gym.evaluation import Row, evaluate, evaluate_line_up, held_out_seeds, line_up_of
from dmoe_gym.evaluation.run import Progress
from dmoe_gym.system import NOTHING, LineUp


def evaluate_runs(
    paths: Sequence[Path],
    episodes: int,
    *,
    scenario: str | None = None,
    overrides: Mapping[str, Any] | None = None,
    names: Sequence[str] | None = None,
    own: Mapping[str, Any] = NOTHING,
    jobs: int = 1,
    progress: Callable[[str], Progress] | None = None,
) -> tuple[list[Row], LineUp]:
    """Rows of the analytic policies, the bounds and the runs on the same held-out episodes.

    Args:
        paths: run folders whose environments share their episodes.
        scenario, overrides: where the runs are evaluated, if not where they were trained (see `load_run`).
        names: which analytic policies and bounds; None for all.
        own: policies and schedulers that act where the first run does, as `extra` of `evaluate_line_up`.
        jobs: processes for the bounds.
        progress: called with a name before it runs; what it returns is told of finished episodes.

    Raises:
        ValueError: if a folder holds no whole run, or the runs are of different scenarios.
    """
    loaded = [(path, *load_run(path, scenario, overrides)) for path in paths]
    first = loaded[0][1]
    line_up = line_up_of(first.env_id, first.scenario, **first.overrides)
    for path, config, _ in loaded:
        theirs = line_up_of(config.env_id, config.scenario, **config.overrides).env_id
        if (theirs, config.scenario, config.overrides) != (line_up.env_id, first.scenario, first.overrides):
            raise ValueError(f"{path}: ran on other episodes than {paths[0]}; evaluate them one by one")
    seeds = held_out_seeds(episodes)
    rows = evaluate_line_up(
        first.env_id,
        scenario=first.scenario,
        seeds=seeds,
        names=names,
        extra=own,
        jobs=jobs,
        progress=progress,
        **first.overrides,
    )
    for path, config, policy in loaded:
        tick = progress(path.name) if progress else None
        rows += evaluate(
            policy,
            config.env_id,
            scenario=config.scenario,
            seeds=seeds,
            name=path.name,
            progress=tick,
            **config.overrides,
        )
    return rows, line_up

"""Rows of an environment's whole line-up: its analytic policies and its bounds, on held-out episodes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import gymnasium as gym

from dmoe_gym.evaluation.run import Progress, Row, evaluate, evaluate_bound
from dmoe_gym.facades.create import core_class
from dmoe_gym.line_up import LineUp


def line_up_of(env_id: str, scenario: str | None = None, **overrides: Any) -> LineUp:
    """The analytic policies and bounds of an environment.

    Raises:
        ValueError: for an unknown id, scenario or override.
    """
    try:
        spec = gym.spec(env_id)
    except gym.error.Error as error:
        raise ValueError(f"env_id = {env_id!r}: {error}") from None
    if "core" not in spec.kwargs:
        raise ValueError(f"env_id = {env_id!r}: valid are the ids that dmoe_gym registers")
    return core_class(spec.kwargs["core"]).line_up(env_id, scenario, **overrides)


def evaluate_line_up(
    env_id: str,
    *,
    scenario: str | None = None,
    seeds: Sequence[int],
    names: Sequence[str] | None = None,
    jobs: int = 1,
    progress: Callable[[str], Progress] | None = None,
    **overrides: Any,
) -> list[Row]:
    """Rows of every policy and bound of a line-up, or of those named.

    Args:
        names: which of them; None for all.
        jobs: processes for the bounds.
        progress: called with a name before it runs; what it returns is told of finished episodes.

    Raises:
        ValueError: for an unknown id, scenario, override or name.
    """
    line_up = line_up_of(env_id, scenario, **overrides)
    known = [*line_up.policies, *line_up.bounds]
    unknown = [name for name in names or () if name not in known]
    if unknown:
        raise ValueError(f"policy = {unknown[0]!r}: valid for {env_id} are {', '.join(known)}")
    rows: list[Row] = []
    for name in known:
        if names is not None and name not in names:
            continue
        tick = progress(name) if progress else None
        if name in line_up.policies:
            policy = line_up.policies[name]
            rows += evaluate(
                policy, line_up.env_id, scenario=scenario, seeds=seeds, name=name, progress=tick, **overrides
            )
        else:
            rows += evaluate_bound(
                name, line_up.env_id, scenario=scenario, seeds=seeds, jobs=jobs, progress=tick, **overrides
            )
    return rows

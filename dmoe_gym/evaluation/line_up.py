"""Rows of an environment's whole line-up: its analytic policies and its bounds, on held-out episodes."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from dmoe_gym.evaluation.run import Progress, Row, evaluate, evaluate_bound
from dmoe_gym.registration import system_of
from dmoe_gym.system import NOTHING


def evaluate_line_up(
    env_id: str,
    *,
    scenario: str | None = None,
    seeds: Sequence[int],
    names: Sequence[str] | None = None,
    extra: Mapping[str, Any] = NOTHING,
    jobs: int = 1,
    progress: Callable[[str], Progress] | None = None,
    **overrides: Any,
) -> list[Row]:
    """Rows of every policy and bound of a line-up, or of those named.

    Args:
        names: which of them; None for all.
        extra: further ones by name: a scheduler of the system; a policy, which acts in `env_id` itself; or what makes
            one of the two from the configuration, as a scheduler's class.
        jobs: processes for the bounds.
        progress: called with a name before it runs; what it returns is told of finished episodes.

    Raises:
        ValueError: for an unknown id, scenario, override or name.
    """
    system = system_of(env_id)
    config = system.configuration(scenario, overrides)
    line_up = system.line_up(config)
    taken = [name for name in extra if name in line_up.policies or name in line_up.bounds]
    if taken:
        raise ValueError(f"extra = {taken[0]!r}: the line-up has one of that name; valid is another")
    policies = {name: (policy, line_up.env_id) for name, policy in line_up.policies.items()}
    for name, own in extra.items():
        policy = system.policy(own, config)
        policies[name] = policy, env_id if policy is own else line_up.env_id
    known = [*policies, *line_up.bounds]
    unknown = [name for name in names or () if name not in known]
    if unknown:
        raise ValueError(f"policy = {unknown[0]!r}: valid for {env_id} are {', '.join(known)}")
    rows: list[Row] = []
    for name in known:
        if names is not None and name not in names:
            continue
        tick = progress(name) if progress else None
        if name in policies:
            policy, place = policies[name]
            rows += evaluate(policy, place, scenario=scenario, seeds=seeds, name=name, progress=tick, **overrides)
        else:
            rows += evaluate_bound(
                name, line_up.env_id, scenario=scenario, seeds=seeds, jobs=jobs, progress=tick, **overrides
            )
    return rows

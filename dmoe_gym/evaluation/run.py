"""Episodes of a policy, of a bound or of a whole line-up as rows: one dictionary per episode."""

from __future__ import annotations

import hashlib
import inspect
import math
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from joblib import Parallel, delayed

from dmoe_gym.facades.view import View, checked_seed, create_view
from dmoe_gym.io.files import read_csv
from dmoe_gym.policy import Policy, SchedulerPolicy, decide
from dmoe_gym.registration import create_core, system_of
from dmoe_gym.system import NOTHING, ClairvoyantBound

# Training seeds stay below this number; held-out episodes start at it and belong to no training run.
FIRST_HELD_OUT_SEED = 1_000_000
# The most episodes of an evaluation, whose rows are kept in memory.
MOST_EPISODES = 1_000_000


# Episodes on which hyperparameters are compared; the training seeds of studies start there too.
FIRST_VALIDATION_SEED = 900_000


def held_out_seeds(count: int, offset: int = 0) -> range:
    """The seeds of `count` held-out episodes, the same for every policy.

    Raises:
        ValueError: if count is not positive or above `MOST_EPISODES`, or offset is negative.
    """
    if not 1 <= count <= MOST_EPISODES or offset < 0:
        raise ValueError(
            f"episodes = {count}, offset = {offset}: valid are 1 to {MOST_EPISODES:,} episodes from an offset of 0 on"
        )
    return range(FIRST_HELD_OUT_SEED + offset, FIRST_HELD_OUT_SEED + offset + count)


Row = dict[str, Any]


def read_rows(path: Path) -> list[Row]:
    """Rows from a file of `evaluate`, or of evaluations at several steps.

    Raises:
        ValueError: naming the file, if it is damaged or holds anything else, or an episode of a policy twice.
    """
    rows, seen = read_csv(path, ("policy", "env_id", "scenario", "configuration")), set()
    for row in rows:
        if not {"policy", "seed", "cost"} <= set(row):
            raise ValueError(f"{path}: is no file that `evaluate` wrote")
        for field in ("seed", "cost"):
            if not isinstance(row[field], int | float) or not math.isfinite(row[field]):
                raise ValueError(f"{path}: {field} = {row[field]!r:.60}, valid are finite numbers")
        episode = row["policy"], row.get("step"), row["seed"]
        if episode in seen:
            raise ValueError(f"{path}: {row['policy']!r:.60} has seed {row['seed']} twice")
        seen.add(episode)
    return rows


# Called with the episodes that were finished since the last call, parts of them included.
Progress = Callable[[float], None]
# Called with a name and how many episodes it will take, before it runs; gives what to tell of finished ones.
Start = Callable[[str, int], Progress]
# Episodes that run together: enough for batched policies, little enough for memory at K = 32, M = 1024.
BATCH = 128
# Which bounds, of which environments, this process has run: the first time they compile.
_WARM: set[tuple[str, str]] = set()


def evaluate(
    policy: Policy,
    env_id: str,
    *,
    scenario: str | None = None,
    seeds: Sequence[int] = range(100),
    name: str | None = None,
    batch: int = BATCH,
    check: bool = True,
    progress: Progress | None = None,
    **overrides: Any,
) -> list[Row]:
    """Run one episode per seed, episode 0 of that seed, and return a row for each.

    Policies see the observation alone (and the masks, if their `predict` takes `action_masks`). Rows of the same
    seeds are paired: their episodes are the same bit for bit.

    Args:
        policy: anything with Stable-Baselines3's `predict`.
        env_id: a registered id of this suite.
        scenario, overrides: as in `gym.make`.
        seeds: one episode each.
        name: how rows call the policy; its class's name by default.
        batch: episodes that run together; results do not depend on it unless the policy draws random numbers.
        check: count constraint violations of every decided round, where actions decide whole rounds.
        progress: called as rounds are decided.

    Returns:
        per episode: policy, env_id, scenario, configuration (its digest), seed; every reward term and its derived
        metrics, means per round;
        `return`; `violations` (a number, if checked); `predict_ms`, wall time of `predict` per round
        (`timing.time_per_decision` counts all that a decision takes, in processor time).

    Raises:
        ValueError: for an unknown id, scenario or override, what is no policy, seeds that are no different whole
            numbers of at least 0, or an action outside the action space.
    """
    seeds = _different(seeds)
    if batch < 1:
        raise ValueError(f"batch = {batch!r}: valid are whole numbers of at least 1")
    rows: list[Row] = []
    for first in range(0, len(seeds), batch):
        chunk = seeds[first : first + batch]
        view = create_view(env_id, len(chunk), scenario, overrides)
        view.core.seed(view.core.all_rows, [checked_seed(seed) for seed in chunk])
        results = _run(view, policy, check, progress)
        label = _label(name or type(policy).__name__, env_id, scenario, view.core.config)
        rows += [{**label, "seed": seed, **result} for seed, result in zip(chunk, results, strict=True)]
    return rows


def evaluate_bound(
    name: str,
    env_id: str,
    *,
    scenario: str | None = None,
    seeds: Sequence[int] = range(100),
    jobs: int = 1,
    progress: Progress | None = None,
    **overrides: Any,
) -> list[Row]:
    """The rows of a bound, which sees what no policy sees.

    Args:
        name: one of the bounds in the system's record that hold for the configuration: for DMoE "exact" and
            "lower-bound", "informed" where the channel is seen late or with error, "clairvoyant" under a relevance
            budget or with batteries.
        jobs: processes (joblib); -1 for one per core.
        others: as in `evaluate`.

    Raises:
        ValueError: for an unknown id, scenario, override or bound, or jobs = 0.
    """
    if jobs == 0:
        raise ValueError("jobs = 0: valid are whole numbers of at least 1, or -1 for one per core")
    seeds = _different(seeds)
    system = system_of(env_id)
    config = system.configuration(scenario, overrides)
    known = system.bounds_of(config)
    if name not in known:
        raise ValueError(f"bound = {name!r}: valid for {env_id} here are {', '.join(known) or 'none'}")
    task = delayed(_bound_episode)
    results = Parallel(n_jobs=jobs, return_as="generator")(
        task(name, env_id, scenario, dict(overrides), seed) for seed in seeds
    )
    rows = []
    for seed, result in zip(seeds, results, strict=True):
        rows.append({**_label(name, env_id, scenario, config), "seed": seed, **result})
        if progress is not None:
            progress(1)
    return rows


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
        extra: further ones by name, which run whatever `names` says: a scheduler of the system; a policy, which acts in
            `env_id` itself; or what makes one of the two, of the configuration or of nothing, as a class.
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
        made_here = isinstance(policy, SchedulerPolicy) and policy is not own
        policies[name] = policy, line_up.env_id if made_here else env_id
    known, seeds = [*policies, *line_up.bounds], _different(seeds)
    if isinstance(names, str):
        raise ValueError(f"names = {names!r}: valid are names in a list, of {', '.join(known)}")
    unknown = [name for name in names or () if name not in known]
    if unknown:
        raise ValueError(f"policy = {unknown[0]!r}: valid for {env_id} are {', '.join(known)}")
    rows: list[Row] = []
    for name in known:
        if names is not None and name not in names and name not in extra:
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


def _different(seeds: Sequence[int]) -> list[int]:
    """Seeds of as many episodes: rows of one episode twice would pass for two draws."""
    found = list(seeds)
    if len({checked_seed(seed, f"seeds[{place}]") for place, seed in enumerate(found)}) < len(found) or not found:
        raise ValueError(f"seeds = {found[:9]}: valid are one or more, each of them once")
    return found


def _label(policy: str, env_id: str, scenario: str | None, config: Any) -> Row:
    """Who acted and where; rows of one configuration and one seed are of one episode, whatever the id."""
    digest = hashlib.sha256(repr(config).encode()).hexdigest()[:12]
    # a letter first, or a table would read some digests as numbers
    return {"policy": policy, "env_id": env_id, "scenario": scenario or "default", "configuration": f"c{digest}"}


def _run(view: View, policy: Policy, check: bool, progress: Progress | None) -> list[Row]:
    core = view.core
    if isinstance(policy, type) or not callable(getattr(policy, "predict", None)):
        raise ValueError(f"policy = {policy!r:.99}: valid is an object with Stable-Baselines3's predict")
    told = 0.0
    takes_masks = core.masked and "action_masks" in inspect.signature(policy.predict).parameters
    check = check and core.decides_rounds
    core.start(core.all_rows)
    sums = {name: np.zeros(core.num_envs) for name in core.terms}
    returns = np.zeros(core.num_envs)
    violations = np.zeros(core.num_envs, np.int64)
    running = core.all_rows
    episode_start = np.ones(core.num_envs, np.bool_)
    state: Any = None
    thinking = 0.0
    warm = False
    while len(running):
        # a policy may keep what it is shown: the core overwrites its arrays
        observation = view.batch()
        masks = {"action_masks": core.masks().copy()} if takes_masks else {}
        if not warm:  # compilation is no thinking time
            decide(policy, observation, state=None, episode_start=episode_start, **masks)
            warm = True
        began = time.perf_counter()
        actions, state = decide(policy, observation, state=state, episode_start=episode_start, **masks)
        thinking += time.perf_counter() - began
        rounds = {row: core.observed_round(row) for row in running.tolist()} if check else {}
        core.step(core.checked_actions(actions), running)
        for name, values in core.terms.items():
            sums[name][running] += values[running]
        returns[running] += core.rewards[running]
        for row, decided in rounds.items():
            violations[row] += len(core.check(decided, core.schedule(row)))
        running = running[~core.terminated[running]]
        episode_start[:] = False
        if progress is not None:
            finished = float((core.layer - 1 + core.terminated).sum() / core.rounds_per_episode)
            progress(finished - told)
            told = finished
    rounds_total = core.num_envs * core.rounds_per_episode
    rows = []
    for row in range(core.num_envs):
        means = {name: float(values[row] / core.rounds_per_episode) for name, values in sums.items()}
        result = {**core.metrics(means), "return": float(returns[row]), "predict_ms": thinking / rounds_total * 1e3}
        if check:
            result["violations"] = int(violations[row])
        rows.append(result)
    return rows


def _bound_episode(name: str, env_id: str, scenario: str | None, overrides: dict[str, Any], seed: int) -> Row:
    core = create_core(env_id, 1, scenario, overrides)
    core.seed([0], [checked_seed(seed)])
    core.start(core.all_rows)
    bound = system_of(env_id).bounds[name]
    rounds, observed = [], []
    while not core.terminated[0]:
        rounds.append(core.round(0))
        observed.append(core.observed_round(0))
        core.skip_round(core.all_rows)
    if (env_id, name) not in _WARM and not isinstance(bound, ClairvoyantBound):  # compilation is no thinking time
        bound.means(rounds[:1], observed[:1])
        _WARM.add((env_id, name))
    began = time.perf_counter()
    means = bound.means(rounds, observed)
    thinking = time.perf_counter() - began
    return {
        **core.metrics(means),
        "return": -means["cost"] * core.rounds_per_episode,
        "predict_ms": thinking / len(rounds) * 1e3,
    }


ROUNDS = 1024


def time_per_decision(
    policy: Policy,
    env_id: str,
    *,
    scenario: str | None = None,
    overrides: Mapping[str, Any] | None = None,
    rounds: int = ROUNDS,
    repeats: int = 5,
) -> float:
    """Milliseconds of one core per round, from observations to charged schedules; the median over repeated batches.

    Counted are observing, masks, `predict` (all picks of a round where it is decided pick by pick) and the
    environment's step: decoding, repairs and accounts, which are the same for every policy of an id. Episodes end after
    their first round here, so no channel is drawn in that time.
    Processor time, all threads together, hardly depends on what else the machine does; wall time on an idle machine is
    at most that.

    Args:
        policy: anything with Stable-Baselines3's `predict`.
        env_id, scenario, overrides: where it acts.
        rounds: in a batch.
        repeats: batches that are timed, after one that is not.
    """
    view = create_view(env_id, rounds, scenario, dict(overrides or {}))
    core = view.core
    core.rounds_per_episode = 1
    durations = []
    for repeat in range(repeats + 1):
        core.seed(core.all_rows, [(seed, 0) for seed in held_out_seeds(rounds, repeat * rounds)])
        core.start(core.all_rows)
        began = time.process_time()
        _decide(view, policy)
        durations.append(time.process_time() - began)
    return float(np.median(durations[1:])) / rounds * 1e3


def _decide(view: View, policy: Policy) -> None:
    """Decide the one round of every environment."""
    core = view.core
    takes_masks = core.masked and "action_masks" in inspect.signature(policy.predict).parameters
    running = core.all_rows
    state: Any = None
    start = np.ones(core.num_envs, np.bool_)
    while len(running):
        observation = view.batch()
        masks = {"action_masks": core.masks().copy()} if takes_masks else {}
        actions, state = decide(policy, observation, state=state, episode_start=start, **masks)
        core.step(core.checked_actions(actions), running)
        running = running[~core.terminated[running]]
        start[:] = False

"""The leaderboard: frozen tasks, a policy's costs on all of them in one file, and the check of such a file.

A file holds numbers and text alone: nothing in it is run. It holds the actions of some episodes of every task, drawn by
the digest of all of the task's costs; who reads it plays them again. That finds mistakes and plain forgery (costs that
are all false with certainty, one in ten with 42 %), not somebody who searches for costs whose draw spares the false.
"""

from __future__ import annotations

import base64
import hashlib
import html
import inspect
import json
import math
import zlib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from dmoe_gym.evaluation import evaluate, held_out_seeds, line_up_of
from dmoe_gym.evaluation.table import markdown_table
from dmoe_gym.io.files import read_bytes, read_json
from dmoe_gym.io.provenance import provenance
from dmoe_gym.policy import Policy, SchedulerPolicy, decide
from dmoe_gym.registration import ENVIRONMENTS, system_of

FORMAT = "dmoe_gym leaderboard 1"
FIELDS = {"format", "name", "about", "provenance", "tasks"}
# Held-out episodes that no table of this project looks at.
OFFSET, EPISODES, REPLAYED = 500_000, 100, 5
# The most that one task's actions may take when they are unpacked [B], and characters of the texts in a file.
MOST_BYTES, MOST_TEXT = 2**27, 2000
# How far a replayed cost may lie off: processors differ in the last bits.
TOLERANCE = 1e-6
TYPES = ("uint8", "uint16", "int64", "float32", "float64")


class Task(NamedTuple):
    """Episodes that policies are compared on.

    Attributes:
        env_id: where schedulers act on them; ids that share its episodes are valid, too.
        scenario: the configuration.
    """

    env_id: str
    scenario: str

    @property
    def name(self) -> str:
        """As files call it."""
        return f"{self.env_id}/{self.scenario}"

    @property
    def seeds(self) -> range:
        """Its episodes."""
        return held_out_seeds(EPISODES, OFFSET)


# Frozen: another list is another format.
DMOE = ("small", "paper", "scarce", "stale", "selective", "budget", "battery", "mobile", "harvest")
TASKS = (
    *(Task("DMoE-JESA-v0", scenario) for scenario in DMOE),
    *(Task("WDMoE-Joint-v0", scenario) for scenario in ("testbed", "mixtral", "crowd")),
    Task("ChannelAwareGating-v0", "analog"),
)


class Entrant(NamedTuple):
    """What plays tasks.

    Attributes:
        env_id: plays only tasks whose episodes this id has, and acts there; None: all, where schedulers act.
        own: a policy or scheduler, or what makes one; or a name in the line-up.
    """

    env_id: str | None
    own: Any

    def policy(self, task: Task) -> tuple[Policy, str] | None:
        """The policy and where it acts; None if it is not for this task."""
        line_up = line_up_of(task.env_id, task.scenario)
        if self.env_id is not None and line_up_of(self.env_id, None).env_id != line_up.env_id:
            return None
        if isinstance(self.own, str):
            return (line_up.policies[self.own], line_up.env_id) if self.own in line_up.policies else None
        system = system_of(task.env_id)
        policy = system.policy(self.own, system.configuration(task.scenario))
        made = isinstance(policy, SchedulerPolicy) or self.env_id is None
        return policy, line_up.env_id if made else self.env_id or ""


class _Recorded:
    """A policy whose actions are kept, one array per step."""

    def __init__(self, policy: Policy) -> None:
        self.policy, self.actions = policy, list[np.ndarray]()
        self._masks = "action_masks" in inspect.signature(policy.predict).parameters

    def predict(
        self, observation: Any, state: Any = None, episode_start: Any = None, deterministic: bool = True,
        action_masks: Any = None,
    ) -> tuple[np.ndarray, Any]:  # fmt: skip
        step, inner = (0, None) if state is None else state
        masks = {"action_masks": action_masks} if self._masks and action_masks is not None else {}
        actions, inner = decide(self.policy, observation, state=inner, episode_start=episode_start, **masks)
        del self.actions[step:]
        self.actions.append(np.array(actions))
        return actions, (step + 1, inner)


class _Replayed:
    """Actions (steps, episodes, ...) as a policy of as many environments."""

    def __init__(self, actions: np.ndarray) -> None:
        self.actions = actions

    def predict(
        self, observation: Any, state: Any = None, episode_start: Any = None, deterministic: bool = True
    ) -> tuple[np.ndarray, Any]:
        step = 0 if state is None else state
        if step >= len(self.actions):
            raise ValueError(f"actions: end after {step} steps, before the episodes do")
        return self.actions[step], step + 1


def replayed(costs: Sequence[float]) -> list[int]:
    """Which episodes of a task are played again, drawn by the digest of all its costs."""
    digest = hashlib.sha256(json.dumps(list(costs)).encode()).digest()
    return sorted(np.random.default_rng(list(digest)).choice(len(costs), REPLAYED, replace=False).tolist())


def play(task: Task, policy: Policy, env_id: str) -> dict[str, Any]:
    """What a file holds of a task."""
    recorded = _Recorded(policy)
    rows = evaluate(recorded, env_id, scenario=task.scenario, seeds=task.seeds, batch=EPISODES, check=False)
    costs = [row["cost"] for row in rows]
    return {
        "env_id": env_id,
        "costs": costs,
        "actions": _packed(np.stack(recorded.actions)[:, replayed(costs)]),
    }


def entry(
    name: str, about: str, command: str, entrants: Sequence[Entrant], report: Callable[[str], Any] = lambda said: None
) -> dict[str, Any]:
    """Play all tasks; of several entrants the first that is for a task plays it.

    Raises:
        ValueError: if none of them is for any task, with what the first one was refused for.
    """
    tasks: dict[str, Any] = {}
    refused = ""
    for task in TASKS:
        try:
            found = next((found for each in entrants if (found := each.policy(task))), None)
            if found is not None:
                tasks[task.name] = play(task, *found)
                report(f"{task.name}: {np.mean(tasks[task.name]['costs']):.4f}")
        except (ValueError, ImportError) as error:
            refused = refused or str(error)
            report(f"{task.name}: left out, {error}")
    if not tasks:
        raise ValueError(f"{name}: plays no task; {refused or 'valid are ids and names of ' + ', '.join(ENVIRONMENTS)}")
    return {"format": FORMAT, "name": name, "about": about, "provenance": provenance(command), "tasks": tasks}


def checked(path: Path) -> dict[str, Any]:
    """A leaderboard file, whose format, tasks, versions and numbers are right and whose kept episodes come out again.

    Raises:
        ValueError: one line, naming the file and what is wrong.
    """
    content = read_json(read_bytes(path, "file"), str(path))
    try:
        _check(content)
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from None
    return content


def _check(content: Mapping[str, Any]) -> None:
    if content.get("format") != FORMAT:
        raise ValueError(f"format = {content.get('format')!r:.99}: valid is {FORMAT!r}")
    if set(content) != FIELDS or not isinstance(content["provenance"], dict):
        raise ValueError(f"has the fields {', '.join(content):.200}; valid are {', '.join(sorted(FIELDS))}")
    for field in ("name", "about"):
        text = content[field]
        if not isinstance(text, str) or not len(text) <= MOST_TEXT or not text.isprintable():
            raise ValueError(f"{field}: valid is one line of text of at most {MOST_TEXT} characters")
    if not content["name"].strip():
        raise ValueError("name: is empty")
    played, known = content.get("tasks"), {task.name: task for task in TASKS}
    if not isinstance(played, dict) or not played or set(played) - set(known):
        raise ValueError(f"tasks: valid are {', '.join(known)}")
    for name, result in played.items():
        try:
            _check_task(known[name], result if isinstance(result, dict) else {})
        except ValueError as error:
            raise ValueError(f"{name}: {error}") from None


def _check_task(task: Task, result: Mapping[str, Any]) -> None:
    if set(result) != {"env_id", "costs", "actions"}:
        raise ValueError(f"has the fields {', '.join(result) or 'none':.200}; valid are env_id, costs, actions")
    env_id, costs = result["env_id"], result["costs"]
    if (
        not isinstance(env_id, str)
        or env_id not in ENVIRONMENTS
        or line_up_of(env_id).env_id != line_up_of(task.env_id).env_id
    ):
        raise ValueError(f"env_id = {env_id!r:.99}: valid are {task.env_id} and ids that share its episodes")
    if not isinstance(costs, list) or len(costs) != EPISODES:
        raise ValueError(f"costs: valid are {EPISODES}, one for each of the seeds from {task.seeds.start}")
    if not all(type(cost) is float and math.isfinite(cost) for cost in costs):
        raise ValueError("costs: valid are finite numbers")
    which = replayed(costs)
    actions = _unpacked(result["actions"])
    if actions.ndim < 2 or actions.shape[1] != REPLAYED:
        raise ValueError(f"actions: have shape {actions.shape}, valid is (steps, {REPLAYED}, ...)")
    seeds = [task.seeds[episode] for episode in which]
    rows = evaluate(_Replayed(actions), env_id, scenario=task.scenario, seeds=seeds, check=False)
    for episode, row in zip(which, rows, strict=True):
        if not math.isclose(row["cost"], costs[episode], rel_tol=TOLERANCE, abs_tol=TOLERANCE):
            raise ValueError(f"costs[{episode}] = {costs[episode]:.6g}: its actions cost {row['cost']:.6g}")


def _packed(actions: np.ndarray) -> dict[str, Any]:
    if actions.dtype.kind in "biu":
        actions = actions.astype(np.min_scalar_type(int(actions.max())))
    actions = np.ascontiguousarray(actions if actions.dtype.name in TYPES else actions.astype(np.float64))
    data = base64.b64encode(zlib.compress(actions.tobytes(), 9)).decode()
    return {"dtype": actions.dtype.name, "shape": list(actions.shape), "zlib": data}


def _unpacked(packed: Any) -> np.ndarray:
    fields = packed if isinstance(packed, dict) else {}
    dtype, shape = fields.get("dtype"), fields.get("shape")
    if dtype not in TYPES or not isinstance(shape, list) or not all(type(n) is int and 0 < n < 2**31 for n in shape):
        raise ValueError(f"actions: valid are a shape, a dtype among {', '.join(TYPES)}, and their bytes")
    size = math.prod(shape) * np.dtype(dtype).itemsize
    if size > MOST_BYTES:
        raise ValueError(f"actions: take {size:,} bytes, valid are at most {MOST_BYTES:,}")
    try:
        content = zlib.decompressobj().decompress(base64.b64decode(str(fields.get("zlib")), validate=True), size + 1)
    except (ValueError, TypeError, zlib.error) as error:
        raise ValueError(f"actions: are damaged ({error})") from None
    if len(content) != size:
        raise ValueError("actions: are damaged, their bytes do not fit their shape")
    return np.frombuffer(content, dtype).reshape(shape)


def board(entries: Sequence[Mapping[str, Any]]) -> str:
    """The page's tables, in Markdown: mean costs, an entry per line, the least of every task in bold.

    Entries stand in the order of their mean ratio to the least cost of each task, those that miss a task at the end.

    Raises:
        ValueError: if two entries have one name.
    """
    names = [_shown(each["name"]) for each in entries]
    for name in names:
        if names.count(name) > 1:
            raise ValueError(f"name = {name!r:.99}: two entries have it; valid are different names")
    sections = []
    for env_id in dict.fromkeys(task.env_id for task in TASKS):
        tasks = [task for task in TASKS if task.env_id == env_id]
        costs = {
            name: [
                float(np.mean(each["tasks"][task.name]["costs"])) if task.name in each["tasks"] else math.inf
                for task in tasks
            ]
            for name, each in zip(names, entries, strict=True)
        }
        least = np.min(list(costs.values()), axis=0)
        ranked = sorted(costs, key=lambda name: float(np.mean(np.divide(costs[name], least))))
        body = [[name, *map(_cell, costs[name], least)] for name in ranked if min(costs[name]) < math.inf]
        sections.append(f"## {env_id}\n\n{markdown_table(['entry', *(task.scenario for task in tasks)], body)}")
    notes = "".join(f"- **{name}**: {_shown(each['about'])}\n" for name, each in zip(names, entries, strict=True))
    return "\n".join([*sections, "## Entries\n", notes])


def _shown(text: str) -> str:
    """A text by others as a page shows it: no markup, no cell of a table."""
    return html.escape(text, quote=False).replace("|", "/")


def _cell(cost: float, least: float) -> str:
    return "–" if cost == math.inf else f"**{cost:.4f}**" if cost == least else f"{cost:.4f}"

"""Schedulers and policies: the one base of each, and the policies that need no knowledge of a system."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any, Protocol

import numpy as np

# What a scheduler remembers: arrays by name, the environments along the first axis.
Remembered = dict[str, np.ndarray]


class Policy(Protocol):
    """Stable-Baselines3's `predict`: acts on the observation alone, of one environment or of a batch."""

    def predict(
        self,
        observation: Mapping[str, np.ndarray],
        state: Any = None,
        episode_start: np.ndarray | None = None,
        deterministic: bool = True,
    ) -> tuple[np.ndarray, Any]:
        """The action(s), and what the policy wants to be handed back with the next observation."""
        ...


def decide(policy: Policy, observation: Any, **options: Any) -> tuple[np.ndarray, Any]:
    """A policy's `predict`, whose answer is a pair.

    Raises:
        ValueError: if it is not.
    """
    answer = policy.predict(observation, deterministic=True, **options)
    if not (isinstance(answer, tuple) and len(answer) == 2):
        said = f"a tuple of {len(answer)}" if isinstance(answer, tuple) else f"{type(answer).__name__} alone"
        raise ValueError(f"{type(policy).__name__}.predict: gave {said}, valid is a pair (action, state)")
    return answer


def as_batch(observation: Mapping[str, np.ndarray], key: str, dimensions: int) -> tuple[dict[str, np.ndarray], bool]:
    """The observation with a leading batch axis, and whether it had one already.

    Args:
        key: the entry that tells, which has `dimensions` axes in a single observation.

    Raises:
        ValueError: if the entry is missing or has another number of axes.
    """
    if key not in observation:
        raise ValueError(f"observation: has no {key!r}; it has {', '.join(observation)}")
    axes = np.ndim(observation[key])
    if axes not in (dimensions, dimensions + 1):
        raise ValueError(f"observation[{key!r}]: has {axes} axes, valid are {dimensions} or {dimensions + 1}")
    batched = axes == dimensions + 1
    arrays = {name: np.asarray(value) for name, value in observation.items()}
    return arrays if batched else {name: value[None] for name, value in arrays.items()}, batched


class BatchPolicy(ABC):
    """A policy whose actions are computed for whole batches; it remembers nothing unless `remember` does.

    Attributes:
        key, dimensions: an entry of the observation and its axes, to tell one observation from a batch.
    """

    key: str
    dimensions: int

    @abstractmethod
    def actions(self, batch: Mapping[str, np.ndarray]) -> np.ndarray:
        """One action per observation of a batch."""

    def remember(self, memory: Remembered, observation: Mapping[str, np.ndarray]) -> Remembered:
        """What is remembered when a batch is observed, for `actions` to find beside it; nothing here."""
        return {}

    def predict(
        self,
        observation: Mapping[str, np.ndarray],
        state: Any = None,
        episode_start: np.ndarray | None = None,
        deterministic: bool = True,
    ) -> tuple[np.ndarray, Any]:
        """The action(s), one per observation, and what is remembered: to be handed back, where it is anything."""
        batch, batched = as_batch(observation, self.key, self.dimensions)
        memory = self.remember(state or {}, batch)
        actions = self.actions({**batch, **memory} if memory else batch)
        return actions if batched else actions[0], memory or None


class Scheduler(ABC):
    """An analytic rule that turns a batch of observations into schedules.

    It may know the configuration (the law of the channel, the error of its knowledge, the episode's length), and
    nothing of an episode but its observations.
    """

    def __init__(self, config: Any) -> None:
        self.config = config

    def remember(self, memory: Remembered, observation: Mapping[str, np.ndarray]) -> Remembered:
        """What is remembered when a batch of rounds is observed; nothing here.

        A scheduler with a memory finds it in the observation that it schedules by, beside what is observed. Episodes
        begin where the observation says so.

        Args:
            memory: arrays by name, one entry per environment, that may be changed in place; empty for none so far.
        """
        return {}

    @abstractmethod
    def schedule(self, observation: Mapping[str, np.ndarray]) -> tuple[np.ndarray, ...]:
        """Schedules of a batch of observed rounds, in the arrays of the scheduler's system."""


def remembered(
    scheduler: Scheduler, memory: Remembered, observation: Mapping[str, np.ndarray], rows: np.ndarray
) -> Remembered:
    """The memory of all environments when those in `rows` have a new observation; others' may be anything before."""
    if not memory or len(rows) == len(next(iter(memory.values()))):
        return scheduler.remember(memory, observation)
    part = {key: values[rows] for key, values in observation.items()}
    now = scheduler.remember({key: values[rows] for key, values in memory.items()}, part)
    for key, values in now.items():
        memory[key][rows] = values
    return memory


class SchedulerPolicy(BatchPolicy):
    """A scheduler in an action space; subclasses encode its schedules."""

    def __init__(self, scheduler: Scheduler) -> None:
        self.scheduler = scheduler

    def remember(self, memory: Remembered, observation: Mapping[str, np.ndarray]) -> Remembered:
        """As the scheduler does."""
        return self.scheduler.remember(memory, observation)


class RandomActionPolicy(BatchPolicy):
    """Uniformly random actions; the environment repairs what is infeasible.

    Args:
        space: the action space; it is seeded here.
        key, dimensions: as in `BatchPolicy`.
    """

    def __init__(self, space: Any, key: str, dimensions: int, seed: int = 0) -> None:
        self.space, self.key, self.dimensions = space, key, dimensions
        space.seed(seed)

    def actions(self, batch: Mapping[str, np.ndarray]) -> np.ndarray:
        return np.stack([self.space.sample() for _ in batch[self.key]])

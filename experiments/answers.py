"""What a scheduler's episodes of DMoE-Inference-v0 came to, answer by answer."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache, partial
from typing import Any

import numpy as np

from dmoe_gym.dmoe.inference import InferenceConfig, inference_scenario
from dmoe_gym.dmoe.policies import JointPolicy
from dmoe_gym.dmoe.schedulers.rounds import JESA, Random, TopK
from dmoe_gym.dmoe.schedulers.scheduler import Observation, Scheduler, seen
from dmoe_gym.dmoe.solvers.jesa import jesa_batch
from dmoe_gym.evaluation import Interval, percent_change
from dmoe_gym.evaluation.run import BATCH
from dmoe_gym.facades.view import View, create_view
from dmoe_gym.models.digits.relevance import ClassifierRelevance
from dmoe_gym.models.language.families import END
from dmoe_gym.policy import Policy

ENV_ID = "DMoE-Inference-Joint-v0"
Z_GRID = (0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0)
GAMMA_GRID = (1.0, 0.9, 0.8, 0.7, 0.6)


@dataclass(frozen=True)
class Contender:
    """A scheduler with the configuration fields that it runs under.

    Attributes:
        family: "JESA", "homogeneous" (gamma = 1), "free" (a threshold per layer), "top-k", "random".
        build: from the configuration.
        overrides: z and gamma.
    """

    family: str
    build: Callable[[InferenceConfig], Scheduler]
    overrides: Mapping[str, float] = field(default_factory=dict)


@cache
def contenders() -> dict[str, Contender]:
    """Top-1, Top-2, Top-3, random, and JESA on the grid of z and gamma; gamma = 1 is homogeneous selection."""
    found = {f"top-{k}": Contender("top-k", partial(TopK, k=k)) for k in (1, 2, 3)}
    found["random"] = Contender("random", Random)
    for gamma in GAMMA_GRID:
        for z in Z_GRID:
            family = "homogeneous" if gamma == 1 else "JESA"
            overrides = {"threshold": z, "importance_factor": gamma}
            found[f"{family} z={z:g} gamma={gamma:g}"] = Contender(family, JESA, overrides)
    return found


class PerLayer(JESA):
    """JESA with thresholds that are free in every layer, where the importance factor's fall as z gamma^l."""

    def __init__(self, config: InferenceConfig, thresholds: Sequence[float]) -> None:
        super().__init__(config)
        self.thresholds = np.array(thresholds, np.float32)

    def fill(self, observation: Observation, selected: np.ndarray, subcarrier: np.ndarray) -> None:
        size, scores, efficiency, _ = seen(observation)
        thresholds = self.thresholds[self.layers(observation) - 1]
        jesa_batch(size, scores, efficiency, thresholds, self.constants, selected, subcarrier)


FREE = "free z="


def free_name(thresholds: Sequence[float]) -> str:
    """The name of the contender with these thresholds (L,)."""
    return FREE + "/".join(f"{z:g}" for z in thresholds)


def contender(name: str) -> Contender:
    """One of `contenders`, or of `free_name`."""
    if name.startswith(FREE):
        thresholds = [float(z) for z in name.removeprefix(FREE).split("/")]
        return Contender("free", partial(PerLayer, thresholds=thresholds))
    return contenders()[name]


@dataclass(frozen=True)
class Judged:
    """E episodes of K answers each.

    Attributes:
        query: (E, K) a number of what was asked; correct: (E, K) bool.
    """

    query: np.ndarray
    correct: np.ndarray

    @property
    def accuracy(self) -> float:
        """Share of right answers."""
        return float(self.correct.mean())

    @property
    def units(self) -> list[np.ndarray]:
        """Of every answer its episode, whose channels all its answers share, and its query."""
        episodes = np.repeat(np.arange(len(self.query)), self.query.shape[1])
        return [episodes, self.query.ravel()]

    def accuracy_interval(self) -> Interval:
        """[%], episodes and queries drawn anew, crossed."""
        return Interval.of(100.0 * self.correct.ravel(), self.units)

    def points_from(self, reference: Judged) -> Interval:
        """Accuracy less a reference's in points, paired."""
        right = 100.0 * (self.correct.astype(float) - reference.correct)
        return Interval.of(right.ravel(), self.units)


@dataclass(frozen=True)
class Answers(Judged):
    """Of L layers.

    Attributes:
        energy: (E,) per answer [mJ]; cost: (E,) mean per layer.
        wrong_answer_price: what a wrong answer costs of an episode, per answer and layer: R / L.
        by_expert: (L, K) share of hidden states that node j's expert served.
        by_rank: (L, K) share of hidden states whose expert of the r-th best gate score served them.
    """

    energy: np.ndarray
    cost: np.ndarray
    wrong_answer_price: float
    by_expert: np.ndarray
    by_rank: np.ndarray

    def energy_interval(self) -> Interval:
        """[mJ], episodes drawn anew."""
        return Interval.of(self.energy)

    def cost_interval(self) -> Interval:
        """Per layer; its part of wrong answers by episode and query."""
        wrong = self.correct.mean(1, keepdims=True) - self.correct
        return Interval.of((self.cost[:, None] + self.wrong_answer_price * wrong).ravel(), self.units)

    def change_from(self, reference: Answers) -> tuple[Interval, Interval]:
        """Accuracy less a reference's in points, and energy beside it in per cent, paired."""
        return self.points_from(reference), percent_change(self.energy, reference.energy)


def ask(
    name: str, inputs: str, first_seed: int, episodes: int, scenario: str, overrides: Mapping[str, Any] | None = None
) -> Answers:
    """Episodes of a contender on a part of the inputs, one per seed; those of the same seeds and inputs are paired."""
    chosen = contender(name)
    fields = {**chosen.overrides, **(overrides or {}), "relevance": {"inputs": inputs}}
    config = inference_scenario(scenario).replace(**fields)
    by_expert, by_rank = np.zeros((2, config.num_layers, config.num_experts))

    def watch(observation: Observation, layer: int, selected: np.ndarray) -> None:
        order = np.argsort(-observation["gate_scores"], axis=-1, kind="stable")
        by_expert[layer] += selected.mean((1, 2)).sum(0) / episodes
        by_rank[layer] += np.take_along_axis(selected, order, axis=-1).mean((1, 2)).sum(0) / episodes

    policy = JointPolicy(chosen.build(config))
    found = answered(ENV_ID, scenario, fields, policy, range(first_seed, first_seed + episodes), watch)
    return Answers(
        found["query"],
        found["correct"],
        found["energy_per_answer_mJ"],
        found["cost"],
        config.wrong_answer_price / config.num_layers,
        by_expert,
        by_rank,
    )


def begun(env_id: str, scenario: str | None, fields: Mapping[str, Any], seeds: range) -> tuple[View, Any]:
    """An environment per seed, in which an episode begins: what is seen of them, and their core."""
    view = create_view(env_id, len(seeds), scenario, fields)
    view.core.seed(view.core.all_rows, [(seed, 0) for seed in seeds])
    view.core.start(view.core.all_rows)
    return view, view.core


def answered(
    env_id: str,
    scenario: str | None,
    fields: Mapping[str, Any],
    policy: Policy,
    seeds: range,
    watch: Callable[[Observation, int, np.ndarray], None] = lambda *_: None,
) -> dict[str, np.ndarray]:
    """An episode of an environment with a model per seed: its means (E,), and query and correct (E, queries).

    Args:
        watch: called in every round with what was observed, the round's number from 0 and what was selected.
    """
    parts = []
    for first in seeds[::BATCH]:
        some = range(first, min(first + BATCH, seeds.stop))
        view, core = begun(env_id, scenario, fields, some)
        sums = {name: np.zeros(core.num_envs) for name in core.terms}
        for layer in range(core.rounds_per_episode):
            observation = view.batch()
            actions, _ = policy.predict(observation)
            core.step(core.checked_actions(actions), core.all_rows)
            watch(observation, layer, core.selected)
            for name, values in core.terms.items():
                sums[name] += values
        means = core.metrics({name: values / core.rounds_per_episode for name, values in sums.items()})
        right = core.relevance.right(core.all_rows) == 1
        parts.append({**means, "query": queries(core.relevance), "correct": right})
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def queries(process: Any) -> np.ndarray:
    """(batch, nodes) a number of what every node is asked: its image, or a checksum of its query without what stands
    before it."""
    if isinstance(process, ClassifierRelevance):
        return process.images.copy()
    found = [zlib.crc32(row[np.flatnonzero(row[:-1] == END)[-1] + 1 :].tobytes()) for row in process.asked.tokens]
    return np.array(found).reshape(process.domains.shape)

"""A fourth system: tokens go to one of K experts that have queues; an answer's gate score pays, waiting costs."""

from types import MappingProxyType
from typing import Annotated, Any

import numpy as np
from gymnasium import spaces
from pydantic import Field

from dmoe_gym.config import SystemConfig
from dmoe_gym.core import BatchedCore
from dmoe_gym.policy import BatchPolicy, RandomActionPolicy, Scheduler
from dmoe_gym.registration import register
from dmoe_gym.relevance import DirichletConfig, RelevanceField
from dmoe_gym.system import COST, RELEVANCE, LineUp, System


class QueueConfig(SystemConfig):
    """The fourth system's sizes and prices.

    Attributes:
        num_experts: K.
        num_tokens: of an episode.
        waiting_price: per token ahead in the queue.
        relevance: source of gate scores.
    """

    num_experts: Annotated[int, Field(ge=2, le=64)] = 4
    num_tokens: Annotated[int, Field(ge=1, le=4096)] = 32
    waiting_price: Annotated[float, Field(ge=0, le=1e3)] = 0.1
    relevance: RelevanceField = DirichletConfig()

    def numbers(self) -> int:
        return 20 * self.num_experts


class QueueCore(BatchedCore):
    """One token per step; a queue grows by the token that it gets, and every queue loses 1 / K of a token."""

    decides_rounds = True
    term_names = ("cost", "relevance")
    _upper = MappingProxyType({"gate_scores": 1, "queues": 1})

    def __init__(self, num_envs: int, config: QueueConfig) -> None:
        super().__init__(num_envs, config, config.num_tokens)
        self.relevance = config.relevance.process(num_envs, 1, 1, config.num_experts)
        # as shares of the episode's tokens
        self.queues = np.zeros((num_envs, config.num_experts), np.float32)
        self.chosen = np.zeros(num_envs, np.int64)
        self._build_spaces()

    def _observations(self) -> dict[str, np.ndarray]:
        return {"gate_scores": self.relevance.gate_scores[:, 0, 0], "queues": self.queues}

    def _action_space(self) -> spaces.Space:
        return spaces.Discrete(self.config.num_experts)

    def _draw_first_round(self, rows: np.ndarray) -> None:
        self.queues[rows] = 0
        self.relevance.start(rows, self.generators)

    def _draw_next_round(self, rows: np.ndarray) -> None:
        self.relevance.advance(rows, self.generators)

    def _observe_round(self, rows: np.ndarray) -> None:
        """The observations are the state itself."""

    def step(self, actions: np.ndarray, rows: np.ndarray) -> None:
        config, chosen = self.config, actions[rows]
        score, ahead = self.relevance.gate_scores[rows, 0, 0, chosen], self.queues[rows, chosen] * config.num_tokens
        cost = 1 - score + config.waiting_price * ahead
        self.chosen[rows], self.rewards[rows] = chosen, -cost
        self.terms["cost"][rows], self.terms["relevance"][rows] = cost, score
        self.queues[rows, chosen] += 1 / config.num_tokens
        self.queues[rows] = np.maximum(self.queues[rows] - 1 / (config.num_experts * config.num_tokens), 0)
        self._finish_round(rows)

    def round(self, row: int) -> tuple[np.ndarray, np.ndarray]:
        return self.relevance.gate_scores[row, 0, 0].copy(), self.queues[row].copy()

    def schedule(self, row: int) -> int:
        return int(self.chosen[row])

    def check(self, round: Any, schedule: int) -> list[str]:
        return [] if 0 <= schedule < self.config.num_experts else [f"expert {schedule} is none"]


class Greedy(Scheduler):
    """The expert whose score less waiting is largest."""

    def schedule(self, observation: Any) -> np.ndarray:
        waiting = self.config.waiting_price * self.config.num_tokens * observation["queues"]
        return (observation["gate_scores"] - waiting).argmax(-1)


class QueuePolicy(BatchPolicy):
    """A scheduler in the action space."""

    key, dimensions = "gate_scores", 1

    def __init__(self, scheduler: Scheduler) -> None:
        self.scheduler = scheduler

    def actions(self, batch: Any) -> np.ndarray:
        return self.scheduler.schedule(batch)


def line_up(config: QueueConfig) -> LineUp:
    """The analytic policies."""
    random = RandomActionPolicy(spaces.Discrete(config.num_experts), "gate_scores", 1)
    policies = {"random": random, "greedy": QueuePolicy(Greedy(config))}
    return LineUp("Queue-v0", policies, bounds=(), random="random", optimum="greedy", reference="greedy")


QUEUE = System(
    name="queues",
    scenarios=MappingProxyType({"calm": QueueConfig(), "busy": QueueConfig(waiting_price=0.5)}),
    metrics=(COST, RELEVANCE),
    line_up=line_up,
    bounds=MappingProxyType({}),
    scheduler_policy=QueuePolicy,
)
register("Queue-v0", QueueCore, QUEUE)

if __name__ == "__main__":
    from dmoe_gym.evaluation import compare, evaluate_line_up

    for result in compare(evaluate_line_up("Queue-v0", scenario="busy", seeds=range(100)), reference="greedy"):
        print(f"{result.policy:6s} cost {result.value:.4f}")

"""Batches of environments under random actions, and the random numbers of one round alone."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import gymnasium as gym
import numpy as np

import dmoe_gym  # noqa: F401 - registers the environments
from dmoe_gym.channel import RayleighConfig
from dmoe_gym.dmoe import DMoEConfig
from dmoe_gym.relevance import DirichletConfig

# Steps that sum to about one round for every id, for K nodes of N hidden states
STEPS_PER_ROUND: dict[str, Callable[[DMoEConfig], int]] = {
    "DMoE-DES-v0": lambda config: config.num_experts * config.num_states,
    "DMoE-JESA-v0": lambda config: 1,
    "DMoE-JESA-Sequential-v0": lambda config: config.num_experts * config.num_states * config.max_experts,
    "DMoE-JESA-Price-v0": lambda config: 1,
}


class Stepper:
    """One batch through Gymnasium's vector interface, with actions drawn beforehand.

    Attributes:
        steps: calls of `step` in one run.
    """

    def __init__(self, env_id: str, scenario: str, num_envs: int, **overrides: Any) -> None:
        self.envs = gym.make_vec(
            env_id, num_envs=num_envs, scenario=scenario, vectorization_mode="vector_entry_point", **overrides
        )
        self.core = self.envs.unwrapped.core
        self.config = self.core.config
        self.num_envs = num_envs
        _, info = self.envs.reset(seed=0)
        self.masked = "action_mask" in info
        self.generator = np.random.default_rng(0)
        self.envs.action_space.seed(0)
        self.actions = [self.envs.action_space.sample() for _ in range(4)]
        # an episode and its reset where that is short, so that every call draws as much; else one round
        steps = STEPS_PER_ROUND[env_id](self.config)
        self.steps = next((count for count in (steps * self.config.num_layers + 1, steps) if count <= 128), steps)
        self._calls = 0
        self._started = self._count_episodes()
        self._before = self._rounds()

    def _count_episodes(self) -> list[int]:
        """How many environments every later start starts anew."""
        start, started = self.core.start, [self.num_envs]

        def counted(rows):
            started.append(len(rows))
            start(rows)

        self.core.start = counted
        return started

    def _rounds(self) -> int:
        """Rounds drawn so far: no episode is left early here."""
        length = self.core.rounds_per_episode
        return int(sum(self._started) * length - (length - self.core.layer).sum())

    def __call__(self) -> None:
        step = self.envs.step
        for call in range(self.steps):
            step(self._feasible() if self.masked else self.actions[call % 4])
        self._calls += 1

    def _feasible(self) -> np.ndarray:
        """A feasible action for everyone: the first one after a position that wanders."""
        masks = self.core.masks()
        start = self.generator.integers(masks.shape[1])
        return (np.roll(masks, -start, axis=1).argmax(1) + start) % masks.shape[1]

    @property
    def rounds_per_call(self) -> float:
        """Rounds that every environment drew per call, on average."""
        return (self._rounds() - self._before) / (self._calls * self.num_envs)


class Draws:
    """The random numbers of one round of every environment, from as many generators, and nothing else."""

    def __init__(self, config: DMoEConfig, num_envs: int) -> None:
        if not (isinstance(config.channel, RayleighConfig) and isinstance(config.relevance, DirichletConfig)):
            raise ValueError("valid here are the Rayleigh channel and Dirichlet gate scores, those of the scenarios")
        experts, states = config.num_experts, config.num_states
        self.generators = [
            np.random.Generator(np.random.PCG64(child)) for child in np.random.SeedSequence(0).spawn(num_envs)
        ]
        self.gains = np.empty((num_envs, experts, experts, config.num_subcarriers), np.float32)
        self.scores = np.empty((num_envs, experts, states, experts), np.float32)
        self.bonus = np.empty((num_envs, experts, states), np.float32)
        self.rows = list(zip(self.generators, self.gains, self.scores, self.bonus, strict=True))
        self.concentration, self.domain_bonus = config.relevance.concentration, config.relevance.domain_bonus

    def __call__(self) -> None:
        concentration, bonus = self.concentration, self.domain_bonus
        for generator, gains, scores, extra in self.rows:
            generator.standard_exponential(dtype=np.float32, out=gains)
            generator.standard_gamma(concentration, dtype=np.float32, out=scores)
            generator.standard_gamma(bonus, dtype=np.float32, out=extra)

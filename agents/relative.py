"""Rewards measured against an analytic scheduler on the same rounds.

Most of a round's cost is luck of the channel. What a reference scheduler pays for the same round does not depend on
the learner's actions, so taking it off leaves the optimal policy as it is and the rewards with far less noise (a
control variate; this project's choice).
"""

from __future__ import annotations

from typing import Any

import gymnasium as gym
import numpy as np
from stable_baselines3.common.vec_env import VecEnvWrapper

from agents.teachers import teacher_scheduler
from dmoe_gym.core import BatchedCore
from dmoe_gym.dmoe.policies import JointPolicy
from dmoe_gym.facades.create import create_core
from dmoe_gym.facades.stable_baselines import BatchedVecEnv


class RelativeRewards(VecEnvWrapper):
    """`DMoE-JESA-Sequential-v0` with one reward per round, at its end: the reference's cost minus the learner's.

    The reference acts in `DMoE-JESA-v0` environments with the same seeds, whose rounds are the same bit for bit.

    Args:
        venv: the sequential environments.
        reference: name of the scheduler, as in `teachers.teacher_scheduler`.
        scenario, overrides: as `venv` was made with.

    Raises:
        ValueError: for an unknown reference.
    """

    venv: BatchedVecEnv

    def __init__(self, venv: BatchedVecEnv, reference: str, scenario: str | None, overrides: dict[str, Any]) -> None:
        super().__init__(venv)
        path = gym.spec("DMoE-JESA-v0").kwargs["core"]
        self.twin: BatchedCore = create_core(path, venv.num_envs, scenario, overrides)
        self.policy = JointPolicy(teacher_scheduler(reference, venv.config))
        self._saved = np.zeros(venv.num_envs)
        self._seed: int | None = None

    @property
    def core(self) -> BatchedCore:
        """The learner's environments."""
        return self.venv.core

    @property
    def config(self) -> Any:
        """The system's configuration."""
        return self.venv.config

    def seed(self, seed: int | None = None) -> Any:
        """Seed both batches alike at the next reset."""
        self._seed = int(np.random.SeedSequence().generate_state(1)[0]) if seed is None else seed
        return self.venv.seed(self._seed)

    def reset(self) -> Any:
        """Start the next episode of every environment."""
        if self._seed is not None:
            self.twin.seed(self.twin.all_rows, [(self._seed, row) for row in range(self.num_envs)])
            self._seed = None
        self.twin.start(self.twin.all_rows)
        self._saved[:] = 0
        return self.venv.reset()

    def step_wait(self) -> Any:
        """Step every environment; where a round ended, the reference decides the same round."""
        observation, rewards, dones, infos = self.venv.step_wait()
        self._saved += rewards
        first = (observation["turn"][:, 0] > 0) & ~observation["selected"].any(axis=(1, 2, 3))
        relative = np.zeros_like(rewards)
        rows = np.flatnonzero(first)
        if len(rows):
            actions = np.zeros((self.num_envs, *self.twin.action_space.shape), np.int64)  # type: ignore[misc]
            actions[rows] = self.policy.predict({key: values[rows] for key, values in self.twin.observations.items()})[
                0
            ]
            self.twin.step(actions, rows)
            relative[rows] = self._saved[rows] - self.twin.rewards[rows]
            self._saved[rows] = 0
            ended = rows[self.twin.terminated[rows]]
            if len(ended):
                self.twin.start(ended)
        return observation, relative, dones, infos

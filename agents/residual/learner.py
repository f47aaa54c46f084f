"""The learner of residual schedulers: candidates run the same recorded episodes."""

from __future__ import annotations

from typing import Any

import numpy as np

from agents.evolution import EvolutionStrategy
from agents.replay import Recording, ReplayCore, record
from agents.residual.base import Arrays, Compiled, Surveyed
from agents.residual.policy import ResidualPolicy
from dmoe_gym.dmoe.env.base import DMoECore
from dmoe_gym.dmoe.env.joint import encode_joint


class ResidualEvolution(EvolutionStrategy[Recording]):
    """`EvolutionStrategy` with `ResidualPolicy` in a `BatchedVecEnv` of `DMoE-JESA-v0`."""

    policy: ResidualPolicy

    @property
    def core(self) -> DMoECore:
        """The environments."""
        assert self.env is not None
        assert isinstance(self.env.core, DMoECore)
        return self.env.core

    def record(self) -> Recording:
        return record(self.core)

    def decided(self, recording: Recording) -> int:
        """Rounds: of all candidates together, or surveyed once for all."""
        rounds = recording.gains.shape[0] * recording.gains.shape[1]
        return rounds if self.policy.residual.surveyed else rounds * 2 * self.pairs * self.generations

    def looks(self, recording: Recording) -> list[Arrays]:
        """What is seen of every round, and what its choices save where they are surveyed."""
        residual = self.policy.residual
        core = ReplayCore(self.core.config, recording, 1)
        memory = residual.start(core.num_envs)
        core.start(core.all_rows)
        looks = []
        while not core.terminated.all():
            seen = residual.see(core.observations, memory)
            if isinstance(residual, Surveyed):
                seen["savings"] = residual.survey(core.observations, seen)
                seen["features"] = residual.features(core.observations, seen)
            looks.append(seen)
            core.skip_round(core.all_rows)
        return looks

    def costs(self, recording: Recording, looks: list[Any], parameters: np.ndarray) -> np.ndarray:
        """Mean cost per round (P, B) in B recorded episodes."""
        residual, copies = self.policy.residual, len(parameters)
        if isinstance(residual, Surveyed):
            outputs = [self.policy.network(parameters, seen["features"][None]) for seen in looks]
            valued = [residual.valued(seen, seen["savings"], each) for seen, each in zip(looks, outputs, strict=True)]
            return np.mean(valued, axis=0)
        if isinstance(residual, Compiled):
            return np.mean([residual.costs(self.policy.network, seen, parameters) for seen in looks], axis=0)
        core = ReplayCore(self.core.config, recording, copies)
        total = np.zeros(core.num_envs)
        core.start(core.all_rows)
        for seen in looks:
            tiled = {key: np.tile(values, (copies, *[1] * (values.ndim - 1))) for key, values in seen.items()}
            core.step(encode_joint(*self.policy.decide(core.observations, tiled, parameters)), core.all_rows)
            total -= core.rewards
        return total.reshape(copies, -1) / core.rounds_per_episode

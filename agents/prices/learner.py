"""The learner of prices: imitation, then generations of an evolution strategy."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from agents.evolution import EvolutionStrategy
from agents.prices.imitation import Imitation, imitate
from agents.prices.kernels import Blocks, candidate_latencies
from agents.prices.policy import PricePolicy
from dmoe_gym.facades.stable_baselines import BatchedVecEnv
from dmoe_gym.wdmoe.env.base import WDMoECore
from dmoe_gym.wdmoe.physics.cost import reference_latency
from dmoe_gym.wdmoe.policies import Observed


class PriceEvolution(EvolutionStrategy[Observed]):
    """`EvolutionStrategy` on the costs of observed blocks, with a warm start.

    Blocks do not depend on actions, so no environment is run: candidates schedule the same blocks and are compared by
    their latencies in the channel as seen.

    Args:
        policy: `PricePolicy`.
        env: `BatchedVecEnv` of `WDMoE-Joint-v0`.
        imitation: fields of `Imitation`, where they differ from its defaults; None for no warm start.
        hyperparameters: of `EvolutionStrategy`.

    Raises:
        ValueError: for an unknown field of `imitation`, or what `EvolutionStrategy` refuses.
    """

    policy: PricePolicy

    def __init__(
        self,
        policy: type[PricePolicy],
        env: BatchedVecEnv,
        *,
        imitation: Mapping[str, Any] | None = None,
        **hyperparameters: Any,
    ) -> None:
        if unknown := set(imitation or ()) - set(Imitation._fields):
            raise ValueError(f"imitation.{min(unknown)}: valid are {', '.join(Imitation._fields)}")
        self.imitation = None if imitation is None else Imitation(**imitation)
        super().__init__(policy, env, **hyperparameters)

    @property
    def core(self) -> WDMoECore:
        """The environments."""
        assert self.env is not None
        assert isinstance(self.env.core, WDMoECore)
        return self.env.core

    def record(self) -> Observed:
        """All blocks of the next episode of every environment, as observed."""
        core = self.core
        core.start(core.all_rows)
        observations = []
        while not core.terminated.all():
            observations.append({key: values.copy() for key, values in core.observations.items()})
            core.skip_round(core.all_rows)
        merged = {key: np.concatenate([each[key] for each in observations]) for key in core.observations}
        return Observed.of(core.config, merged)

    def decided(self, recording: Observed) -> int:
        """Blocks that all candidates together schedule."""
        return len(recording.budget) * 2 * self.pairs * self.generations

    def costs(self, recording: Observed, looks: list[Any], parameters: np.ndarray) -> np.ndarray:
        """Costs (P, B) of P parameter vectors; every selection keeps the budget, so they are latencies."""
        settings = self.policy.scheduler().settings
        latencies = candidate_latencies(parameters, Blocks.of(recording), settings)
        return latencies / reference_latency(recording.config)

    def warm_start(self) -> bool:
        """Imitation, if any; it counts each of its blocks once."""
        if self.imitation is None:
            return False
        recordings = [self.record()]
        while sum(len(each.budget) for each in recordings) < self.imitation.blocks:
            recordings.append(self.record())
        fields = {name: np.concatenate([getattr(each, name) for each in recordings]) for name in Blocks._fields}
        blocks = Observed(recordings[0].config, **fields)
        vector, network = self.policy.parameters_vector, self.policy.network
        losses = imitate(self.policy.scheduler(), blocks, vector, network, self.imitation, self.generator)
        for number, loss in enumerate(losses, 1):
            self.num_timesteps = len(blocks.budget) * number // len(losses)
            self.logger.record("imitation/squared_error", loss)
            self.logger.dump(self.num_timesteps)
        return True

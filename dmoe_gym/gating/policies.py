"""Schedulers as policies of `ChannelAwareGating-v0`."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping

import numpy as np

from dmoe_gym.gating.env import encode_selection
from dmoe_gym.gating.frozen import FrozenNetworks
from dmoe_gym.gating.scenarios import GatingSystemConfig
from dmoe_gym.policy import Scheduler, SchedulerPolicy


class Ranking(Scheduler):
    """The `top_k` experts with the largest scores; of equals the first."""

    config: GatingSystemConfig

    @abstractmethod
    def scores(self, observation: Mapping[str, np.ndarray]) -> np.ndarray:
        """(B, K), larger is better."""

    def schedule(self, observation: Mapping[str, np.ndarray]) -> tuple[np.ndarray]:
        """Selections (B, K) bool."""
        scores = self.scores(observation)
        selected = np.zeros(scores.shape, bool)
        best = np.argsort(-scores, axis=1, kind="stable")[:, : self.config.top_k]
        np.put_along_axis(selected, best, True, axis=1)
        return (selected,)


class Gate(Ranking):
    """A trained gate: naive, which leaves the SNRs aside, or channel-aware."""

    def __init__(self, config: GatingSystemConfig, networks: FrozenNetworks) -> None:
        super().__init__(config)
        self.networks = networks

    def scores(self, observation: Mapping[str, np.ndarray]) -> np.ndarray:
        return self.networks.gate_log_weights(
            np.asarray(observation["features"], np.float32), np.asarray(observation["snr_bel"], np.float32)
        )


class SNRGreedy(Ranking):
    """The best channel, whatever the input."""

    def scores(self, observation: Mapping[str, np.ndarray]) -> np.ndarray:
        return np.asarray(observation["snr_bel"])


class RandomExperts(Ranking):
    """Uniformly random experts, always `top_k` of them."""

    def __init__(self, config: GatingSystemConfig, seed: int = 0) -> None:
        super().__init__(config)
        self._generator = np.random.default_rng(seed)

    def scores(self, observation: Mapping[str, np.ndarray]) -> np.ndarray:
        return self._generator.random(np.shape(observation["snr_bel"]))


class SelectionPolicy(SchedulerPolicy):
    """A scheduler that acts in `ChannelAwareGating-v0`."""

    key, dimensions = "features", 1

    def actions(self, batch: Mapping[str, np.ndarray]) -> np.ndarray:
        (selected,) = self.scheduler.schedule(batch)
        return encode_selection(selected, self.scheduler.config.top_k)

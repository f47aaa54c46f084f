"""Policies that rank the experts and take the best."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping

import numpy as np

from dmoe_gym.gating.env.core import encode_selection
from dmoe_gym.gating.frozen import FrozenNetworks
from dmoe_gym.policy import BatchPolicy


class RankingPolicy(BatchPolicy):
    """The `top_k` experts with the largest scores; of equals the first."""

    key, dimensions = "features", 1

    def __init__(self, top_k: int = 1) -> None:
        self.top_k = top_k

    @abstractmethod
    def scores(self, batch: Mapping[str, np.ndarray]) -> np.ndarray:
        """(B, K), larger is better."""

    def actions(self, batch: Mapping[str, np.ndarray]) -> np.ndarray:
        scores = self.scores(batch)
        selected = np.zeros(scores.shape, bool)
        np.put_along_axis(selected, np.argsort(-scores, axis=1, kind="stable")[:, : self.top_k], True, axis=1)
        return encode_selection(selected, self.top_k)


class GatePolicy(RankingPolicy):
    """A trained gate: naive, which leaves the SNRs aside, or channel-aware."""

    def __init__(self, networks: FrozenNetworks, top_k: int = 1) -> None:
        super().__init__(top_k)
        self.networks = networks

    def scores(self, batch: Mapping[str, np.ndarray]) -> np.ndarray:
        return self.networks.gate_log_weights(
            np.asarray(batch["features"], np.float32), np.asarray(batch["snr_bel"], np.float32)
        )


class SNRGreedy(RankingPolicy):
    """The best channel, whatever the input."""

    def scores(self, batch: Mapping[str, np.ndarray]) -> np.ndarray:
        return np.asarray(batch["snr_bel"])


class RandomExperts(RankingPolicy):
    """Uniformly random experts, always `top_k` of them."""

    def __init__(self, top_k: int = 1, seed: int = 0) -> None:
        super().__init__(top_k)
        self._generator = np.random.default_rng(seed)

    def scores(self, batch: Mapping[str, np.ndarray]) -> np.ndarray:
        return self._generator.random(np.shape(batch["snr_bel"]))

"""What residual environments share: one flat vector of named features, which stock learners take."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterable, Mapping
from typing import ClassVar

import numpy as np
from gymnasium import spaces

from dmoe_gym.core import BatchedCore

LARGEST = 5.0  # features are clipped to it


def feature_names(of_nodes: Iterable[str], nodes: int, of_all: Iterable[str]) -> tuple[str, ...]:
    """The names of a vector's entries, feature after feature: "demand[3]" is of node 3."""
    return tuple(f"{name}[{node}]" for name in of_nodes for node in range(nodes)) + tuple(of_all)


class FeatureCore(BatchedCore):
    """What is observed is one vector of features; this core stands before its system's own among the bases.

    Attributes:
        features: (num_envs, features) float32, what is observed.
        inputs: what they are functions of, by the names under which the system's core observes it.
        features_told: what each means by its name, by what there is one of each for, in the order of the vector.
    """

    alone = "features"
    features_told: ClassVar[Mapping[str, Mapping[str, str]]]

    def _make_features(self, num_envs: int) -> None:
        """Called before the system's core builds its spaces."""
        self.features = np.zeros((num_envs, len(self.feature_names)), np.float32)

    @property
    @abstractmethod
    def feature_names(self) -> tuple[str, ...]:
        """What the entries of an observation mean."""

    @property
    def entry_names(self) -> tuple[str, ...]:
        """The names of a whole observation's entries, where `feature_names` are a part's."""
        return self.feature_names

    def _observations(self) -> dict[str, np.ndarray]:
        self.inputs = super()._observations()  # type: ignore[safe-super]  # of the system's core
        return {"features": self.features}

    def _observation_space(self) -> spaces.Space:
        return spaces.Box(-LARGEST, LARGEST, self.features.shape[1:], np.float32)

    def _observed(self, rows: np.ndarray) -> dict[str, np.ndarray]:
        """What the system's core observes of some environments, in 64 bit."""
        return {name: values[rows].astype(np.float64) for name, values in self.inputs.items()}

    def _write(self, rows: np.ndarray, parts: list[np.ndarray]) -> None:
        """Features of some environments, (rows, count) each."""
        self.features[rows] = np.clip(np.concatenate(parts, axis=1), -LARGEST, LARGEST)

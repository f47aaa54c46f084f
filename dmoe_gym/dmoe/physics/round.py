"""What one round of DMoE is, and what a schedule for it is: immutable, validated arrays."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property

import numpy as np

from dmoe_gym.config import checked_array, checked_bool_array, require_sum_of_one
from dmoe_gym.dmoe.config import DMoEConfig

# Below, the 1 of 1 + SNR leaves few digits or none, and the logarithm is the SNR itself.
TINY_SNR = 1e-8


@dataclass(frozen=True, eq=False)
class Round:
    """One round: every node's hidden states, every link's gains, the relevance asked for.

    Args:
        gate_scores: (K, N, K), relevance of expert j for hidden state n of node i; each sums to one over j.
        gains: (K, K, M), linear channel power gain of link i -> j on subcarrier m; the diagonal is not used.
        threshold: z * gamma^l, in [0, 1].
        config: sizes and physical constants.
        battery: (K,), energy that every node has left [J]; None where nodes have no battery.
        harvested: (K,), energy that arrived at its beginning, before what the battery could not hold was lost [J];
            None without harvest.
        blocked: (K, K) bool, is link i -> j blocked; blocked_chance: (K, K), the probability that it is given its rates
            and its last state, of its law at an episode's start. None where links are never blocked, or this is not
            known.
        relevance_owed: the mean relevance that a relevance budget asks of this round (all that is still missing in
            an episode's last round, 0 before); None where every hidden state has its threshold.

    Raises:
        ValueError: naming the field, what was given and what is valid.
    """

    gate_scores: np.ndarray
    gains: np.ndarray
    threshold: float
    config: DMoEConfig = field(repr=False)
    battery: np.ndarray | None = None
    relevance_owed: float | None = None
    harvested: np.ndarray | None = None
    blocked: np.ndarray | None = None
    blocked_chance: np.ndarray | None = None

    def __post_init__(self) -> None:
        if not isinstance(self.config, DMoEConfig):
            raise ValueError(f"config = {self.config!r}: valid is a DMoEConfig")
        experts, states, subcarriers = self.config.num_experts, self.config.num_states, self.config.num_subcarriers
        scores = checked_array("gate_scores", self.gate_scores, (experts, states, experts), minimum=0)
        require_sum_of_one("gate_scores", scores)
        threshold = float(checked_array("threshold", self.threshold, (), minimum=0, maximum=1))
        gains = checked_array("gains", self.gains, (experts, experts, subcarriers), minimum=0)
        if self.battery is not None:
            object.__setattr__(self, "battery", checked_array("battery", self.battery, (experts,), minimum=0))
        if self.harvested is not None:
            object.__setattr__(self, "harvested", checked_array("harvested", self.harvested, (experts,), minimum=0))
        if self.blocked is not None:
            object.__setattr__(self, "blocked", checked_bool_array("blocked", self.blocked, (experts, experts)))
        if self.blocked_chance is not None:
            chance = checked_array("blocked_chance", self.blocked_chance, (experts, experts), minimum=0, maximum=1)
            object.__setattr__(self, "blocked_chance", chance)
        if self.relevance_owed is not None:
            owed = float(checked_array("relevance_owed", self.relevance_owed, (), minimum=0))
            object.__setattr__(self, "relevance_owed", owed)
        object.__setattr__(self, "gate_scores", scores)
        object.__setattr__(self, "gains", gains)
        object.__setattr__(self, "threshold", threshold)

    @cached_property
    def one_way_efficiency(self) -> np.ndarray:
        """log2(1 + SNR) [bit/s/Hz], (K, K, M); zero on the diagonal, which needs no radio."""
        snr = self.config.mean_snr * self.gains
        efficiency = np.where(snr > TINY_SNR, np.log2(1 + snr), snr / np.log(2))
        efficiency[np.diag_indices(self.config.num_experts)] = 0
        efficiency.setflags(write=False)
        return efficiency

    @cached_property
    def spectral_efficiency(self) -> np.ndarray:
        """`one_way_efficiency`, or where answers travel back that of both ways [bit/s/Hz], (K, K, M)."""
        one_way = self.one_way_efficiency
        if not self.config.return_transmission:
            return one_way
        efficiency = in_turn(one_way, one_way.swapaxes(0, 1))
        efficiency.setflags(write=False)
        return efficiency

    def link_efficiency(self, allocated: np.ndarray) -> np.ndarray:
        """(K, K) of links over all of their subcarriers, (K, K, M) bool, together [bit/s/Hz]."""
        there = np.where(allocated, self.one_way_efficiency, 0.0).sum(-1)
        if not self.config.return_transmission:
            return there
        return in_turn(there, np.where(allocated, self.one_way_efficiency.swapaxes(0, 1), 0.0).sum(-1))

    @property
    def rates(self) -> np.ndarray:
        """B0 times `spectral_efficiency` [bit/s], (K, K, M); zero on the diagonal."""
        return self.config.subcarrier_bandwidth_hz * self.spectral_efficiency

    @cached_property
    def attainable_threshold(self) -> np.ndarray:
        """(K, N): the threshold, or the sum of the D largest scores where that is less."""
        best = np.sort(self.gate_scores, axis=-1)[..., -self.config.max_experts :].sum(-1)
        attainable = np.minimum(self.threshold, best)
        attainable.setflags(write=False)
        return attainable


@dataclass(frozen=True, eq=False)
class Schedule:
    """Who serves whom over which subcarriers.

    Args:
        selected: (K, N, K) bool, expert j serves hidden state n of node i (alpha).
        allocated: (K, K, M) bool, link i -> j may use subcarrier m (beta).

    Raises:
        ValueError: on shapes that do not fit each other or entries that are not boolean.
    """

    selected: np.ndarray
    allocated: np.ndarray

    def __post_init__(self) -> None:
        shape, links = np.shape(self.selected), np.shape(self.allocated)
        if len(shape) != 3 or shape[0] != shape[2]:
            raise ValueError(f"selected: has shape {shape}, valid is (K, N, K)")
        if len(links) != 3 or links[:2] != (shape[0], shape[0]):
            raise ValueError(f"allocated: has shape {links}, valid is ({shape[0]}, {shape[0]}, M)")
        object.__setattr__(self, "selected", checked_bool_array("selected", self.selected, shape))
        object.__setattr__(self, "allocated", checked_bool_array("allocated", self.allocated, links))

    @classmethod
    def from_subcarriers(cls, selected: np.ndarray, subcarrier: np.ndarray, num_subcarriers: int) -> Schedule:
        """A schedule with at most one subcarrier per link: (K, K) indices, -1 for none."""
        return cls(selected, subcarrier[..., None] == np.arange(num_subcarriers))

    @property
    def payload_states(self) -> np.ndarray:
        """(K, K) int: hidden states that travel from node i to node j."""
        return self.selected.sum(1)


def in_turn(there: np.ndarray, back: np.ndarray) -> np.ndarray:
    """1 / (1 / there + 1 / back), the spectral efficiency of sending the same there and then back; 0 if either is 0."""
    total = there + back
    return np.divide(there * back, total, out=np.zeros_like(total), where=total > 0)


def require_fit(round: Round, schedule: Schedule) -> None:
    """Refuse a schedule of another size than the round's.

    Raises:
        ValueError: naming the field and both shapes.
    """
    for name, given, valid in (
        ("selected", schedule.selected.shape, round.gate_scores.shape),
        ("allocated", schedule.allocated.shape, round.gains.shape),
    ):
        if given != valid:
            raise ValueError(f"schedule.{name}: has shape {given}, valid for this round is {valid}")

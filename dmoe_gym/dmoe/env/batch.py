"""What compiled steps of a whole batch work on."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from dmoe_gym.compiled.njit import njit
from dmoe_gym.compiled.pcg64 import gammas_as_known
from dmoe_gym.dmoe.config import DMoEConfig
from dmoe_gym.dmoe.physics import Round
from dmoe_gym.relevance.dirichlet import DirichletConfig

# What an episode's limits leave, one column each, followed by every node's battery [E_ref / (K N D)].
GATHERED, OWED, BATTERY = 0, 1, 2


class Rules(NamedTuple):
    """A configuration as far as the beginning of a round needs it beside `Constants`."""

    thresholds: np.ndarray  # (L + 1,) float32, by layer from 0; 32 bit, so that schedulers see what the cost is made of
    concentration: float  # of Dirichlet gate scores, 0 for other sources
    domain_bonus: float
    gammas_known: bool  # see `draws.fill_gammas`
    budget: float  # mean relevance asked for over the episode, NaN for none
    full_battery: float  # [E_ref / (K N D)], infinite for none
    battery_share: float  # one over it
    energy_unit: float  # E_ref / (K N D) [J]
    enforced: bool  # does the environment cure shortfalls that are dearer than their cure?

    @classmethod
    def of(cls, config: DMoEConfig) -> Rules:
        """The rules of a configuration."""
        source, battery, unit = config.relevance, config.battery_j, config.energy_unit_j
        dirichlet = (source.concentration, source.domain_bonus) if isinstance(source, DirichletConfig) else (0.0, 0.0)
        return cls(
            np.array([config.threshold_of_layer(layer) for layer in range(config.num_layers + 1)], np.float32),
            *dirichlet,
            gammas_known=gammas_as_known(),
            budget=np.nan if config.relevance_budget is None else config.relevance_budget,
            full_battery=np.inf if battery is None else battery / unit,
            battery_share=0.0 if battery is None else unit / battery,
            energy_unit=unit,
            enforced=config.enforces_threshold,
        )


class Batch(NamedTuple):
    """The arrays of a `DMoECore` and its processes, the environments along their first axis."""

    addresses: np.ndarray  # of the generators' states
    layer: np.ndarray
    progress: np.ndarray  # (B, 1) float32
    terminated: np.ndarray
    gains: np.ndarray  # (B, K, K, M) float32
    observed_gains: np.ndarray
    efficiency: np.ndarray  # (B, K, K, M) float32, of the observed gains
    domains: np.ndarray  # (B, K)
    gate_scores: np.ndarray  # (B, K, N, K) float32
    threshold: np.ndarray  # (B, 1) float32
    budget_left: np.ndarray  # (B, 1) float32
    battery: np.ndarray  # (B, K) float32
    selected: np.ndarray  # (B, K, N, K) bool
    subcarrier: np.ndarray  # (B, K, K), -1 for none
    account: np.ndarray  # (B, 2 + K), see `charge.charge_served`
    terms: np.ndarray  # (B, terms)
    rewards: np.ndarray


def round_of(
    config: DMoEConfig,
    gate_scores: np.ndarray,
    gains: np.ndarray,
    threshold: float,
    account: np.ndarray,
    harvested: np.ndarray | None = None,
    **known: np.ndarray,
) -> Round:
    """One environment's round from its arrays.

    Args:
        gate_scores: (K, N, K); gains: (K, K, M); account: (2 + K,), see `charge.charge_served`;
            harvested: (K,) [E_ref / (K N D)].
        known: further fields of the round.
    """
    return Round(
        gate_scores,
        gains,
        threshold,
        config,
        battery=None if config.battery_j is None else account[BATTERY:] * config.energy_unit_j,
        relevance_owed=None if config.relevance_budget is None else float(account[OWED]),
        harvested=None if harvested is None else harvested * config.energy_unit_j,
        **known,
    )


class Workspace(NamedTuple):
    """Arrays that repairing and charging one round need beside its arguments."""

    wishes: np.ndarray  # (K, K)
    taken: np.ndarray  # (M,) bool
    holder: np.ndarray  # (M,) links, see `link_of`
    waiting: np.ndarray  # (K * K,) links
    best: np.ndarray  # (D,)
    energies: np.ndarray  # (K,)
    link_efficiency: np.ndarray  # (K, K)
    served: np.ndarray  # (K, N, K) bool


@njit
def new_workspace(constants, batch):
    """A `Workspace` for a `Batch`'s rounds; what it holds at first does not matter."""
    _, experts, states, _ = batch.gate_scores.shape
    subcarriers, limit = batch.gains.shape[3], constants.max_experts
    return Workspace(
        np.empty((experts, experts), np.int64),
        np.empty(subcarriers, np.bool_),
        np.empty(subcarriers, np.int64),
        np.empty(experts * experts, np.int64),
        np.empty(limit),
        np.empty(experts),
        np.empty((experts, experts)),
        np.empty((experts, states, experts), np.bool_),
    )

"""Schedulers for limits that bind an episode's rounds together: a relevance budget, batteries."""

from __future__ import annotations

import numpy as np

from dmoe_gym.dmoe.config import DMoEConfig
from dmoe_gym.dmoe.schedulers.scheduler import Correctable, Corrections, Observation, observed_rounds
from dmoe_gym.dmoe.solvers.priced import best_multiplier, best_node_priced, node_priced

# Multipliers among which the adaptive rule chooses in the last round, where the budget falls due.
LAST_ROUND_MULTIPLIERS = np.geomspace(0.05, 200.0, 49)


class LagrangianJESA(Correctable):
    """JESA that pays a fixed multiplier for relevance instead of asking for a threshold.

    Args:
        multiplier: mu [E_ref / (K N D) per unit of a hidden state's relevance].

    Raises:
        ValueError: if the multiplier is negative.
    """

    def __init__(self, config: DMoEConfig, multiplier: float = 2.0) -> None:
        if not multiplier >= 0:
            raise ValueError(f"multiplier = {multiplier}: valid are numbers of at least 0")
        super().__init__(config)
        self.multiplier = float(multiplier)

    def fill_corrected(self, observation: Observation, corrections: Corrections, *schedule: np.ndarray) -> None:
        multipliers, owed = self.terms_of(observation)
        rounds = observed_rounds(observation, *schedule)
        for row, (scores, efficiency, _, chosen, route) in enumerate(rounds):
            prices = corrections.prices[row]
            constants = self.constants._replace(computation=self.constants.computation * prices)
            rates = efficiency / prices[:, None, None]
            # the fixed multiplier is a grid of one
            grid = LAST_ROUND_MULTIPLIERS if owed[row] >= 0 else multipliers[row : row + 1] * corrections.relevance[row]
            best_multiplier(scores, rates, constants, max(owed[row], 0.0), grid, chosen, route)

    def terms_of(self, observation: Observation) -> tuple[np.ndarray, np.ndarray]:
        """Every round's multiplier (B,), and what it owes (B,), negative where the multiplier decides."""
        size = len(observation["gate_scores"])
        return np.full(size, self.multiplier), np.full(size, -1.0)


class AdaptiveLagrangianJESA(LagrangianJESA):
    """The multiplier follows the budget: it rises where more is left to gather per round than at the start.

    In the last round, the multiplier whose schedule costs least, what is still missing included.

    Args:
        gain: mu = multiplier * exp(gain * (relevance left per round / budget - 1)).

    Raises:
        ValueError: if the configuration has no relevance budget, or the gain is negative.
    """

    def __init__(self, config: DMoEConfig, multiplier: float = 2.0, gain: float = 4.0) -> None:
        if config.relevance_budget is None:
            raise ValueError("relevance_budget = None: valid for an adaptive multiplier is a number")
        if not gain >= 0:
            raise ValueError(f"gain = {gain}: valid are numbers of at least 0")
        super().__init__(config, multiplier)
        self.gain = float(gain)

    def terms_of(self, observation: Observation) -> tuple[np.ndarray, np.ndarray]:
        layers = self.layers(observation)
        left = observation["budget_left"][:, 0].astype(float) * self.config.num_layers
        budget = max(float(self.config.relevance_budget or 0), 1e-9)
        pace = left / (self.config.num_layers - layers + 1) / budget
        multipliers = self.multiplier * np.exp(np.clip(self.gain * (pace - 1), -20, 20))
        return multipliers, np.where(layers == self.config.num_layers, left, -1.0)


class BatteryJESA(Correctable):
    """JESA with node prices that rise as a battery falls behind the episode; nodes are not overdrawn knowingly.

    Args:
        strength, power: a node's price is 1 + strength * (share of the episode left / share of the battery left)^power.
            Strength 0 only guards against overdrawing.

    Under a relevance budget `AdaptiveLagrangianJESA` says what relevance is worth in a round.

    Raises:
        ValueError: if the configuration has no batteries, or strength or power is negative.
    """

    def __init__(self, config: DMoEConfig, strength: float = 1.0, power: float = 2.0) -> None:
        if config.battery_j is None:
            raise ValueError("battery_j = None: valid for battery-aware prices is a number")
        if not (strength >= 0 and power >= 0):
            raise ValueError(f"strength = {strength}, power = {power}: valid are numbers of at least 0")
        super().__init__(config)
        self.strength, self.power = float(strength), float(power)
        self.relevance = None if config.relevance_budget is None else AdaptiveLagrangianJESA(config)

    def fill_corrected(self, observation: Observation, corrections: Corrections, *schedule: np.ndarray) -> None:
        battery = observation["battery"].astype(float) * (float(self.config.battery_j or 0) / self.config.energy_unit_j)
        prices, factor = self.prices(observation) * corrections.prices, corrections.relevance
        rounds = observed_rounds(observation, *schedule)
        if self.relevance is None:
            asked = self.constants.shortfall_price
            for row, (scores, efficiency, threshold, chosen, route) in enumerate(rounds):
                node_priced(
                    scores, efficiency, threshold, asked * factor[row], self.constants, prices[row], battery[row],
                    chosen, route,
                )  # fmt: skip
            return
        multipliers, owed = self.relevance.terms_of(observation)
        for row, (scores, efficiency, _, chosen, route) in enumerate(rounds):
            grid = LAST_ROUND_MULTIPLIERS if owed[row] >= 0 else multipliers[row : row + 1] * factor[row]
            best_node_priced(
                scores, efficiency, self.constants, prices[row], battery[row], max(owed[row], 0.0), grid, chosen, route
            )

    def prices(self, observation: Observation) -> np.ndarray:
        """Every node's price (B, K)."""
        share, left = self.shares(observation)
        return 1 + self.strength * (left / share) ** self.power

    def shares(self, observation: Observation) -> tuple[np.ndarray, np.ndarray]:
        """Share of every battery left (B, K), at least a thousandth, and of the episode (B, 1)."""
        rounds = self.config.num_layers
        left = (rounds - self.layers(observation) + 1) / rounds
        return np.maximum(observation["battery"].astype(float), 1e-3), left[:, None]


class HarvestJESA(BatteryJESA):
    """Battery prices of a receding horizon: a node's energy and expected arrivals against an even pace.

    Args:
        strength, power: a node's price is 1 + strength * (need / energy)^power: what the horizon's rounds take if an
            episode's mean energy is spent evenly, over what the node is expected to have in them.
        horizon: rounds ahead, cut at the episode's end.

    Raises:
        ValueError: if the configuration has no harvest, the horizon is less than 1, and as `BatteryJESA`.
    """

    def __init__(self, config: DMoEConfig, strength: float = 1.0, power: float = 4.0, horizon: float = 16) -> None:
        if config.harvest is None or config.harvest.known_mean_j is None:
            raise ValueError(f"harvest = {config.harvest}: valid for prices of expected arrivals is one of known law")
        if not horizon >= 1:
            raise ValueError(f"horizon = {horizon}: valid are numbers of at least 1")
        super().__init__(config, strength, power)
        self.horizon = horizon

    def prices(self, observation: Observation) -> np.ndarray:
        need, energy = self.need_and_energy(observation)
        return 1 + self.strength * (need / energy) ** self.power

    def need_and_energy(self, observation: Observation) -> tuple[np.ndarray, np.ndarray]:
        """What the horizon's rounds take at an even pace (B, 1), and what they are expected to have (B, K) [J]."""
        config, harvest = self.config, self.config.harvest
        assert harvest is not None
        assert harvest.known_mean_j is not None
        assert config.battery_j is not None  # all checked above
        full, rounds = config.battery_j, config.num_layers
        ahead = np.minimum(rounds - self.layers(observation), self.horizon)[:, None]
        now = observation["harvest"].astype(float) * full
        energy = observation["battery"].astype(float) * full + harvest.expected_arrivals(now, ahead)
        pace = (harvest.start_share * full + harvest.known_mean_j * rounds) / rounds
        return (ahead + 1) * pace, np.maximum(energy, 1e-3 * full)

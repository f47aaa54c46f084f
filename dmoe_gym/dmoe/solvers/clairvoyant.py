"""A lower bound on the cost of whole episodes under a relevance budget or with batteries: a Lagrangian dual.

Every budget gets a multiplier; with the multipliers given, each hidden state of each round chooses its experts on its
own, over every link's best subcarrier, exactly (as in `lower_bound`). Any multipliers give a valid bound, so those
returned are its certificate: `dual_value` checks it in one evaluation, however they were found.

Proof: a schedule keeps its batteries, a node that fails counting as one that serves nobody at no energy, and pays V for
the relevance it misses; multipliers of at least 0, at most V D for relevance, charge it no more than its cost, and the
least of what is charged, over all schedules, is at most that.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from dmoe_gym.dmoe.physics import Constants, Round
from dmoe_gym.dmoe.solvers.des import solve_des
from dmoe_gym.dmoe.solvers.exact import relaxed_energies


@dataclass(frozen=True)
class Clairvoyant:
    """A bound on the mean cost per round of an episode, and the multipliers that prove it.

    Attributes:
        cost: no schedules of the episode's rounds have a lower mean cost.
        relevance_price: multiplier of the relevance budget [E_ref / (K N D) per hidden state's relevance], at most
            V D; 0 without a budget.
        node_prices: (K,) multipliers of the batteries; 0 without batteries. With a harvest (L, K): of what every
            node had altogether by the end of every round.
    """

    cost: float
    relevance_price: float
    node_prices: np.ndarray


class _Episode:
    """All hidden states of an episode as one batch for DES: axes (L, K, N, K)."""

    def __init__(self, rounds: Sequence[Round]) -> None:
        if not rounds:
            raise ValueError("rounds: valid are all rounds of an episode, at least one")
        self.config = rounds[0].config
        self.constants = Constants.of(self.config)
        self.scores = np.stack([round.gate_scores for round in rounds])
        self.targets = np.stack([round.attainable_threshold for round in rounds])
        relaxed = np.stack([relaxed_energies(round) for round in rounds])
        # links alone; the diagonal is 0
        self.links = np.maximum(relaxed - self.constants.computation, 0.0)
        self.links[:, *np.diag_indices(self.config.num_experts)] = 0.0
        # a battery that a round was made with is the episode's first one
        battery = rounds[0].battery
        self.battery = None if battery is None else battery / self.config.energy_unit_j
        # (L, K) what every node has had by every round, if nothing was lost; without harvest one row, of the last round
        self.supply = None if self.battery is None else self.battery[None]
        if rounds[0].harvested is not None and self.supply is not None:
            later = [round.harvested / self.config.energy_unit_j for round in rounds[1:] if round.harvested is not None]
            self.supply = self.supply + np.cumsum([np.zeros_like(self.battery), *later], axis=0)
        self.budgeted = self.config.relevance_budget is not None
        self.rounds = len(rounds)

    @property
    def zero_prices(self) -> np.ndarray:
        """Multipliers of 0, (1, K), or (L, K) with a harvest."""
        return np.zeros((1, self.config.num_experts)) if self.supply is None else np.zeros_like(self.supply)

    def dual(self, relevance_price: float, node_prices: np.ndarray) -> tuple[float, float, np.ndarray]:
        """The dual function [E_ref / (K N D), whole episode] and its supergradient: relevance missing, overdraft.

        Args:
            node_prices: (1, K), or (L, K) with a harvest.
        """
        config, constants = self.config, self.constants
        experts, limit = config.num_experts, config.max_experts
        # what is spent in a round counts against the supply by every later one: prices (L or 1, K)
        factor = 1 + np.cumsum(node_prices[::-1], axis=0)[::-1]
        energies = self.links * factor[:, :, None] + (constants.computation * factor)[:, None, :]
        energies = np.broadcast_to(energies[:, :, None, :], self.scores.shape)
        price = relevance_price if self.budgeted else constants.shortfall_price
        target = np.sort(self.scores, -1)[..., -limit:].sum(-1) if self.budgeted else self.targets
        selected = solve_des(self.scores, energies, np.minimum(target, 1.0), limit, shortfall_price=price)
        served = (self.scores * selected).sum(-1)
        shortfall = np.maximum(0, target - served)
        values = np.where(selected, energies, 0).sum(-1) + price * shortfall
        if self.battery is not None:
            # a node that fails serves its hidden states with nobody, at no energy
            nobody = price * target < values
            selected = selected & ~nobody[..., None]
            served = np.where(nobody, 0.0, served)
            values = np.where(nobody, price * target, values)
        total = values.sum() + (0.0 if self.battery is not None else self.rounds * constants.round_energy)
        missing = 0.0
        if config.relevance_budget is not None:
            asked = config.relevance_budget * self.rounds * experts * config.num_states
            # price * (target - served) was charged; the Lagrangian has price * (asked - served)
            total += price * (asked - target.sum())
            missing = asked - served.sum()
        overdraft = np.zeros((1, experts))
        if self.supply is not None:
            total -= float((node_prices * self.supply).sum())
            spent = np.where(selected, self.links[:, :, None, :], 0.0).sum((2, 3))
            spent += constants.computation * selected.sum((1, 2))
            overdraft = (np.cumsum(spent, 0) if len(self.supply) > 1 else spent.sum(0)[None]) - self.supply
        return float(total), float(missing), overdraft

    def mean_cost(self, total: float) -> float:
        config = self.config
        return total / (self.rounds * config.num_experts * config.num_states * config.max_experts)


def dual_value(rounds: Sequence[Round], relevance_price: float, node_prices: np.ndarray) -> float:
    """The bound that given multipliers prove: a mean cost per round that no schedules of the episode undercut.

    Args:
        rounds: all true rounds of the episode in order, as the environment gives them.
        relevance_price: from 0 to V D; node_prices: (K,) of at least 0.

    Raises:
        ValueError: for multipliers outside these ranges, or no rounds.
    """
    episode = _Episode(rounds)
    prices = np.atleast_2d(np.asarray(node_prices, float))
    if not 0 <= relevance_price <= episode.constants.shortfall_price:
        raise ValueError(
            f"relevance_price = {relevance_price}: valid are numbers from 0 to V D = "
            f"{episode.constants.shortfall_price}"
        )
    if prices.shape != episode.zero_prices.shape or not (prices >= 0).all():
        raise ValueError(f"node_prices = {prices}: valid are {episode.zero_prices.shape} numbers of at least 0")
    return episode.mean_cost(episode.dual(float(relevance_price), prices)[0])


def clairvoyant(rounds: Sequence[Round], *, iterations: int = 150) -> Clairvoyant:
    """The best Lagrangian bound found on an episode's mean cost per round (this project's choice).

    The multipliers climb the concave dual along its supergradient, by bisection where there is one alone.

    Args:
        rounds: all true rounds of the episode in order, as the environment gives them.
        iterations: dual evaluations.
    """
    episode = _Episode(rounds)
    nodes = episode.zero_prices
    supply = episode.supply
    if supply is None:
        price = _bisect(episode) if episode.budgeted else 0.0
        return Clairvoyant(episode.mean_cost(episode.dual(price, nodes)[0]), price, nodes[0])
    best = (-np.inf, 0.0, nodes)
    price = _bisect(episode) if episode.budgeted else 0.0
    # an episode may begin with nothing
    scale_of = np.maximum(supply, 1e-3 * supply.max() or 1.0) * len(supply)
    # supergradient ascent, scaled by the batteries, with steps that shrink as 1 / sqrt(k)
    for step in range(iterations):
        total, missing, overdraft = episode.dual(price, nodes)
        if total > best[0]:
            best = (total, price, nodes)
        size = 1.5 / np.sqrt(step + 1)
        # as many rows as there are share the step of one
        nodes = np.maximum(0, nodes + size * overdraft / scale_of)
        if episode.budgeted:
            scale = episode.rounds * episode.scores[0, ..., 0].size
            price = float(np.clip(price * np.exp(4 * size * missing / scale), 0, episode.constants.shortfall_price))
    total, price, nodes = best
    return Clairvoyant(episode.mean_cost(total), price, nodes if len(nodes) > 1 else nodes[0])


def _bisect(episode: _Episode) -> float:
    """The multiplier of the relevance budget where its dual is largest, without batteries."""
    nodes = episode.zero_prices
    low, high = 0.0, float(episode.constants.shortfall_price)
    for _ in range(50):
        middle = (low + high) / 2
        if episode.dual(middle, nodes)[1] > 0:
            low = middle
        else:
            high = middle
    return max((low, high), key=lambda price: episode.dual(price, nodes)[0])

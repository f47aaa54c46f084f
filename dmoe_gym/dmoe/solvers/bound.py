"""A lower bound on the cost of every schedule: all links on their best subcarriers, exclusivity dropped."""

from __future__ import annotations

import numpy as np

from dmoe_gym.dmoe.physics import Constants, Round
from dmoe_gym.dmoe.solvers.des import solve_des


def relaxed_energies(round: Round) -> np.ndarray:
    """(K, K) energy of one hidden state of node i at expert j over the link's best subcarrier [E_ref / (K N D)].

    Infinite where even that subcarrier does not deliver one hidden state in the slot.
    """
    constants = Constants.of(round.config)
    efficiency = round.spectral_efficiency.max(-1)
    with np.errstate(divide="ignore"):
        energies = constants.transmission / efficiency
    if constants.slot_states < np.inf:
        energies[constants.slot_states * efficiency < 1] = np.inf
    np.fill_diagonal(energies, 0.0)
    return energies + constants.computation


def relaxed_selection(round: Round) -> tuple[np.ndarray, float]:
    """The selection of least cost if every link had its best subcarrier to itself, and that cost.

    Each hidden state minimises energy plus priced shortfall on its own, exactly.

    Returns:
        selected (K, N, K) bool; cost, a lower bound on every schedule's (docs/dmoe.md).
    """
    selected, costs = _relax(round)
    total = costs.sum() + Constants.of(round.config).round_energy
    return selected, float(total / (costs.size * round.config.max_experts))


def _relax(round: Round) -> tuple[np.ndarray, np.ndarray]:
    """Every hidden state's relaxed selection (K, N, K) and its cost (K, N) [E_ref / (K N D)]."""
    price = Constants.of(round.config).shortfall_price
    energies = np.broadcast_to(relaxed_energies(round)[:, None, :], round.gate_scores.shape)
    target = round.attainable_threshold
    selected = solve_des(round.gate_scores, energies, target, round.config.max_experts, shortfall_price=price)
    shortfall = np.maximum(0, target - (round.gate_scores * selected).sum(-1))
    return selected, np.where(selected, energies, 0).sum(-1) + price * shortfall


def forcing_cost(round: Round) -> np.ndarray:
    """How much the relaxed cost rises if an expert must serve a hidden state (this project's choice).

    A schedule in which it does costs at least the lower bound plus this, so whatever exceeds the gap between the
    bound and a known schedule can be left out of an exact search.

    Returns:
        (K, N, K) [E_ref / (K N D)], infinite for an expert out of reach.
    """
    config = round.config
    price = Constants.of(config).shortfall_price
    energies = np.broadcast_to(relaxed_energies(round)[:, None, :], round.gate_scores.shape)
    scores, target = round.gate_scores, round.attainable_threshold
    least = _relax(round)[1][..., None]
    missing = np.maximum(0, target[..., None] - scores)
    forced = energies + price * missing
    if config.max_experts > 1:
        # the others fill up what the forced expert (axis 2) leaves missing
        forced_is = np.eye(config.num_experts, dtype=bool)
        others = np.where(forced_is, np.inf, energies[..., None, :])
        scores = np.broadcast_to(scores[..., None, :], others.shape)
        chosen = solve_des(scores, others, missing, config.max_experts - 1, shortfall_price=price)
        added = np.where(chosen, others, 0).sum(-1)
        left = np.maximum(0, missing - (scores * chosen).sum(-1))
        forced = np.minimum(forced, energies + added + price * left)
    return forced - least


def require_free_of_episode(round: Round) -> None:
    """Refuse a round whose best schedule depends on the rounds around it.

    Raises:
        ValueError: naming the field.
    """
    for field in ("battery", "relevance_owed"):
        if getattr(round, field) is not None:
            raise ValueError(
                f"round.{field} = {getattr(round, field)}: valid here is None; an episode under a budget or with "
                "batteries has bounds over all its rounds (`dmoe.solvers.clairvoyant`)"
            )


def lower_bound(round: Round) -> float:
    """A cost that no schedule of the round undercuts; attained where the best subcarriers it uses are distinct.

    Proof: c subcarriers of a link take c / (sum of rates), at least 1 / (the best rate); so with every link on its best
    alone, whoever else wants it, no schedule costs more, and its cost is a sum of hidden states' own, each least.
    With a slot, it holds for schedules of at most one subcarrier per link, as environments' actions are.

    Raises:
        ValueError: for a round under a relevance budget or with batteries.
    """
    require_free_of_episode(round)
    return relaxed_selection(round)[1]

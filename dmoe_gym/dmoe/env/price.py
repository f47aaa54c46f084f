"""DMoE-JESA-Price-v0: an action adjusts the prices that JESA sees; it decodes by DES and assignment."""

from __future__ import annotations

from types import MappingProxyType

import numpy as np
from gymnasium import spaces
from numba import prange

from dmoe_gym.compiled.njit import njit
from dmoe_gym.compiled.threads import serial_or_parallel
from dmoe_gym.dmoe.env.base import DMoECore
from dmoe_gym.dmoe.env.batch import new_workspace
from dmoe_gym.dmoe.env.charge import charge
from dmoe_gym.dmoe.solvers.jesa import MAX_ITERATIONS, jesa
from dmoe_gym.dmoe.solvers.priced import relevance_priced
from dmoe_gym.dmoe.solvers.repair import cure_shortfalls, mark_taken

# What an action of 1 means (this project's choice): a link four times as dear, a threshold 1.5 times as high.
LOG_LINK_PRICE = float(np.log(4.0))
LOG_THRESHOLD_FACTOR = float(np.log(1.5))
# What action 0 pays for a hidden state's relevance under a budget [E_ref / (K N D)] (this project's choice: about what
# tuning found in the scenario `budget`).
RELEVANCE_PRICE = 3.0


class PriceCore(DMoECore):
    """One step prices a whole round, and JESA decides it at those prices; action 0 is JESA.

    What JESA returns is feasible for the true threshold after the same last cure that every schedule gets. Where the
    configuration does not enforce the threshold nothing is cured, and under a relevance budget the last entry is a
    factor 4^entry on the price that JESA pays for relevance.
    """

    decides_rounds = True
    entries = MappingProxyType(
        {
            "price": "K*(K - 1): energy of link i to j is multiplied by 4^entry: links 0-1, 0-2, ..., 1-0, ...",
            "threshold": "1: the threshold is multiplied by 1.5^entry (at most 1)",
        }
    )

    def _action_space(self) -> spaces.Space:
        links = self.config.num_experts * (self.config.num_experts - 1)
        return spaces.Box(-1, 1, (links + 1,), np.float32)

    def step(self, actions: np.ndarray, rows: np.ndarray) -> None:
        _step(
            len(rows), rows, actions, self.config.relevance_budget is not None, self.constants, self.rules, self.batch
        )
        self._finish_round(rows)


@njit
def price_links(action, efficiency, priced):
    """Efficiencies as an action's link prices make them seem, (K, K, M); return how many entries that took."""
    experts, _, subcarriers = efficiency.shape
    # a link twice as dear is a link of half the efficiency
    position = 0
    for i in range(experts):
        for j in range(experts):
            factor = 1.0
            if i != j:
                factor = np.exp(-LOG_LINK_PRICE * action[position])
                position += 1
            for m in range(subcarriers):
                priced[i, j, m] = efficiency[i, j, m] * factor
    return position


@njit
def decode_price(row, actions, budgeted, constants, rules, batch):
    """Write JESA's schedule under an action's prices; return the number of cures."""
    action, threshold = actions[row], np.float64(batch.threshold[row, 0])
    gate_scores, efficiency = batch.gate_scores[row], batch.efficiency[row]
    selected, subcarrier = batch.selected[row], batch.subcarrier[row]
    priced = np.empty(efficiency.shape)
    position = price_links(action, efficiency, priced)
    factor = action[position]
    if budgeted:
        price = RELEVANCE_PRICE * np.exp(LOG_LINK_PRICE * factor)
        relevance_priced(gate_scores, priced, constants, price, selected, subcarrier)
        return 0
    asked = min(1.0, threshold * np.exp(LOG_THRESHOLD_FACTOR * factor))
    jesa(gate_scores, priced, asked, constants, selected, subcarrier, MAX_ITERATIONS)
    if not rules.enforced:
        return 0
    taken = np.empty(efficiency.shape[2], np.bool_)
    mark_taken(subcarrier, taken)
    return cure_shortfalls(gate_scores, efficiency, threshold, constants, selected, subcarrier, taken)


@serial_or_parallel
def _step(rows, actions, budgeted, constants, rules, batch):
    rewards = batch.rewards  # what a parallel loop writes by an attribute of a tuple is lost
    for position in prange(rows.shape[0]):
        row = rows[position]
        repairs = decode_price(row, actions, budgeted, constants, rules, batch)
        rewards[row] = -charge(row, repairs, constants, rules, batch, new_workspace(constants, batch))

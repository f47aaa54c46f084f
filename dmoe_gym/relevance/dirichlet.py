"""Gate scores drawn from a Dirichlet distribution that favours the expert of the episode's domain."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Literal

import numpy as np
from numba import prange
from pydantic import Field

from dmoe_gym.compiled.draws import GAMMAS_PER_ROUND, compiled, fill_gammas, integers, next_gamma, standard_gamma
from dmoe_gym.compiled.njit import njit_no_refcount
from dmoe_gym.compiled.pcg64 import gammas_as_known
from dmoe_gym.compiled.threads import serial_or_parallel
from dmoe_gym.components import register
from dmoe_gym.relevance.process import RelevanceConfig, RelevanceProcess


@register
class DirichletConfig(RelevanceConfig):
    """Dirichlet gate scores (assumed; this project's choice).

    Attributes:
        concentration: parameter of every expert (assumed 0.5: a few experts matter to each hidden state).
        domain_bonus: added to the parameter of the expert of the node's domain (assumed 1.0).
    """

    kind: Literal["dirichlet"] = "dirichlet"
    concentration: Annotated[float, Field(ge=1e-3, le=1e6)] = 0.5
    domain_bonus: Annotated[float, Field(ge=0, le=1e6)] = 1.0

    def build(self, batch: int, nodes: int, states: int, experts: int) -> DirichletRelevance:
        """The process for `batch` environments."""
        return DirichletRelevance(batch, nodes, states, experts, self)


class DirichletRelevance(RelevanceProcess):
    """One domain (expert) per episode and node; the hidden states of all rounds favour it.

    Attributes:
        domains: (batch, nodes) int64, the expert of each node's domain in the current episode.
    """

    def __init__(self, batch: int, nodes: int, states: int, experts: int, config: DirichletConfig) -> None:
        super().__init__(batch, nodes, states, experts)
        self.config = config

    def start(self, rows: Sequence[int] | np.ndarray, generators: Sequence[np.random.Generator]) -> None:
        integers(generators, rows, self.gate_scores.shape[-1], self.domains)
        self.advance(rows, generators)

    def advance(self, rows: Sequence[int] | np.ndarray, generators: Sequence[np.random.Generator]) -> None:
        concentration, bonus, chosen = self.config.concentration, self.config.domain_bonus, np.asarray(rows)
        if compiled(generators):
            amount = len(chosen) * self.gate_scores[0].size / GAMMAS_PER_ROUND
            known = gammas_as_known()
            _draw(amount, generators.addresses, chosen, concentration, bonus, known, self.domains, self.gate_scores)
            return
        standard_gamma(generators, rows, concentration, self.gate_scores)
        extra = np.zeros(self.gate_scores.shape[:-1], np.float32)
        if bonus > 0:
            standard_gamma(generators, rows, bonus, extra)
        for row in chosen:
            for node, domain in enumerate(self.domains[row]):
                for state, scores in enumerate(self.gate_scores[row, node]):
                    _normalise(scores, domain, extra[row, node, state])


@serial_or_parallel
def _draw(addresses, rows, concentration, bonus, known, domains, gate_scores):
    for position in prange(rows.shape[0]):
        row = rows[position]
        draw_scores(addresses[row], concentration, bonus, known, domains[row], gate_scores[row])


@njit_no_refcount
def draw_scores(address, concentration, domain_bonus, known, domains, gate_scores):
    """One environment's gate scores (nodes, states, experts): its generator gives first all scores, then all bonuses.

    Args:
        address: of the generator's state; domains: (nodes,).
        known: are gamma variables (`fill_gammas`)?
    """
    bonus = np.float32(domain_bonus)
    nodes, states, _ = gate_scores.shape
    fill_gammas(address, np.float32(concentration), known, gate_scores)
    for node in range(nodes):
        for state in range(states):
            extra = next_gamma(address, bonus) if bonus > 0 else np.float32(0.0)
            _normalise(gate_scores[node, state], domains[node], extra)


@njit_no_refcount
def _normalise(scores, domain, extra):
    """Gamma variables to Dirichlet in place; a gamma(a) plus a gamma(b) variable is a gamma(a + b) variable."""
    scores[domain] += extra
    total = np.float32(0.0)
    for score in scores:
        total += score
    if total > 0:
        for expert in range(scores.shape[0]):
            scores[expert] /= total
    else:  # every gamma underflowed: only thinkable at tiny concentrations
        for expert in range(scores.shape[0]):
            scores[expert] = np.float32(1.0) / np.float32(scores.shape[0])

"""Gate scores drawn from a Dirichlet distribution that favours the expert of the episode's domain."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any, Literal

import numpy as np
from numba import njit
from pydantic import Field

from dmoe_gym.config import StrictConfig
from dmoe_gym.relevance.process import RelevanceProcess


class DirichletConfig(StrictConfig):
    """Dirichlet gate scores (assumed; this project's choice).

    Fields:
        concentration: parameter of every expert (assumed 0.5: a few experts matter to each hidden state).
        domain_bonus: added to the parameter of the expert of the node's domain (assumed 1.0).
    """

    kind: Literal["dirichlet"] = "dirichlet"
    concentration: Annotated[float, Field(gt=0)] = 0.5
    domain_bonus: Annotated[float, Field(ge=0)] = 1.0

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
        self.domains = np.zeros((batch, nodes), np.int64)
        self._bonus = np.zeros((batch, nodes, states), np.float32)
        self._view_rows()

    def _view_rows(self) -> None:
        self._score_rows = list(self.gate_scores)
        self._bonus_rows = list(self._bonus)

    def __setstate__(self, state: dict[str, Any]) -> None:
        # a copied or unpickled process must write into its own scores and not into copies of the rows
        self.__dict__.update(state)
        self._view_rows()

    def start(self, rows: Sequence[int], generators: Sequence[np.random.Generator]) -> None:
        nodes, _, experts = self.gate_scores.shape[1:]
        for row in rows:
            self.domains[row] = generators[row].integers(experts, size=nodes)
        self.advance(rows, generators)

    def advance(self, rows: Sequence[int], generators: Sequence[np.random.Generator]) -> None:
        concentration, bonus = self.config.concentration, self.config.domain_bonus
        for row in rows:
            generators[row].standard_gamma(concentration, dtype=np.float32, out=self._score_rows[row])
            if bonus > 0:
                generators[row].standard_gamma(bonus, dtype=np.float32, out=self._bonus_rows[row])
        _normalise(self.gate_scores, self._bonus, self.domains, np.asarray(rows))


@njit(cache=True)
def _normalise(gammas, bonus, domains, rows):
    """Gamma variables to Dirichlet in place; a gamma(a) plus a gamma(b) variable is a gamma(a + b) variable."""
    _, nodes, states, experts = gammas.shape
    for row in rows:
        for node in range(nodes):
            for state in range(states):
                scores = gammas[row, node, state]
                scores[domains[row, node]] += bonus[row, node, state]
                total = np.float32(0.0)
                for expert in range(experts):
                    total += scores[expert]
                if total > 0:
                    for expert in range(experts):
                        scores[expert] /= total
                else:  # every gamma underflowed: only thinkable at tiny concentrations
                    for expert in range(experts):
                        scores[expert] = np.float32(1.0) / np.float32(experts)

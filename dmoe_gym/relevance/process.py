"""The interface of every source of gate scores (task-expert relevance), batched over environments.

An own source is two classes: a `RelevanceProcess` that draws scores, and a `RelevanceConfig` that builds it
(`docs/guides/extending.md`)."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass
from typing import Annotated, ClassVar, Literal

import numpy as np
from numba import prange
from pydantic import Field

from dmoe_gym.compiled.draws import GAMMAS_PER_ROUND, compiled, fill_gammas, integers, next_gamma, standard_gamma
from dmoe_gym.compiled.njit import njit_no_refcount, serial_or_parallel
from dmoe_gym.compiled.pcg64 import gammas_as_known
from dmoe_gym.config import Component, checked_rows, is_foreign, register, require_sum_of_one
from dmoe_gym.process import CheckedProcess, Generators, RandomProcess, Rows


@dataclass(frozen=True)
class Sizes:
    """What a system asks of a source, and by which fields of its configuration: errors name them.

    Attributes:
        layers, experts, states: rounds of an episode, experts of a round, hidden states of a node.
        layer_field, expert_field, state_field: the fields that say so.
    """

    layers: int
    experts: int
    states: int
    layer_field: str = "num_layers"
    expert_field: str = "num_experts"
    state_field: str = "num_states"


class RelevanceProcess(RandomProcess):
    """Gate scores of all hidden states, new in every round.

    As with channels, every environment draws from its own generator a count of numbers that depends on shapes alone.

    Attributes:
        gate_scores: (batch, nodes, hidden states, experts) float32, non-negative, each row of experts sums to one;
            owned by the process and overwritten by `start` and `advance`.
        domains: (batch, nodes) int64, the domain of every node in the current episode.
        draws_rounds: does `advance` draw random numbers?
    """

    draws_rounds: ClassVar[bool] = True

    def __init__(self, batch: int, nodes: int, states: int, experts: int) -> None:
        self.gate_scores = np.full((batch, nodes, states, experts), 1 / experts, np.float32)
        self.domains = np.zeros((batch, nodes), np.int64)


class RelevanceConfig(Component):
    """What a source of gate scores is: builds its process."""

    @abstractmethod
    def build(self, batch: int, nodes: int, states: int, experts: int) -> RelevanceProcess:
        """The process for `batch` environments."""

    def require_fit(self, sizes: Sizes) -> None:
        """Refuse a system that the source has no scores for; most fit any.

        Raises:
            ValueError: naming the source's sizes and the configuration's.
        """

    def process(self, batch: int, nodes: int, states: int, experts: int) -> RelevanceProcess:
        """The process as systems use it: an own one is checked whenever it moves.

        Raises:
            ValueError: naming the source, if `build` returns no process or one of other shapes.
        """
        built = self.build(batch, nodes, states, experts)
        return CheckedRelevance(self, built, batch, nodes, states, experts) if is_foreign(self) else built


class CheckedRelevance(CheckedProcess, RelevanceProcess):
    """A process from outside of the package, whose scores are checked and copied whenever it moves.

    Raises:
        ValueError: naming the source and what is wrong with its scores: their shape, an entry that is negative or no
            finite number, or a hidden state whose scores do not sum to one.
    """

    def __init__(
        self, config: RelevanceConfig, process: RelevanceProcess, batch: int, nodes: int, states: int, experts: int
    ) -> None:
        super().__init__(batch, nodes, states, experts)
        self._wrap("relevance", config, process, RelevanceProcess)

    def _copy(self, rows: Rows) -> None:
        name, process = f"{self._name}: gate_scores", self._process
        scores = checked_rows(name, process.gate_scores, self.gate_scores.shape, rows)
        require_sum_of_one(name, scores)
        self.gate_scores[rows] = scores
        self.domains[rows] = checked_rows(f"{self._name}: domains", process.domains, self.domains.shape, rows)


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
        return DirichletRelevance(batch, nodes, states, experts, self)


class DirichletRelevance(RelevanceProcess):
    """One domain (expert) per episode and node; the hidden states of all rounds favour it.

    Attributes:
        domains: (batch, nodes) int64, the expert of each node's domain in the current episode.
    """

    def __init__(self, batch: int, nodes: int, states: int, experts: int, config: DirichletConfig) -> None:
        super().__init__(batch, nodes, states, experts)
        self.config = config

    def start(self, rows: Rows, generators: Generators) -> None:
        integers(generators, rows, self.gate_scores.shape[-1], self.domains)
        self.advance(rows, generators)

    def advance(self, rows: Rows, generators: Generators) -> None:
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

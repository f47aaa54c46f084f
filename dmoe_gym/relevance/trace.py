"""Gate scores that a real model's gates gave, drawn token by token from a trace file."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from importlib.resources import files
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
from pydantic import Field

from dmoe_gym.compiled.draws import integers, uniform
from dmoe_gym.compiled.njit import njit
from dmoe_gym.components import register
from dmoe_gym.io.files import regular_file
from dmoe_gym.relevance.process import RelevanceConfig, RelevanceProcess, Sizes
from dmoe_gym.relevance.trace_file import Trace, read_trace

SHIPPED = ("digits", "language")


@register
class TraceConfig(RelevanceConfig):
    """Gate scores from a trace file (`trace_file`).

    An episode gives every node one of the file's domains, uniformly, and N tokens of it that stand one after the
    other, from the start of a uniformly drawn input (any token, where `tokens_per_input` is 1): neighbours in the text
    or the image are neighbours at the node. A hidden state is one token in all layers: round l shows what layer l's
    gate gave it. Several nodes may hold the same tokens. Layers and experts of the file and the configuration must be
    the same, and its smallest domain must hold N tokens.

    Attributes:
        file: a path, or the name of a trace that comes with the package (`SHIPPED`).
    """

    kind: Literal["trace"] = "trace"
    file: Annotated[str, Field(min_length=1)]

    def build(self, batch: int, nodes: int, states: int, experts: int) -> TraceRelevance:
        """The process for `batch` environments.

        Raises:
            ValueError: if the file is damaged or foreign, or does not fit.
        """
        return TraceRelevance(batch, nodes, states, experts, load_trace(self.file))

    def require_fit(self, sizes: Sizes) -> None:
        trace = load_trace(self.file)
        layers, _, experts = trace.gate_scores.shape
        if (layers, experts) != (sizes.layers, sizes.experts):
            raise ValueError(
                f"relevance: trace {self.file!r} has {layers} layers of {experts} experts, the configuration has "
                f"{sizes.layer_field} = {sizes.layers} and {sizes.expert_field} = {sizes.experts}: valid with this "
                f"trace is {sizes.layer_field} = {layers} and {sizes.expert_field} = {experts}"
            )
        _require_tokens(trace, sizes.states, f"relevance: trace {self.file!r}", sizes.state_field)


class TraceRelevance(RelevanceProcess):
    """Tokens of a trace; a round copies their gate scores in the round's layer.

    Attributes:
        trace: where they come from.
        domains: (batch, nodes) int64, each node's domain in the current episode.
        first: (batch, nodes) int64, the token of each node's first hidden state; the others follow it.
        layer: (batch,) int64, the layer whose scores are shown, from 0.
    """

    draws_rounds = False

    def __init__(self, batch: int, nodes: int, states: int, experts: int, trace: Trace) -> None:
        super().__init__(batch, nodes, states, experts)
        if trace.gate_scores.shape[2] != experts:
            raise ValueError(f"experts = {experts}: valid with this trace is {trace.gate_scores.shape[2]}")
        _require_tokens(trace, states, "trace", "states")
        self.trace = trace
        self.first = np.zeros((batch, nodes), np.int64)
        self.layer = np.zeros(batch, np.int64)
        self._share = np.zeros((batch, nodes))
        counts = trace.domain_tokens
        self._domain_start = np.r_[0, np.cumsum(counts)[:-1]]
        self._starts = (counts - states) // trace.tokens_per_input + 1

    def start(self, rows: Sequence[int] | np.ndarray, generators: Sequence[np.random.Generator]) -> None:
        chosen = np.asarray(rows)
        integers(generators, rows, len(self._starts), self.domains)
        # one number per node whatever its domain: a whole number below a bound could take several
        uniform(generators, rows, self._share)
        domains = self.domains[chosen]
        starts = (self._share[chosen] * self._starts[domains]).astype(np.int64)
        self.first[chosen] = self._domain_start[domains] + self.trace.tokens_per_input * starts
        self.layer[chosen] = 0
        _show(self.trace.gate_scores, self.layer, self.first, chosen, self.gate_scores)

    def advance(self, rows: Sequence[int] | np.ndarray, generators: Sequence[np.random.Generator]) -> None:
        chosen, layers = np.asarray(rows), len(self.trace.gate_scores)
        if (self.layer[chosen] + 1 >= layers).any():
            raise ValueError(f"advance: the trace has {layers} layers and all of them were shown")
        self.layer[chosen] += 1
        _show(self.trace.gate_scores, self.layer, self.first, chosen, self.gate_scores)


def named_trace(value: object) -> object:
    """Read "trace:FILE" as that file's scores."""
    if isinstance(value, str) and value.startswith("trace:"):
        return {"kind": "trace", "file": value.removeprefix("trace:")}
    return value


def load_trace(file: str) -> Trace:
    """A trace by path or by the name of a shipped one; a file is read once while it stays the same.

    Raises:
        ValueError: naming the file, if there is none, or it is damaged or foreign.
    """
    if file in SHIPPED:
        path = Path(str(files("dmoe_gym.relevance") / "data" / f"{file}.npz"))
    else:
        path = regular_file(file, "trace", f"a trace file's path or {', '.join(SHIPPED)}")
    status = path.stat()
    return _cached(path.resolve(), status.st_mtime_ns, status.st_size)


@lru_cache(maxsize=8)
def _cached(path: Path, _modified: int, _size: int) -> Trace:
    return read_trace(path)


def _require_tokens(trace: Trace, states: int, what: str, field: str) -> None:
    fewest = int(np.argmin(trace.domain_tokens))
    if trace.domain_tokens[fewest] < states:
        raise ValueError(
            f"{what} has {trace.domain_tokens[fewest]} tokens in its domain {trace.domain_names[fewest]!r}, "
            f"the configuration has {field} = {states}: valid are at most as many"
        )


@njit
def _show(scores, layer, first, rows, gate_scores):
    _, nodes, states, experts = gate_scores.shape
    for row in rows:
        for node in range(nodes):
            for state in range(states):
                for expert in range(experts):
                    gate_scores[row, node, state, expert] = scores[layer[row], first[row, node] + state, expert]

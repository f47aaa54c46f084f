"""Gate scores that a real model's gates gave, drawn token by token from a trace file."""

from __future__ import annotations

import io
import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from importlib.resources import files
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
from pydantic import Field

from dmoe_gym.compiled.draws import integers, uniform
from dmoe_gym.compiled.njit import njit
from dmoe_gym.config import StrictConfig, checked_array, register, require_sum_of_one
from dmoe_gym.io.files import NpzError, NpzFile, read_json, regular_file, state_of, write_whole
from dmoe_gym.process import Generators, Rows
from dmoe_gym.relevance.process import RelevanceConfig, RelevanceProcess, Sizes

FORMAT: Literal["dmoe_gym.relevance.trace/1"] = "dmoe_gym.relevance.trace/1"
MEMBERS = ("header", "gate_scores", "domains")

VALID = f"a trace file ({FORMAT}), an npz archive of {', '.join(MEMBERS)}"
# The most that gate scores, and a header, may take.
MOST_BYTES, MOST_HEADER_BYTES = 2**30, 2**20

Count = Annotated[int, Field(ge=1)]
Name = Annotated[str, Field(min_length=1)]


class TraceHeader(StrictConfig):
    """What a trace file says of itself.

    Attributes:
        format: name and version of the format.
        model: which model was recorded.
        layers, tokens, experts: shape of `gate_scores`.
        tokens_per_input: how many tokens one input of the model has, where they belong together as the patches of an
            image do; 1 where any token may come first, as in running text.
        domains: names of the domains; `domains` in the file holds indices into them.
        recorded: how: the command, data, seeds, versions, whatever repeats the recording.
    """

    format: Literal["dmoe_gym.relevance.trace/1"] = FORMAT
    model: Name
    layers: Count
    tokens: Count
    experts: Annotated[int, Field(ge=2)]
    tokens_per_input: Count
    domains: Annotated[tuple[Name, ...], Field(min_length=1)]
    recorded: dict[str, str]


@dataclass(frozen=True, eq=False)
class Trace:
    """Gate scores of a model's tokens in all of its layers.

    Attributes:
        gate_scores: (layers, tokens, experts) float32, non-negative, each token's sum to one in every layer.
        domains: (tokens,) int64, the domain of every token; tokens of one domain stand together, in the order in
            which the model saw them, and domains in the order of their names.
        domain_names: one per domain.
        tokens_per_input: see `TraceHeader`; it divides every domain's count of tokens.
        model: which model was recorded.
        recorded: how it was recorded.

    Raises:
        ValueError: naming the field, what was given and what is valid.
    """

    gate_scores: np.ndarray
    domains: np.ndarray
    domain_names: tuple[str, ...]
    model: str
    recorded: Mapping[str, str]
    tokens_per_input: int = 1

    def __post_init__(self) -> None:
        scores = np.asarray(self.gate_scores)
        _require_scores(scores.dtype, scores.shape)
        scores = checked_array("gate_scores", scores, scores.shape, minimum=0, dtype=np.float32)
        require_sum_of_one("gate_scores", scores)
        object.__setattr__(self, "gate_scores", scores)
        object.__setattr__(self, "domains", self._checked_domains())
        object.__setattr__(self, "domain_names", tuple(self.domain_names))
        object.__setattr__(self, "recorded", dict(self.recorded))
        # the header has checks of its own
        group = self.header.tokens_per_input
        if (self.domain_tokens % group).any():
            raise ValueError(
                f"tokens_per_input = {group}: valid are divisors of the domains' {self.domain_tokens.tolist()} tokens"
            )

    def _checked_domains(self) -> np.ndarray:
        domains = np.asarray(self.domains)
        if domains.dtype != np.int64:
            raise ValueError(f"domains: has dtype {domains.dtype}, valid is int64")
        tokens, names = np.shape(self.gate_scores)[1], len(self.domain_names)
        domains = checked_array("domains", domains, (tokens,), minimum=0, maximum=names - 1, dtype=np.int64)
        if (np.diff(domains) < 0).any() or len(np.unique(domains)) != names:
            raise ValueError(
                f"domains: valid is every one of 0 to {names - 1}, in ascending order: tokens of one stand together"
            )
        return domains

    @property
    def header(self) -> TraceHeader:
        """What the file says of itself."""
        layers, tokens, experts = self.gate_scores.shape
        return TraceHeader(
            model=self.model,
            layers=layers,
            tokens=tokens,
            experts=experts,
            tokens_per_input=self.tokens_per_input,
            domains=self.domain_names,
            recorded=dict(self.recorded),
        )

    @property
    def domain_tokens(self) -> np.ndarray:
        """(domains,) int64: how many tokens every domain has."""
        return np.bincount(self.domains, minlength=len(self.domain_names))


def write_trace(trace: Trace, path: Path | str, *, overwrite: bool = False) -> Path:
    """Write a trace file, whole or not at all; the same trace gives the same bytes.

    Raises:
        FileExistsError: if the file exists and `overwrite` is False.
        ValueError: for more gate scores than a reader takes.
    """
    path = Path(path)
    if trace.gate_scores.nbytes > MOST_BYTES:
        raise ValueError(f"gate_scores: take {trace.gate_scores.nbytes:,} bytes, valid are at most {MOST_BYTES:,}")
    if path.exists() and not overwrite:
        raise FileExistsError(f"{path}: exists; it is replaced only where overwriting is asked for")
    header = np.frombuffer(json.dumps(trace.header.model_dump(mode="json")).encode(), np.uint8)
    content = io.BytesIO()
    np.savez_compressed(content, header=header, gate_scores=trace.gate_scores, domains=trace.domains)
    return write_whole(path, content.getvalue())


def read_trace(path: Path | str) -> Trace:
    """Read a trace file; nothing in it can run code, and nothing is reshaped, cast or left out.

    Raises:
        ValueError: naming the file, for one that is missing, damaged, truncated or foreign, or whose scores are not of
            the dtype, the shape or the range that the header and the format say, or take more than `MOST_BYTES`.
    """
    path = regular_file(path, "trace", VALID)
    try:
        with NpzFile(path, MEMBERS) as archive:
            header = _header(archive)
            scores, domains = _scores(archive, header), archive.read("domains", 8 * header.tokens)
        return Trace(scores, domains, header.domains, header.model, header.recorded, header.tokens_per_input)
    except NpzError as error:
        raise ValueError(f"{path}: {error}; valid is {VALID}") from None
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from None


def _scores(archive: NpzFile, header: TraceHeader) -> np.ndarray:
    """The gate scores, if they are what the header says."""
    dtype, shape = archive.kind("gate_scores")
    _require_scores(dtype, shape)
    said = (header.layers, header.tokens, header.experts)
    if shape != said:
        raise ValueError(f"gate_scores: has shape {shape}, the header says {said}")
    return archive.read("gate_scores", MOST_BYTES)


def _require_scores(dtype: np.dtype, shape: tuple[int, ...]) -> None:
    """Refuse what no gate scores can be."""
    if dtype != np.float32:
        raise ValueError(f"gate_scores: has dtype {dtype.str if not dtype.isnative else dtype}, valid is float32")
    if len(shape) != 3 or 0 in shape or shape[2] < 2:
        raise ValueError(f"gate_scores: has shape {shape}, valid is (layers, tokens, 2 or more experts)")


def _header(archive: NpzFile) -> TraceHeader:
    dtype, shape = archive.kind("header")
    if dtype != np.uint8 or len(shape) != 1:
        raise ValueError(f"header: has dtype {dtype} and {len(shape)} axes, valid is uint8 with one")
    fields = read_json(archive.read("header", MOST_HEADER_BYTES).tobytes(), "header")
    if fields.get("format") != FORMAT:
        raise ValueError(f"header: format is {fields.get('format')!r:.99}, valid is {FORMAT!r}")
    return TraceHeader(**fields)


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

    def start(self, rows: Rows, generators: Generators) -> None:
        chosen = np.asarray(rows)
        integers(generators, rows, len(self._starts), self.domains)
        # one number per node whatever its domain: a whole number below a bound could take several
        uniform(generators, rows, self._share)
        domains = self.domains[chosen]
        starts = (self._share[chosen] * self._starts[domains]).astype(np.int64)
        self.first[chosen] = self._domain_start[domains] + self.trace.tokens_per_input * starts
        self.layer[chosen] = 0
        _show(self.trace.gate_scores, self.layer, self.first, chosen, self.gate_scores)

    def advance(self, rows: Rows, generators: Generators) -> None:
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
    return _cached(path.resolve(), state_of(path))


@lru_cache(maxsize=8)
def _cached(path: Path, _state: tuple[int, int]) -> Trace:
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

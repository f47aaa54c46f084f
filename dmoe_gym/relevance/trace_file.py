"""Recorded gate scores on disk: one npz file, read without pickle, whose checksums betray damage.

A file holds three arrays: `header` (uint8, JSON in UTF-8, see `TraceHeader`), `gate_scores` (layers, tokens, experts)
float32 and `domains` (tokens,) int64. The format is this project's choice.
"""

from __future__ import annotations

import io
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
from pydantic import Field, field_validator

from dmoe_gym.config import StrictConfig, list_as_tuple
from dmoe_gym.io.files import read_json, regular_file, write_whole
from dmoe_gym.io.npz import NpzError, NpzFile
from dmoe_gym.validation import checked_array, require_sum_of_one

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

    _list_as_tuple = field_validator("domains", mode="before")(list_as_tuple)


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
        with _archive(path) as archive:
            try:
                header = _header(archive)
                scores, domains = _scores(archive, header), archive.read("domains", 8 * header.tokens)
            except NpzError as error:
                raise ValueError(f"{error}; valid is {VALID}") from None
        return Trace(scores, domains, header.domains, header.model, header.recorded, header.tokens_per_input)
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from None


def _archive(path: Path) -> NpzFile:
    try:
        return NpzFile(path, MEMBERS)
    except NpzError as error:
        raise ValueError(f"{error}; valid is {VALID}") from None


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

"""One runner for every experiment: pieces with keys, kept on disk, gone on with, run in processes.

A piece is a function and a key, and the value is `function(**key)`: the key says all that the value depends on but the
code, and a value that is kept under the same key is not computed again. What is kept also says at which commit it was
made, which pages repeat.
"""

from __future__ import annotations

import traceback
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar

from joblib import Memory, Parallel, delayed

from dmoe_gym.config import StrictConfig
from dmoe_gym.evaluation import Row, evaluate_line_up
from dmoe_gym.io.command_line import Bars
from dmoe_gym.io.provenance import provenance
from experiments.page import Page

CACHE = Path("output/experiments")


@dataclass(frozen=True)
class Piece:
    """A piece of an experiment's work.

    Attributes:
        function: of a module, so that other processes find it.
        key: its keyword arguments, of plain values.
    """

    function: Callable[..., Any]
    key: Mapping[str, Any]

    def __str__(self) -> str:
        return ", ".join(f"{name} = {value}" for name, value in self.key.items())


class Experiment(StrictConfig):
    """What is computed, and what is shown of it; its fields are the options of `run --set` and `pages --set`.

    Class attributes:
        name: on the command line; about: one line.
        places: the pages, pictures and files that `page` makes, for `list`.
    """

    name: ClassVar[str]
    about: ClassVar[str]
    places: ClassVar[tuple[str, ...]] = ()

    def pieces(self) -> list[Piece]:
        """The work."""
        return []

    def further_pieces(self, values: Sequence[Any]) -> list[Piece]:
        """Work that depends on the values of `pieces`; their values follow those."""
        return []

    def page(self, values: Sequence[Any]) -> Page:
        """What is shown, from the values of all pieces in their order."""
        raise NotImplementedError


@dataclass
class Runner:
    """Runs experiments' pieces and keeps their values.

    Attributes:
        folder: where values are kept; every file is whole or not there.
        jobs: processes; -1 for one per core.
        bars: progress.
        command: what provenance says was run.
    """

    folder: Path = CACHE
    jobs: int = 1
    bars: Bars | None = None
    command: str = "python -m experiments"

    def run(self, experiment: Experiment, at_most: int | None = None, fresh: bool = False) -> int:
        """Compute what is not kept yet.

        Args:
            at_most: stop after so many pieces.
            fresh: forget what is kept of this experiment first.

        Returns:
            how many pieces are left.

        Raises:
            KeyboardInterrupt: saying how far it came and what goes on from there.
            ValueError: naming the pieces that failed; the others are kept.
        """
        pieces = experiment.pieces()
        if fresh:
            for piece in [*pieces, *self._further(experiment, pieces)]:
                self._forget(piece)
        computed = self._compute(experiment, pieces, at_most)
        further = self._further(experiment, pieces)
        if further:
            self._compute(experiment, further, None if at_most is None else at_most - computed)
        return len(self.missing(experiment))

    def missing(self, experiment: Experiment) -> list[Piece]:
        """The pieces that are not kept, further ones where all others are."""
        pieces = experiment.pieces()
        return [piece for piece in [*pieces, *self._further(experiment, pieces)] if not self.has(piece)]

    def values(self, experiment: Experiment) -> list[Any]:
        """The values of all pieces.

        Raises:
            ValueError: if some are not kept.
        """
        return [self._kept(piece)["value"] for piece in self._all(experiment)]

    def made(self, experiment: Experiment) -> list[Mapping[str, Any]]:
        """How the pieces came about, each once: commit, and whether the checkout had changes."""
        found = {}
        for piece in self._all(experiment):
            made = self._kept(piece)["made"]
            found[made["git_commit"], made["git_dirty"]] = made
        return list(found.values())

    def has(self, piece: Piece) -> bool:
        """Whether a piece's value is kept."""
        return _cached(self.folder).check_call_in_cache(*_arguments(piece), {})

    def _all(self, experiment: Experiment) -> list[Piece]:
        missing = self.missing(experiment)
        pieces = experiment.pieces()
        pieces += self._further(experiment, pieces)
        if missing:
            raise ValueError(
                f"{experiment.name}: {len(missing)} of {len(pieces)} pieces are not there; "
                f"`python -m experiments run {experiment.name}` makes them"
            )
        return pieces

    def _further(self, experiment: Experiment, pieces: Sequence[Piece]) -> list[Piece]:
        if not all(map(self.has, pieces)):
            return []
        return experiment.further_pieces([self._kept(piece)["value"] for piece in pieces])

    def _compute(self, experiment: Experiment, pieces: Sequence[Piece], at_most: int | None) -> int:
        """Compute missing pieces; returns how many."""
        work = [piece for piece in pieces if not self.has(piece)]
        left, work = len(work), work[:at_most]
        tick = self.bars.task(experiment.name, len(work)) if self.bars and work else lambda finished: None
        done, failures = 0, []
        try:
            for failure in Parallel(n_jobs=self.jobs, return_as="generator_unordered")(
                delayed(_compute_piece)(self.folder, piece, self._provenance) for piece in work
            ):
                done += not failure
                failures += [failure] if failure else []
                tick(1)
        except KeyboardInterrupt:
            raise KeyboardInterrupt(
                f"{len(pieces) - left + done} of {len(pieces)} pieces are kept in {self.folder}; "
                f"the same command goes on: python -m experiments run {experiment.name}"
            ) from None
        if failures:
            log = self.folder / f"{experiment.name}-failures.txt"
            log.write_text("\n".join(trace for _, trace in failures))
            first = "; ".join(line for line, _ in failures[:3])
            raise ValueError(f"{experiment.name}: {len(failures)} pieces failed: {first} (tracebacks in {log})")
        return len(work)

    def _kept(self, piece: Piece) -> dict[str, Any]:
        # a file that was damaged meanwhile is made again
        return _cached(self.folder)(*_arguments(piece), self._provenance)

    @cached_property
    def _provenance(self) -> dict[str, Any]:
        return provenance(self.command)

    def _forget(self, piece: Piece) -> None:
        if self.has(piece):
            _cached(self.folder).call_and_shelve(*_arguments(piece), {}).clear()


def evaluate_piece(
    function_name: str, key: Mapping[str, Any], function: Callable[..., Any], made: Mapping[str, Any]
) -> dict[str, Any]:
    """A piece's value and how it came about; kept by `Memory` under the name and the key."""
    return {"value": function(**key), "made": dict(made)}


def _cached(folder: Path) -> Any:
    return Memory(folder, verbose=0).cache(evaluate_piece, ignore=["function", "made"])


def _arguments(piece: Piece) -> tuple[str, dict[str, Any], Callable[..., Any]]:
    return f"{piece.function.__module__}.{piece.function.__qualname__}", dict(piece.key), piece.function


def _compute_piece(folder: Path, piece: Piece, made: Mapping[str, Any]) -> tuple[str, str] | None:
    """Compute and keep a piece; returns what went wrong, in a line and in full."""
    try:
        _cached(folder)(*_arguments(piece), made)
    except Exception as error:  # a piece that fails stops no other
        return f"{piece}: {type(error).__name__}: {error}", f"{piece}\n{traceback.format_exc()}"
    return None


# What says where an episode ran; a piece's key has it.
LABELS = ("env_id", "scenario", "configuration", "predict_ms", "return")


def episodes_of(
    policy: str, env_id: str, scenario: str, first_seed: int, episodes: int, overrides: Mapping[str, Any]
) -> list[Row]:
    """A row per episode of a policy or bound of a line-up: policy, seed, every mean."""
    seeds = range(first_seed, first_seed + episodes)
    rows = evaluate_line_up(env_id, scenario=scenario, seeds=seeds, names=[policy], **overrides)
    return [{key: value for key, value in row.items() if key not in LABELS} for row in rows]


def episode_piece(
    policy: str, env_id: str, scenario: str, seeds: range, overrides: Mapping[str, Any] | None = None
) -> Piece:
    """The piece of those episodes."""
    return Piece(
        episodes_of,
        {
            "policy": policy,
            "env_id": env_id,
            "scenario": scenario,
            "first_seed": seeds.start,
            "episodes": len(seeds),
            "overrides": dict(overrides or {}),
        },
    )


def rows_by_policy(pieces: Sequence[Piece], values: Sequence[list[Row]], **where: Any) -> dict[str, list[Row]]:
    """Rows of the pieces whose keys say so, by policy, in the order of the pieces."""
    found: dict[str, list[Row]] = {}
    for piece, rows in zip(pieces, values, strict=True):
        if all(piece.key[name] == value for name, value in where.items()):
            found.setdefault(piece.key["policy"], []).extend(rows)
    return found

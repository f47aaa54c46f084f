"""Finished pieces of a sweep on disk, so that an interrupted one goes on where it stopped."""

from __future__ import annotations

import json
from collections.abc import Iterable
from itertools import product
from pathlib import Path

from joblib import Parallel, delayed
from tqdm import tqdm

from dmoe_gym.gating.config import GateKind
from dmoe_gym.gating.experiment.sweep import GATES, Row, SweepConfig, pieces, run_piece
from dmoe_gym.io.files import read_csv, write_csv, write_json


class SweepFolder:
    """One CSV file of rows per finished piece, and the configuration that they belong to.

    Raises:
        ValueError: if the folder holds pieces of another configuration; the seeds alone may differ.
    """

    def __init__(self, path: Path, config: SweepConfig) -> None:
        self.path, self.config = path, config
        settings = config.model_dump(mode="json", exclude={"first_seed", "seeds"})
        settings["networks"] = {
            f"{name} {gate}": config.networks(name, gate).model_dump(mode="json")
            for name, gate in product(config.transmissions, GATES)
        }
        file = path / "config.json"
        if file.exists() and json.loads(file.read_text()) != settings:
            raise ValueError(f"{path}: holds pieces of another configuration; choose another folder with --out")
        if not file.exists():
            write_json(file, settings)

    def missing(self) -> list[tuple[int, GateKind, str]]:
        """Pieces that are still to be run."""
        return [piece for piece in pieces(self.config) if not self._file(*piece).exists()]

    def run(self, at_most: int | None = None, jobs: int = 1, progress: bool = False) -> None:
        """Run missing pieces, in `jobs` processes; every file is whole or not there."""
        work = self.missing()[:at_most]
        done: Iterable[None] = Parallel(n_jobs=jobs, return_as="generator")(
            delayed(self._run_piece)(*piece) for piece in work
        )
        for _ in tqdm(done, total=len(work), desc="pieces", disable=not progress):
            pass

    def rows(self) -> list[Row]:
        """All rows, in an order that does not depend on the order of the runs."""
        return [Row(**row) for piece in pieces(self.config) for row in read_csv(self._file(*piece))]

    def _run_piece(self, seed: int, gate: GateKind, kind: str) -> None:
        rows = run_piece(self.config, seed, gate, kind)
        write_csv(self._file(seed, gate, kind), [row._asdict() for row in rows])

    def _file(self, seed: int, gate: GateKind, kind: str) -> Path:
        return self.path / f"seed{seed}_{gate}_{kind}.csv"

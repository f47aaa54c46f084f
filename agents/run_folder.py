"""A run's folder: everything that tells how its numbers came about."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from agents.config import TrainingConfig, dump_config, load_config
from dmoe_gym.io.files import write_json, write_whole
from dmoe_gym.io.provenance import provenance

CONFIG, CHECKPOINT, EVALUATIONS, PROVENANCE = "config.yaml", "checkpoint.pt", "evaluations.csv", "provenance.json"


class RunFolder:
    """`root/group/name-seed`: config.yaml, provenance.json, status.json, checkpoint.pt, evaluations.csv, events."""

    def __init__(self, path: Path) -> None:
        self.path = path

    @classmethod
    def of(cls, root: Path, config: TrainingConfig, name: str, seed: int) -> RunFolder:
        """The folder of one seed of a recipe called `name`."""
        return cls(root / config.group / f"{name}-seed{seed}")

    def prepare(self, config: TrainingConfig, seed: int, *, resume: bool) -> None:
        """Make the folder, or check that the run in it can be continued.

        Raises:
            ValueError: if a run is there already and `resume` is False, or it was of another recipe.
        """
        if self.config_file.exists():
            if not resume:
                raise ValueError(f"{self.path}: holds a run already; --resume continues it, --runs names another root")
            if load_config(self.config_file) != config:
                raise ValueError(f"{self.config_file}: differs from the recipe given; valid is the same one")
            return
        command = " ".join(["python", "-m", "agents", *sys.argv[1:]])
        write_json(self.path / PROVENANCE, {"seed": seed, **provenance(command)})
        write_whole(self.config_file, dump_config(config))

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Keep every other process from training this run; the lock ends with the process at the latest.

        Raises:
            ValueError: if another process trains it.
        """
        self.path.mkdir(parents=True, exist_ok=True)
        lock = FileLock(self.path / ".lock")
        try:
            lock.acquire(timeout=0)
        except Timeout:
            raise ValueError(f"{self.path}: another process is training this run") from None
        try:
            yield
        finally:
            lock.release()

    @property
    def config_file(self) -> Path:
        """The recipe as it was run."""
        return self.path / CONFIG

    @property
    def checkpoint_file(self) -> Path:
        """The newest tensors."""
        return self.path / CHECKPOINT

    @property
    def evaluations_file(self) -> Path:
        """One row per evaluation episode."""
        return self.path / EVALUATIONS

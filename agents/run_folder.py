"""A run's folder: everything that tells how its numbers came about."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from agents.checkpoint import checkpoint_steps
from agents.config import TrainingConfig, dump_config, load_config
from agents.status import read_status
from dmoe_gym.evaluation import Row
from dmoe_gym.io.command_line import told_command
from dmoe_gym.io.files import read_csv, write_json, write_whole
from dmoe_gym.io.provenance import provenance

CONFIG, CHECKPOINT, EVALUATIONS, PROVENANCE = "config.yaml", "checkpoint.pt", "evaluations.csv", "provenance.json"
REPLAY, TRACEBACK, LOCK = "replay.safetensors", "traceback.txt", ".lock"


class RunFolder:
    """`root/group/name-seed`: config.yaml, provenance.json, status.json, checkpoint.pt, evaluations.csv, events.

    An unfinished off-policy run also has its replay buffer, a failed one its traceback.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    @classmethod
    def of(cls, root: Path, config: TrainingConfig, name: str, seed: int) -> RunFolder:
        """The folder of one seed of a recipe called `name`."""
        return cls(root / config.group / f"{name}-seed{seed}")

    def prepare(self, config: TrainingConfig, seed: int, *, resume: bool) -> None:
        """Make the folder, or check that the run in it can be continued.

        A run that failed makes room for its corrected self: what it left is moved to `.failed-NUMBER` beside it if it
        got as far as a checkpoint, and forgotten if not.

        Raises:
            ValueError: if a run is there already and `resume` is False, or it was of another recipe.
        """
        if self.config_file.exists() and self._failed_otherwise(config):
            self._make_room()
        if self.config_file.exists():
            if not resume:
                raise ValueError(f"{self.path}: holds a run already; --resume continues it, --runs names another root")
            if load_config(self.config_file) != config:
                raise ValueError(f"{self.config_file}: differs from the recipe given; valid is the same one")
            return
        write_json(self.path / PROVENANCE, {"seed": seed, **provenance(told_command())})
        write_whole(self.config_file, dump_config(config))

    def _failed_otherwise(self, config: TrainingConfig) -> bool:
        """Did a run fail here before its first checkpoint, or with another recipe?"""
        status = read_status(self.path)
        if status is None or status.state != "failed":
            return False
        return not self.checkpoint_file.exists() or self._own_config() != config

    def _own_config(self) -> TrainingConfig | None:
        try:
            return load_config(self.config_file)
        except ValueError:
            return None

    def _make_room(self) -> None:
        """Move or remove everything but the lock and a sweep's log."""
        files = [file for file in self.path.iterdir() if file.name not in (LOCK, "train.log")]
        number = 1
        while (aside := self.path.with_name(f".{self.path.name}.failed-{number}")).exists():
            number += 1
        if self.checkpoint_file.exists():
            aside.mkdir()
            for file in files:
                file.rename(aside / file.name)
            return
        for file in files:
            if file.is_file():
                file.unlink()

    def evaluations(self) -> list[Row]:
        """Rows of the evaluations so far; none if there are none.

        Raises:
            ValueError: naming the file, if it is damaged.
        """
        return read_csv(self.evaluations_file) if self.evaluations_file.is_file() else []

    def is_finished(self, config: TrainingConfig) -> bool:
        """Has the run all steps of its recipe behind it, and is its last policy evaluated?

        Raises:
            ValueError: naming the file, if one is damaged.
        """
        steps = checkpoint_steps(self.checkpoint_file)
        return steps >= config.total_timesteps and any(row.get("step") == steps for row in self.evaluations())

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Keep every other process from training this run; the lock ends with the process at the latest.

        Raises:
            ValueError: if another process trains it.
        """
        self.path.mkdir(parents=True, exist_ok=True)
        lock = FileLock(self.path / LOCK)
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
    def replay_file(self) -> Path:
        """The replay buffer of an unfinished off-policy run."""
        return self.path / REPLAY

    @property
    def evaluations_file(self) -> Path:
        """One row per evaluation episode."""
        return self.path / EVALUATIONS

"""A run's folder: everything that tells how its numbers came about."""

from __future__ import annotations

import platform
import subprocess
import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from agents.config import TrainingConfig, dump_config, load_config
from dmoe_gym.files import write_json, write_whole

PACKAGES = ("dmoe_gym", "gymnasium", "numba", "numpy", "sb3-contrib", "scipy", "stable-baselines3", "torch")
CONFIG, CHECKPOINT, EVALUATIONS, PROVENANCE = "config.yaml", "checkpoint.pt", "evaluations.csv", "provenance.json"


class RunFolder:
    """`root/group/name-seed`: config.yaml, provenance.json, checkpoint.pt, evaluations.csv, TensorBoard events."""

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
        write_json(self.path / PROVENANCE, provenance(seed))
        write_whole(self.config_file, dump_config(config))

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


def provenance(seed: int) -> dict[str, object]:
    """Seed, command line, package versions, git commit and machine."""
    return {
        "seed": seed,
        "command": " ".join(["python", "-m", "agents", *sys.argv[1:]]),
        "git_commit": _git("rev-parse", "HEAD"),
        "git_dirty": bool(_git("status", "--porcelain")),
        "python": platform.python_version(),
        "machine": platform.machine(),
        "packages": {name: _version(name) for name in PACKAGES},
    }


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "not installed"


def _git(*arguments: str) -> str:
    here = Path(__file__).resolve().parent
    try:
        return subprocess.run(["git", *arguments], cwd=here, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return "unknown"

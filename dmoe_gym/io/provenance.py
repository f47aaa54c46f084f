"""How a result came about: what every run writes beside its numbers."""

from __future__ import annotations

import platform
import subprocess
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from llvmlite.binding import get_host_cpu_name

PACKAGES = (
    "dmoe_gym",
    "gymnasium",
    "numba",
    "numpy",
    "sb3-contrib",
    "scikit-learn",
    "scipy",
    "stable-baselines3",
    "torch",
)


def provenance(command: str) -> dict[str, object]:
    """Command line, package versions, git commit and machine."""
    return {
        "command": command,
        "git_commit": _git("rev-parse", "HEAD"),
        "git_dirty": bool(_git("status", "--porcelain")),
        "python": platform.python_version(),
        # what torch and numba compile for: the same recipe gives the same bits on one kind of processor alone
        "machine": f"{platform.machine()} {get_host_cpu_name()}",
        "packages": {name: _version(name) for name in PACKAGES},
    }


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        # run from a checkout, which the commit names
        return "of a checkout" if package == "dmoe_gym" else "not installed"


def _git(*arguments: str) -> str:
    here = Path(__file__).resolve()
    try:
        # an installed package may lie in somebody else's repository
        for asked in (("ls-files", "--error-unmatch", here.name), arguments):
            said = subprocess.run(["git", *asked], cwd=here.parent, capture_output=True, text=True, check=True)
        return said.stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return "unknown"

"""Recipes and weights that ship, by name, from wherever a command is started."""

from __future__ import annotations

from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
RECIPES, WEIGHTS = ROOT / "configs", ROOT / "agents" / "weights"


def recipe_file(named: Path) -> Path:
    """A recipe of that path, or one that ships, as demo.

    Raises:
        ValueError: naming what ships, if there is neither.
    """
    return _found(named, RECIPES, ".yaml")


def run_folder(named: Path) -> Path:
    """A run's folder, or the weights that ship under that name.

    Raises:
        ValueError: naming what ships, if there is neither.
    """
    return _found(named, WEIGHTS, "")


def _found(named: Path, home: Path, suffix: str) -> Path:
    for place in (named, ROOT / named, home / f"{named}{suffix}"):
        if place.exists():
            return place
    shipped = sorted(path.name.removesuffix(suffix) for path in home.glob(f"[!.]*{suffix}"))
    raise ValueError(f"{named}: is not there, and does not ship; valid are paths, and {', '.join(shipped)}")

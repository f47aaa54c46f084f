"""The experiments by name."""

from __future__ import annotations

from experiments.asymptotics import Asymptotics
from experiments.optima import Optima
from experiments.runner import Experiment
from experiments.scenarios import Scenarios
from experiments.tuning import Tuning

EXPERIMENTS: dict[str, type[Experiment]] = {kind.name: kind for kind in (Tuning, Optima, Scenarios, Asymptotics)}


def named(name: str) -> type[Experiment]:
    """The experiment of a name.

    Raises:
        ValueError: for an unknown one.
    """
    if name not in EXPERIMENTS:
        raise ValueError(f"experiment = {name!r}: valid are {', '.join(EXPERIMENTS)}")
    return EXPERIMENTS[name]

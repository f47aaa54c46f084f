"""Which analytic scheduler is the strongest in a scenario: what residual scheduling corrects.

`dmoe_gym/dmoe/data/strongest.json` is written by `python -m experiments run strongest` from validation episodes.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import cache
from importlib.resources import files
from typing import Any

from dmoe_gym.channel import BlockageConfig
from dmoe_gym.dmoe.config import DMoEConfig
from dmoe_gym.dmoe.scenarios import scenario_of
from dmoe_gym.dmoe.schedulers.corrections import Correctable
from dmoe_gym.dmoe.schedulers.rounds import JESA, SinglePass
from dmoe_gym.dmoe.schedulers.tuned import tuned
from dmoe_gym.dmoe.schedulers.uncertain import ExpectedCostRestarts
from dmoe_gym.dmoe.solvers.channel_law import ChannelLaw

# schedulers that residual actions can correct, by their names in tables
CORRECTABLE: dict[str, Callable[[DMoEConfig], Any]] = {
    "JESA": JESA,
    "single-pass": SinglePass,
    "Lagrangian": tuned("Lagrangian"),
    "Lagrangian-adaptive": tuned("Lagrangian-adaptive"),
    "JESA-battery": tuned("JESA-battery"),
    "JESA-harvest": tuned("JESA-harvest"),
    "JESA-filter": tuned("JESA-filter"),
    "JESA-expected": tuned("JESA-expected"),
    "JESA-expected-restarts": tuned("JESA-expected", ExpectedCostRestarts),
}


@cache
def recorded() -> dict[str, dict[str, Any]]:
    """What validation found by scenario: scheduler, episodes, costs of all."""
    path = files("dmoe_gym.dmoe") / "data" / "strongest.json"
    return json.loads(path.read_text()) if path.is_file() else {}


def strongest_name(config: DMoEConfig) -> str:
    """The name of the strongest correctable scheduler: as recorded for a scenario, else by the regime."""
    scenario = scenario_of(config)
    if scenario in recorded():
        return str(recorded()[scenario]["scheduler"])
    if config.harvest is not None and config.harvest.known_mean_j is not None:
        return "JESA-harvest"
    if config.battery_j is not None:
        return "JESA-battery"
    if config.relevance_budget is not None:
        return "Lagrangian-adaptive"
    if config.acknowledged and isinstance(config.channel, BlockageConfig):
        return "JESA-filter"
    if not config.csi.is_perfect and ChannelLaw.fits(config.gain_law(0)):
        return "JESA-expected"
    return "JESA" if config.is_limited else "single-pass"


def strongest(config: DMoEConfig) -> Correctable:
    """The strongest scheduler of a configuration, or the one that it names to be corrected.

    Raises:
        ValueError: if it cannot be corrected, or does not go with the configuration.
    """
    chosen = config.residual.underneath or strongest_name(config)
    if chosen not in CORRECTABLE:
        raise ValueError(f"residual.underneath = {chosen!r}: valid are {', '.join(CORRECTABLE)}")
    return CORRECTABLE[chosen](config)

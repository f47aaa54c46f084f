"""The weights that ship as policies for commands that take MODULE:OBJECT, as `agents.entries:imitation_ppo_small`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from agents.config import WEIGHTS
from agents.evaluate import load_run
from agents.learners import LearnedPolicy
from dmoe_gym.dmoe.scenarios import scenario_of


def __getattr__(name: str) -> Callable[[Any], LearnedPolicy]:
    """What makes a policy of the weights in the scenario that a configuration is.

    Raises:
        AttributeError: if no such weights ship.
    """
    if not (WEIGHTS / name).is_dir():
        raise AttributeError(f"no weights of the name {name} ship")
    return lambda config: load_run(WEIGHTS / name, scenario_of(config), {})[1]

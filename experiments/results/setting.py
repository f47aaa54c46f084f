"""What results are grouped by: an environment's episodes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from agents.config import TrainingConfig
from dmoe_gym.registration import line_up_of, system_of, systems
from dmoe_gym.system import LineUp, System


@dataclass(frozen=True)
class Setting:
    """Episodes that schedulers are compared on, whatever their actions look like.

    Attributes:
        env_id: where analytic schedulers run on them.
        scenario: its name.
        overrides: of the scenario's fields, as YAML.
    """

    env_id: str
    scenario: str
    overrides: str = ""
    fields: Mapping[str, Any] = field(default_factory=dict, compare=False)

    @classmethod
    def of(cls, env_id: str, scenario: str | None, overrides: Mapping[str, Any]) -> Setting:
        """The setting of an environment.

        Raises:
            ValueError: for an unknown id, scenario or override.
        """
        line_up = line_up_of(env_id, scenario, **overrides)
        named = scenario or system_of(env_id).default_scenario
        text = yaml.safe_dump(dict(overrides), default_flow_style=True, sort_keys=True).strip() if overrides else ""
        return cls(line_up.env_id, named, text, dict(overrides))

    @property
    def system(self) -> System:
        """The record of what it is a setting of."""
        return system_of(self.env_id)

    @property
    def line_up(self) -> LineUp:
        """Its analytic schedulers and bounds."""
        return line_up_of(self.env_id, self.scenario, **self.fields)

    @property
    def title(self) -> str:
        """Its name in tables."""
        return f"{self.scenario} {self.overrides}".strip()

    @property
    def file_name(self) -> str:
        """Its name on disk."""
        return "-".join("".join(c if c.isalnum() else " " for c in f"{self.env_id} {self.title}").split())


def settings_of(recipes: Mapping[str, TrainingConfig]) -> dict[Setting, list[str]]:
    """The published settings and those of further recipes, each with the names of its recipes."""
    found: dict[Setting, list[str]] = {}
    for system in systems().values():
        for scenario in system.published:
            env_id = system.line_up(system.configuration(scenario)).env_id
            found[Setting.of(env_id, scenario, {})] = []
    for name, config in recipes.items():
        found.setdefault(Setting.of(config.env_id, config.scenario, config.overrides), []).append(name)
    return found


def recipe_files(recipes: Sequence[str]) -> list[Path]:
    """The recipes asked for, or all of configs/ but the demo's, which has a report of its own."""
    if recipes:
        return [Path(recipe) for recipe in recipes]
    return [file for file in sorted(Path("configs").glob("*.yaml")) if file.stem != "demo"]

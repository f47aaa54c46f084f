"""What a study searches: fields of a recipe with their choices or ranges, declared in YAML."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

from optuna import Trial
from pydantic import Field, model_validator

from agents.config import TrainingConfig
from dmoe_gym.config import StrictConfig
from dmoe_gym.io.yaml_file import read_yaml

SPACES = Path(__file__).resolve().parents[2] / "configs" / "spaces"
# Algorithms that share a file.
FILES = {"maskable_ppo": "ppo"}


class Range(StrictConfig):
    """Numbers from low to high, both included; whole ones if both are.

    Fields:
        low, high: the ends.
        log: spread over magnitudes.
    """

    low: int | float
    high: int | float
    log: bool = False

    @model_validator(mode="after")
    def _ordered(self) -> Range:
        if self.low >= self.high or (self.log and self.low <= 0):
            raise ValueError(f"low = {self.low}, high = {self.high}: valid are low < high, and low > 0 with log")
        return self

    def suggest(self, trial: Trial, name: str) -> int | float:
        """Let the trial draw a number."""
        if isinstance(self.low, int) and isinstance(self.high, int):
            return trial.suggest_int(name, self.low, self.high, log=self.log)
        return trial.suggest_float(name, self.low, self.high, log=self.log)

    def holds(self, value: Any) -> bool:
        """Whether a value could have been drawn."""
        whole = isinstance(self.low, int) and isinstance(self.high, int)
        kind = int if whole else (int, float)
        return isinstance(value, kind) and not isinstance(value, bool) and self.low <= value <= self.high


class Choice(StrictConfig):
    """One of some values.

    Fields:
        values: which.
    """

    values: Annotated[tuple[str | int | float | bool, ...], Field(min_length=2)]

    def suggest(self, trial: Trial, name: str) -> str | int | float | bool:
        """Let the trial draw a value."""
        return trial.suggest_categorical(name, list(self.values))  # type: ignore[return-value]

    def holds(self, value: Any) -> bool:
        """Whether a value could have been drawn."""
        return value in self.values


class Space:
    """Fields of one recipe, dots between levels, and what may stand there.

    Args:
        config: the recipe; fields of parts that it has not are left out.
        entries: ranges and lists by field, as read from YAML.

    Raises:
        ValueError: for a field that the recipe cannot have or an entry that is neither range nor list.
    """

    def __init__(self, config: TrainingConfig, entries: Mapping[str, Any]) -> None:
        self.config = config
        self.entries: dict[str, Range | Choice] = {}
        for name, entry in entries.items():
            parent = self._parent(name)
            if parent is None:
                continue
            try:
                self.entries[name] = Choice(values=tuple(entry)) if isinstance(entry, list) else Range(**entry)
            except (TypeError, ValueError) as error:
                raise ValueError(f"space.{name}: {error}") from None
        if not self.entries:
            raise ValueError("space: has no field that the recipe has")

    def _parent(self, name: str) -> dict[str, Any] | None:
        """The part of the recipe that a field belongs to; None if the recipe has no such part."""
        part: Any = self.config.model_dump(mode="json")
        *levels, last = name.split(".")
        for level in levels:
            if not isinstance(part, dict) or level not in part:
                raise ValueError(f"space.{name}: the recipe has no field {level!r}")
            part = part[level]
            if part is None or (level == "network" and not isinstance(part, dict)):
                return None
        if levels != ["hyperparameters"] and last not in part:
            raise ValueError(f"space.{name}: valid fields there are {', '.join(part)}")
        return part

    def suggest(self, trial: Trial) -> TrainingConfig:
        """The recipe with what a trial draws."""
        return self.applied({name: entry.suggest(trial, name) for name, entry in self.entries.items()})

    def applied(self, values: Mapping[str, Any]) -> TrainingConfig:
        """The recipe with values for some of the fields.

        Raises:
            ValueError: if the recipe refuses them.
        """
        fields = self.config.model_dump(mode="json")
        for name, value in values.items():
            *levels, last = name.split(".")
            part = fields
            for level in levels:
                part = part[level]
            part[last] = value
        return TrainingConfig(**fields)

    def own_values(self) -> dict[str, Any]:
        """What the recipe itself has in the fields, those left out that it does not say or that lie outside."""
        own = {name: (self._parent(name) or {}).get(name.rpartition(".")[2]) for name in self.entries}
        return {name: value for name, value in own.items() if self.entries[name].holds(value)}


def load_space(config: TrainingConfig, file: Path | None = None) -> Space:
    """The space in a YAML file, by default that of the recipe's algorithm in configs/spaces.

    Raises:
        ValueError: naming the file and what is wrong with it.
        OSError: if it cannot be read.
    """
    path = file or SPACES / f"{FILES.get(config.algorithm, config.algorithm)}.yaml"
    entries = read_yaml(path)
    try:
        return Space(config, entries)
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from None

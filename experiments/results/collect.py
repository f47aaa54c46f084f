"""What the store holds: learned rows out of run folders, analytic schedulers and bounds evaluated."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, ClassVar

from pydantic import Field, field_validator

from agents.config import load_config
from dmoe_gym.config import list_as_tuple
from dmoe_gym.evaluation import Row, held_out_seeds
from dmoe_gym.evaluation.seeds import FIRST_VALIDATION_SEED
from dmoe_gym.evaluation.statistics import column
from dmoe_gym.io.files import csv_text
from experiments.episodes import episode_piece
from experiments.page import Page
from experiments.results.setting import Setting, recipe_files, settings_of
from experiments.results.store import STORE, analytic_rows, collect_runs, kept
from experiments.runner import Experiment, Piece


class Learned(Experiment):
    """The final evaluations of every recipe whose seeds all ran; `pages learned --into .` puts them into the store.

    Attributes:
        runs: root of the run folders.
        recipes: YAML files; all of configs/ but the demo's by default.
    """

    name: ClassVar[str] = "learned"
    about: ClassVar[str] = "collects finished runs into results/learned"
    places: ClassVar[tuple[str, ...]] = ("results/learned",)

    runs: str = "runs"
    recipes: tuple[str, ...] = ()

    _list_as_tuple = field_validator("recipes", mode="before")(list_as_tuple)

    def page(self, values: Sequence[Any]) -> Page:
        files: dict[str, str | bytes] = {}
        for file in recipe_files(self.recipes):
            rows, about, missing = collect_runs(file.stem, load_config(file), Path(self.runs))
            if not missing:
                files[f"results/learned/{file.stem}.csv"] = csv_text(rows)
                files[f"results/learned/{file.stem}.json"] = json.dumps(about, indent=2, default=str) + "\n"
        return Page(files=files)


class References(Experiment):
    """Analytic schedulers and bounds on held-out episodes where the store lacks them, and on validation episodes.

    Attributes:
        episodes: held out, for what the store lacks; validation: for choosing the strongest scheduler.
        recipes: as in `Learned`; their settings are added to the published ones.
    """

    name: ClassVar[str] = "references"
    about: ClassVar[str] = "analytic schedulers and bounds beside which learned ones stand"
    places: ClassVar[tuple[str, ...]] = ("results/analytic", "results/validation")

    episodes: Annotated[int, Field(ge=2)] = 100
    validation: Annotated[int, Field(ge=2)] = 200
    recipes: tuple[str, ...] = ()

    _list_as_tuple = field_validator("recipes", mode="before")(list_as_tuple)

    def pieces(self) -> list[Piece]:
        return [piece for setting in self._settings() for piece in self._pieces_of(setting)]

    def page(self, values: Sequence[Any]) -> Page:
        found = iter(values)
        files: dict[str, str | bytes] = {}
        for setting in self._settings():
            best = analytic_rows(setting, STORE)
            validation: list[Row] = []
            for piece in self._pieces_of(setting):
                rows, name = next(found), piece.key["policy"]
                if piece.key["first_seed"] == FIRST_VALIDATION_SEED:
                    cost = float(f"{column(rows, 'cost').mean():.7g}")
                    validation.append({"policy": name, "episodes": len(rows), "cost": cost})
                else:
                    best[name] = rows
            names = [name for name in (*setting.line_up.policies, *setting.system.bounds) if name in best]
            analytic = [{"policy": name, **kept(row, setting.system)} for name in names for row in best[name]]
            files[f"results/analytic/{setting.file_name}.csv"] = csv_text(analytic)
            files[f"results/validation/{setting.file_name}.csv"] = csv_text(validation)
        return Page(files=files)

    def _pieces_of(self, setting: Setting) -> list[Piece]:
        line_up = setting.line_up
        there = analytic_rows(setting, STORE)
        # the optimum, and where the channel is not known the bound of those who do not know it
        bounds = [line_up.optimum, *(name for name in line_up.bounds if name == "informed")]
        lacking = [name for name in dict.fromkeys([*line_up.policies, *bounds]) if name not in there]
        held_out = held_out_seeds(self.episodes)
        validation = range(FIRST_VALIDATION_SEED, FIRST_VALIDATION_SEED + self.validation)
        asked = [(name, held_out) for name in lacking] + [(name, validation) for name in line_up.policies]
        return [episode_piece(name, setting.env_id, setting.scenario, seeds, setting.fields) for name, seeds in asked]

    def _settings(self) -> list[Setting]:
        return list(settings_of({file.stem: load_config(file) for file in recipe_files(self.recipes)}))

"""The store: what tables are made of, small enough to be kept with the code.

`analytic/SETTING.csv` has a row per scheduler or bound and held-out episode, `validation/SETTING.csv` a row per
scheduler with its mean cost on validation episodes; `learned/RECIPE.csv` a row per training seed and held-out episode,
beside `learned/RECIPE.json` with the recipe and how its runs came about."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, ClassVar

import numpy as np
import yaml
from pydantic import Field

from agents.config import TrainingConfig, load_config
from agents.run_folder import PROVENANCE, RunFolder, read_status
from dmoe_gym.evaluation import Row, by_policy, held_out_seeds, seed_matrix
from dmoe_gym.evaluation.run import FIRST_VALIDATION_SEED
from dmoe_gym.evaluation.statistics import column
from dmoe_gym.io.files import csv_text, read_bytes, read_csv, read_json
from dmoe_gym.registration import line_up_of, system_of, systems
from dmoe_gym.system import LineUp, System
from experiments.page import Page
from experiments.runner import Experiment, Piece, episode_piece
from experiments.shipped import ENV_ID, shipped_optima


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
        """Its name in tables, with its system's where another system's scenario, published or known before, has it."""
        having = [known for known in systems().values() if self.scenario in known.scenarios and not known.page_alone]
        first = next((known for known in having if self.scenario in known.published), having[0])
        taken = first.scenarios[self.scenario] != self.system.scenarios[self.scenario]
        return f"{self.scenario} {f'({self.system.name}) ' * taken}{self.overrides}".strip()

    @property
    def file_name(self) -> str:
        """Its name on disk."""
        words = f"{self.env_id} {self.scenario} {self.overrides}"
        return "-".join("".join(c if c.isalnum() else " " for c in words).split())


def settings_of(recipes: Mapping[str, TrainingConfig]) -> dict[Setting, list[str]]:
    """The published settings and those of further recipes, each with the names of its recipes.

    Recipes of systems whose rows are on a page of their own are left out.
    """
    found: dict[Setting, list[str]] = {}
    for system in systems().values():
        for scenario in system.published:
            env_id = system.line_up(system.configuration(scenario)).env_id
            found[Setting.of(env_id, scenario, {})] = []
    for name, config in recipes.items():
        if not system_of(config.env_id).page_alone:
            found.setdefault(Setting.of(config.env_id, config.scenario, config.overrides), []).append(name)
    return found


def recipe_files(recipes: Sequence[str]) -> list[Path]:
    """The recipes asked for, or all of configs/ but the demo's, which has a report of its own."""
    if recipes:
        return [Path(recipe) for recipe in recipes]
    return [file for file in sorted(Path("configs").glob("*.yaml")) if file.stem != "demo"]


STORE, TIMES = Path("results"), "times.csv"


def collect_runs(name: str, config: TrainingConfig, root: Path) -> tuple[list[Row], dict[str, Any], str]:
    """The final evaluations of a recipe's runs and how they came about, if all its seeds are there.

    Returns:
        rows, what `learned/RECIPE.json` holds, and what is missing: an empty text, or the rows are empty.

    Raises:
        ValueError: for a damaged file.
    """
    system = Setting.of(config.env_id, config.scenario, config.overrides).system
    rows: list[Row] = []
    runs: dict[str, Any] = {}
    lacking: dict[str, list[int]] = {}
    for seed in config.seeds:
        folder = RunFolder.of(root, config, name, seed)
        reason = _unusable(folder, config)
        if reason:
            lacking.setdefault(reason, []).append(seed)
            continue
        evaluations = folder.evaluations(config)
        costs: dict[int, list[float]] = {}
        for row in evaluations:
            costs.setdefault(row["step"], []).append(row["cost"])
        last = evaluations[-1]["step"]
        rows += [{"run_seed": seed, **kept(row, system)} for row in evaluations if row["step"] == last]
        curve = [[step, float(f"{np.mean(values):.7g}")] for step, values in sorted(costs.items())]
        runs[str(seed)] = {**_json(folder.path / PROVENANCE), "steps": last, "curve": curve}
        status = read_status(folder.path)
        if status is not None:
            runs[str(seed)] |= {"wall_seconds": status.wall_seconds, "cpu_seconds": status.cpu_seconds}
    if lacking:
        reasons = [f"{', '.join(map(str, seeds))} {reason}" for reason, seeds in lacking.items()]
        return [], {}, f"{len(runs)} of {len(config.seeds)} seeds; {'; '.join(reasons)}"
    seed_matrix(rows, "cost", config.seeds, name)
    return rows, {"recipe": config.model_dump(mode="json"), "runs": runs}, ""


def _unusable(folder: RunFolder, config: TrainingConfig) -> str:
    """Why a run gives no result; empty if it does. A run that ended badly but ended is one."""
    if not folder.config_file.is_file():
        return "not run"
    try:
        own, finished = load_config(folder.config_file), folder.is_finished(config)
    except ValueError as error:
        return f"unreadable ({error})"
    if own.replace(seeds=config.seeds) != config:
        return "run with another version of the recipe"
    if not finished:
        status = read_status(folder.path)
        return f"failed ({status.error})" if status is not None and status.state == "failed" else "unfinished"
    return ""


def learned_rows(name: str, config: TrainingConfig, store: Path) -> tuple[list[Row], str]:
    """A recipe's rows in the store; none, and why, if there are none or they are of another version of the recipe.

    Raises:
        ValueError: if they are of fewer seeds than the recipe states.
    """
    file = store / "learned" / f"{name}.csv"
    if not file.is_file():
        return [], "no runs were collected"
    if _stored_recipe(file.with_suffix(".json")) != config:
        return [], "runs of another version of the recipe were collected"
    rows = read_csv(file)
    seed_matrix(rows, "cost", config.seeds, name)
    return rows, ""


def _stored_recipe(path: Path) -> TrainingConfig | None:
    stored = _json(path).get("recipe", {})
    try:
        return TrainingConfig(**stored)
    except ValueError:  # of a time with other fields
        return None


def learned_provenance(name: str, store: Path) -> dict[str, Any]:
    """How a recipe's runs came about, by training seed."""
    return _json(store / "learned" / f"{name}.json").get("runs", {})


def analytic_rows(setting: Setting, store: Path) -> dict[str, list[Row]]:
    """Rows of a setting's analytic schedulers and bounds by name; of cached optima where those are more."""
    file = store / "analytic" / f"{setting.file_name}.csv"
    tables = [read_csv(file)] if file.is_file() else []
    if not setting.fields and setting.env_id == ENV_ID:
        tables.append(shipped_optima(setting.scenario))
    best: dict[str, list[Row]] = {}
    for rows in tables:
        for name, group in by_policy(rows).items():
            if len(group) > len(best.get(name, ())):
                best[name] = group
    return best


def validation_costs(setting: Setting, store: Path) -> dict[str, float]:
    """Mean costs of a setting's analytic schedulers on validation episodes, by name."""
    return {row["policy"]: float(row["cost"]) for row in _validation_rows(setting, store)}


def _validation_rows(setting: Setting, store: Path) -> list[Row]:
    file = store / "validation" / f"{setting.file_name}.csv"
    return read_csv(file) if file.is_file() else []


def read_times(store: Path) -> dict[str, dict[str, float]]:
    """Milliseconds by setting and scheduler."""
    file = store / TIMES
    times: dict[str, dict[str, float]] = {}
    for row in read_csv(file) if file.is_file() else ():
        times.setdefault(row["setting"], {})[row["scheduler"]] = float(row["ms"])
    return times


def kept(row: Mapping[str, Any], system: System) -> Row:
    """What tables need of a row; seven digits are far below any spread."""
    names = [metric.name for metric in system.metrics if metric.name in row]
    return {"seed": row["seed"], **{name: float(f"{row[name]:.7g}") for name in names}}


def _json(path: Path) -> dict[str, Any]:
    return read_json(read_bytes(path, "file"), str(path)) if path.is_file() else {}


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

    def page(self, values: Sequence[Any]) -> Page:
        files: dict[str, str | bytes] = {}
        for file in recipe_files(self.recipes):
            rows, about, missing = collect_runs(file.stem, load_config(file), Path(self.runs))
            if not missing:
                files[f"results/learned/{file.stem}.csv"] = csv_text(rows)
                files[f"results/learned/{file.stem}.json"] = json.dumps(about, indent=2, default=str) + "\n"
        return Page(files=files)


class References(Experiment):
    """Analytic schedulers and bounds that the store lacks, on held-out and on validation episodes.

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

    def pieces(self) -> list[Piece]:
        return [piece for setting in self._settings() for piece in self._pieces_of(setting)]

    def page(self, values: Sequence[Any]) -> Page:
        found = iter(values)
        files: dict[str, str | bytes] = {}
        for setting in self._settings():
            best = analytic_rows(setting, STORE)
            validation = _validation_rows(setting, STORE)
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
        unknown = [name for name in line_up.policies if name not in validation_costs(setting, STORE)]
        there_too = {**setting.fields, **setting.system.validation}
        where = setting.env_id, setting.scenario
        return [episode_piece(name, *where, held_out, setting.fields) for name in lacking] + [
            episode_piece(name, *where, validation, there_too) for name in unknown
        ]

    def _settings(self) -> list[Setting]:
        return list(settings_of({file.stem: load_config(file) for file in recipe_files(self.recipes)}))

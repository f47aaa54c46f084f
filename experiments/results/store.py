"""The store: what tables are made of, small enough to be kept with the code.

`analytic/SETTING.csv` has a row per scheduler or bound and held-out episode, `validation/SETTING.csv` a row per
scheduler with its mean cost on validation episodes; `learned/RECIPE.csv` a row per training seed and held-out episode,
beside `learned/RECIPE.json` with the recipe and how its runs came about.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from agents.config import TrainingConfig, load_config
from agents.run_folder import PROVENANCE, RunFolder
from agents.status import read_status
from dmoe_gym.evaluation import Row, by_policy, held_out_seeds, seed_matrix
from dmoe_gym.evaluation.optima import ENV_ID as OPTIMA_ENV
from dmoe_gym.evaluation.optima import cached_episodes, cached_optima
from dmoe_gym.io.files import read_csv
from dmoe_gym.system import System
from experiments.results.setting import Setting

STORE = Path("results")


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
        evaluations = read_csv(folder.evaluations_file)
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
    if not setting.fields and setting.env_id == OPTIMA_ENV:
        tables.append(cached_optima(setting.scenario, held_out_seeds(cached_episodes(setting.scenario) or 1)) or [])
    best: dict[str, list[Row]] = {}
    for rows in tables:
        for name, group in by_policy(rows).items():
            if len(group) > len(best.get(name, ())):
                best[name] = group
    return best


def validation_costs(setting: Setting, store: Path) -> dict[str, float]:
    """Mean costs of a setting's analytic schedulers on validation episodes, by name."""
    file = store / "validation" / f"{setting.file_name}.csv"
    return {row["policy"]: float(row["cost"]) for row in (read_csv(file) if file.is_file() else ())}


def kept(row: Mapping[str, Any], system: System) -> Row:
    """What tables need of a row; seven digits are far below any spread."""
    names = [metric.name for metric in system.metrics if metric.name in row]
    return {"seed": row["seed"], **{name: float(f"{row[name]:.7g}") for name in names}}


def _json(path: Path) -> dict[str, Any]:
    if not path.is_file():
        return {}
    try:
        content = json.loads(path.read_text())
    except ValueError as error:
        raise ValueError(f"{path}: is no readable JSON ({error})") from None
    if not isinstance(content, dict):
        raise ValueError(f"{path}: holds {type(content).__name__}, valid is a mapping")
    return content

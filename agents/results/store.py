"""The store: what tables are made of, small enough to be kept with the code.

`analytic/SETTING.csv` has a row per scheduler and episode; `learned/RECIPE.csv` a row per training seed and episode,
beside `learned/RECIPE.json` with the recipe and how its runs came about.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from agents.config import TrainingConfig, load_config
from agents.results.setting import Setting
from agents.run_folder import PROVENANCE, RunFolder
from agents.status import read_status
from dmoe_gym.evaluation import Row, by_policy, evaluate_line_up, held_out_seeds, seed_matrix
from dmoe_gym.evaluation.optima import ENV_ID as OPTIMA_ENV
from dmoe_gym.evaluation.optima import cached_episodes, cached_optima
from dmoe_gym.evaluation.run import Progress
from dmoe_gym.io.files import read_csv, write_csv, write_json
from dmoe_gym.registration import system_of
from dmoe_gym.system import System


def collect_runs(name: str, config: TrainingConfig, root: Path, store: Path) -> str:
    """Put the final evaluations of a recipe's runs into the store, if all its seeds are there.

    Returns:
        an empty string, or what is missing.

    Raises:
        ValueError: for a damaged file.
    """
    rows: list[Row] = []
    runs: dict[int, Any] = {}
    lacking: dict[str, list[int]] = {}
    for seed in config.seeds:
        folder = RunFolder.of(root, config, name, seed)
        reason = _unusable(folder, config)
        if reason:
            lacking.setdefault(reason, []).append(seed)
            continue
        evaluations = read_csv(folder.evaluations_file)
        last = evaluations[-1]["step"]
        final = [row for row in evaluations if row["step"] == last]
        rows += [{"run_seed": seed, **_kept(row, system_of(config.env_id))} for row in final]
        runs[seed] = {**_json(folder.path / PROVENANCE), "steps": last}
        status = read_status(folder.path)
        if status is not None:
            runs[seed] |= {"wall_seconds": status.wall_seconds, "cpu_seconds": status.cpu_seconds}
    if lacking:
        reasons = [f"{', '.join(map(str, seeds))} {reason}" for reason, seeds in lacking.items()]
        return f"{len(runs)} of {len(config.seeds)} seeds; {'; '.join(reasons)}"
    seed_matrix(rows, "cost", config.seeds, name)
    write_csv(store / "learned" / f"{name}.csv", rows)
    write_json(store / "learned" / f"{name}.json", {"recipe": config.model_dump(mode="json"), "runs": runs})
    return ""


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


def learned_rows(name: str, config: TrainingConfig, store: Path) -> list[Row]:
    """A recipe's rows in the store; none if there are none or they are of another version of the recipe.

    Raises:
        ValueError: if they are of fewer seeds than the recipe states.
    """
    file = store / "learned" / f"{name}.csv"
    if not file.is_file():
        return []
    if _stored_recipe(file.with_suffix(".json")) != config:
        return []
    rows = read_csv(file)
    seed_matrix(rows, "cost", config.seeds, name)
    return rows


def _stored_recipe(path: Path) -> TrainingConfig | None:
    stored = _json(path).get("recipe", {})
    try:
        return TrainingConfig(**stored)
    except ValueError:  # of a time with other fields
        return None


def learned_provenance(name: str, store: Path) -> dict[str, Any]:
    """How a recipe's runs came about, by training seed."""
    return _json(store / "learned" / f"{name}.json").get("runs", {})


def analytic_rows(
    setting: Setting,
    groups: Iterable[Path],
    store: Path,
    episodes: int,
    *,
    fresh: bool = False,
    compute: bool = True,
    jobs: int = 1,
    progress: Callable[[str], Progress] | None = None,
) -> list[Row]:
    """Rows of a setting's analytic schedulers and bounds.

    Each is taken from where it ran on the most episodes: the store, the references of run groups, cached optima. What
    no source has is computed.

    Args:
        groups: folders whose runs are of this setting.
        episodes: how many are computed, if they must be.
        fresh: forget the store.
        compute: evaluate what no source has; else the rest goes without, or everything if the bound, the random
            scheduler or the reference is lacking.
        jobs: processes for the bounds.
        progress: as in `evaluate_line_up`.
    """
    line_up = setting.line_up
    file = store / "analytic" / f"{setting.file_name}.csv"
    sources = [*(group / "references.csv" for group in groups), *([] if fresh else [file])]
    tables = [read_csv(source) for source in sources if source.is_file()]
    if not setting.fields and setting.env_id == OPTIMA_ENV:
        tables.append(cached_optima(setting.scenario, held_out_seeds(cached_episodes(setting.scenario) or 1)) or [])
    best: dict[str, list[Row]] = {}
    for rows in tables:
        for name, group in by_policy(rows).items():
            if len(group) > len(best.get(name, ())):
                best[name] = group
    # every bound but the optimum is an extra
    wanted = [*line_up.policies, line_up.optimum]
    lacking = [name for name in dict.fromkeys(wanted) if name not in best]
    if lacking and not compute:
        if {line_up.optimum, line_up.random, line_up.reference} & set(lacking):
            return []
    elif lacking:
        computed = evaluate_line_up(
            setting.env_id,
            scenario=setting.scenario,
            seeds=held_out_seeds(episodes),
            names=lacking,
            jobs=jobs,
            progress=progress,
            **setting.fields,
        )
        best |= by_policy(computed)
    names = [name for name in (*line_up.policies, *line_up.bounds) if name in best]
    write_csv(file, [{"policy": name, **_kept(row, setting.system)} for name in names for row in best[name]])
    return read_csv(file)


def _kept(row: Row, system: System) -> Row:
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

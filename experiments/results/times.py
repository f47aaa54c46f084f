"""`results/times.csv`: milliseconds per decision of every scheduler, measured by `python -m experiments time`."""

from __future__ import annotations

import os
import platform
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from agents.config import load_config
from agents.evaluate import load_run
from dmoe_gym.evaluation import Row
from dmoe_gym.evaluation.run import ROUNDS, time_per_decision
from dmoe_gym.io.command_line import one_line_errors, overrides_of, wide_console
from dmoe_gym.io.files import read_csv, write_csv
from dmoe_gym.models.reproducible import one_thread
from experiments.results.store import TIMES, Setting


def measure(
    setting: Setting,
    runs: Sequence[Path],
    names: Sequence[str] | None,
    *,
    rounds: int = ROUNDS,
    repeats: int = 5,
    report: Callable[[Row], Any] = lambda row: None,
) -> list[Row]:
    """Times of a setting's analytic schedulers and of trained runs in it.

    Args:
        setting: where.
        runs: run folders or exported weights; trained elsewhere, they act here if their networks fit.
        names: which analytic schedulers; None for all but random.

    Raises:
        ValueError: for an unknown scheduler or a run that does not fit.
    """
    line_up = setting.line_up
    unknown = [name for name in names or () if name not in line_up.policies]
    if unknown:
        raise ValueError(f"policy = {unknown[0]!r}: valid for {setting.title} are {', '.join(line_up.policies)}")
    # loaded first: a run that does not fit is refused before anything is measured
    learned = [(path, *load_run(path, setting.scenario, setting.fields)) for path in runs]
    rows: list[Row] = []

    def add(name: str, policy: Any, env_id: str) -> None:
        milliseconds = time_per_decision(
            policy, env_id, scenario=setting.scenario, overrides=setting.fields, rounds=rounds, repeats=repeats
        )
        rows.append({"setting": setting.title, "scheduler": name, "ms": float(f"{milliseconds:.4g}"), "rounds": rounds})
        report(rows[-1])

    with one_thread():
        for name, policy in line_up.policies.items():
            if name in names if names is not None else name != line_up.random:
                add(name, policy, setting.env_id)
        for path, config, policy in learned:
            add(path.resolve().name.partition("-seed")[0], policy, config.env_id)
    machine = f"{platform.machine()}, {os.cpu_count()} cores"
    return [{**row, "machine": machine} for row in rows]


def keep(rows: Sequence[Row], store: Path) -> Path:
    """Write measurements into the store; older ones of the same scheduler and setting go."""
    file = store / TIMES
    new = {(row["setting"], row["scheduler"]) for row in rows}
    old = read_csv(file) if file.is_file() else []
    return write_csv(file, [*(row for row in old if (row["setting"], row["scheduler"]) not in new), *rows])


@one_line_errors
def time(
    run: Annotated[list[Path] | None, typer.Argument(help="Run folders or exported weights.")] = None,
    scenario: Annotated[
        str | None, typer.Option(help="Where they act; by default where the first was trained.")
    ] = None,
    env_id: Annotated[str, typer.Option(help="Whose analytic schedulers are timed, without runs.")] = "DMoE-JESA-v0",
    override: Annotated[
        list[str] | None, typer.Option("--set", help="Override a configuration field: --set num_experts=16.")
    ] = None,
    policy: Annotated[
        list[str] | None, typer.Option("--policy", "-p", help="Only this analytic scheduler; may be repeated.")
    ] = None,
    rounds: Annotated[int, typer.Option(min=1, help="Rounds in a batch.")] = ROUNDS,
    repeats: Annotated[int, typer.Option(min=1, help="Batches, of which the median counts.")] = 5,
    store: Annotated[Path | None, typer.Option(help="Also keep them here for the tables, as in results.")] = None,
) -> None:
    """Processor time per decision in batches of rounds, learned beside analytic."""
    console = wide_console()
    if run:
        files = [run[0] / name for name in ("config.yaml", "recipe.yaml")]
        config = load_config(next((file for file in files if file.is_file()), files[0]))
        env_id, scenario = config.env_id, scenario or config.scenario
    rows = measure(
        Setting.of(env_id, scenario, overrides_of(override or [])),
        run or [],
        policy,
        rounds=rounds,
        repeats=repeats,
        report=lambda row: console.print(f"{row['setting']} {row['scheduler']}: {row['ms']:.4g} ms per round"),
    )
    if store is not None:
        console.print(f"kept in {keep(rows, store)}")

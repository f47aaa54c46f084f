"""What learned one-shot scheduling reached, from run folders, stored optima and measured times.

    python -m agents.studies.one_shot_reached

Per recipe: percent above the exact optimum on the held-out episodes whose optima are stored (results/analytic),
difference to the analytic schedulers on all episodes of the runs, and milliseconds per decision (results/times.csv).
The table goes into docs/training.md.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import numpy as np
import typer

from agents.config import load_config
from agents.results.times import read_times
from agents.run_folder import RunFolder
from dmoe_gym.command_line import one_line_errors, wide_console
from dmoe_gym.evaluation.aggregate import seed_matrix, two_way_mean
from dmoe_gym.evaluation.markdown import markdown_table
from dmoe_gym.files import read_csv, replace_section

RECIPES = ("one_shot_small", "one_shot_paper", "one_shot_scarce", "one_shot_selective")
ANALYTIC = ("one-shot", "value-greedy-search", "value-greedy", "JESA", "DES")
SECTION = "one-shot-reached"


def lines_of(name: str, runs: Path, store: Path) -> list[list[str]]:
    """One line for the learned scheduler of a recipe and one for each analytic one on the same episodes."""
    config = load_config(Path("configs") / f"{name}.yaml")
    scenario = config.scenario or "default"
    rows = []
    for seed in config.seeds:
        found = read_csv(RunFolder.of(runs, config, name, seed).evaluations_file)
        rows += [{**row, "run_seed": seed} for row in found if row["step"] == found[-1]["step"]]
    episodes = np.array(sorted({row["seed"] for row in rows}))
    references = read_csv(runs / config.group / "references.csv")
    stored = read_csv(store / "analytic" / f"DMoE-JESA-v0-{scenario}.csv")
    optimum = {row["seed"]: row["cost"] for row in stored if row["policy"] == "exact"}
    known = np.isin(episodes, list(optimum))
    best = np.array([optimum[episode] for episode in episodes[known]])
    learned = seed_matrix(rows, "cost", config.seeds, name)
    times = read_times(store).get(scenario, {})
    lines = []
    for scheduler in (name, *ANALYTIC):
        own = rows if scheduler == name else [{**row, "run_seed": 0} for row in references]
        own = own if scheduler == name else [row for row in own if row["policy"] == scheduler]
        seeds = sorted({row["run_seed"] for row in own})
        costs = seed_matrix(own, "cost", seeds, scheduler)
        gap = two_way_mean(costs[:, known] - best)
        scale = 100 / best.mean()
        difference = two_way_mean(100 * (learned - costs.mean(0)) / costs.mean())
        milliseconds = times.get(scheduler)
        lines.append(
            [
                f"`{scenario}`",
                scheduler,
                str(len(seeds)),
                f"{scale * gap.mean:.4f} [{scale * gap.low:.4f}, {scale * gap.high:.4f}] ({known.sum()})",
                f"{seed_matrix(own, 'shortfall', seeds, scheduler).mean():.1e}",
                ""
                if scheduler == name
                else f"{difference.mean:+.4f} [{difference.low:+.4f}, {difference.high:+.4f}] ({len(episodes)})",
                "" if milliseconds is None else f"{milliseconds:.4f}",
            ]
        )
    return lines


@one_line_errors
def main(
    runs: Annotated[Path, typer.Option(help="Root of the run folders.")] = Path("runs"),
    store: Annotated[Path, typer.Option(help="Stored results.")] = Path("results"),
    document: Annotated[Path, typer.Option(help="Page with the section.")] = Path("docs/training.md"),
) -> None:
    """Write the table."""
    headings = [
        "scenario",
        "scheduler",
        "seeds",
        "above the exact optimum, % (episodes)",
        "shortfall",
        "learned against it, % (episodes)",
        "ms per decision",
    ]
    text = markdown_table(headings, [line for name in RECIPES for line in lines_of(name, runs, store)])
    replace_section(
        document,
        SECTION,
        "`python -m agents.studies.one_shot_reached`; brackets are 95 % intervals over seeds and episodes, times are "
        f"those of `python -m agents time`:\n\n{text}",
    )
    wide_console().print(text)


if __name__ == "__main__":
    typer.run(main)

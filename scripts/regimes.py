"""What the documentation of the scenarios is made from: `python scripts/regimes.py tune|optima|tables|asymptotics`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from dmoe_gym.evaluation.asymptotics import write_asymptotics
from dmoe_gym.evaluation.optima import build_optima
from dmoe_gym.evaluation.regimes import write_tables
from dmoe_gym.evaluation.tuning import BUDGET, tunable_in, tune_all

REGIMES = ["scarce", "stale", "selective", "budget", "battery", "mobile"]
DOCS = Path(__file__).parent.parent / "docs"

app = typer.Typer(no_args_is_help=True, add_completion=False, help=__doc__)
Scenarios = Annotated[list[str] | None, typer.Argument(help="scenarios; all regimes by default")]


@app.command()
def tune(scenarios: Scenarios = None, budget: int = BUDGET) -> None:
    """Tune the analytic schedulers on training episodes; writes dmoe_gym/dmoe/data/tuned.json."""
    tune_all([name for name in scenarios or REGIMES if tunable_in(name)], budget=budget)


@app.command()
def optima(scenarios: Scenarios = None, episodes: int = 100, jobs: int = 1) -> None:
    """Compute the optima of held-out episodes; writes dmoe_gym/dmoe/data/optima.json."""
    build_optima(scenarios or REGIMES, episodes, jobs=jobs)


@app.command()
def tables(scenarios: Scenarios = None, episodes: int = 100) -> None:
    """Evaluate every scheduler on held-out episodes; writes docs/scenarios.md."""
    write_tables(scenarios or REGIMES, episodes, DOCS / "scenarios.md")


@app.command()
def asymptotics(rounds: int = 400) -> None:
    """How often JESA is optimal against M; writes docs/asymptotics.md and its picture."""
    write_asymptotics(rounds, DOCS)


if __name__ == "__main__":
    app()

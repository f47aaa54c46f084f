"""`python -m baselines regimes`: what the documentation of the scenarios is made from."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from dmoe_gym.evaluation.asymptotics import write_asymptotics
from dmoe_gym.evaluation.optima import build_optima
from dmoe_gym.evaluation.regimes import write_tables
from dmoe_gym.evaluation.tuning import BUDGET, choose_strongest, tunable_in, tune_all
from dmoe_gym.io.command_line import bar, one_line_errors, wide_console

REGIMES = ["scarce", "stale", "selective", "budget", "battery", "mobile"]
DOCS = Path(__file__).parent.parent / "docs"
_HELP = "Tune the analytic schedulers of the scenarios, bound and tabulate them; rewrites data files and docs."

app = typer.Typer(no_args_is_help=True, add_completion=False, help=_HELP)
Scenarios = Annotated[list[str] | None, typer.Argument(help="Named scenarios; those with a limit or scarcity if none.")]
Episodes = Annotated[int, typer.Option(min=1, help="Held-out episodes of each scenario.")]


@app.command()
@one_line_errors
def tune(
    scenarios: Scenarios = None,
    budget: Annotated[int, typer.Option(min=1, help="Training episodes for all candidates of a scheduler.")] = BUDGET,
) -> None:
    """Tune on training episodes; writes dmoe_gym/dmoe/data/tuned.json."""
    console = wide_console()
    tuned = [name for name in scenarios or REGIMES if tunable_in(name)]
    with bar(console) as progress:
        tune_all(tuned, budget=budget, progress=progress.task)
    console.print(f"tuned: {', '.join(tuned) or 'nothing, no scheduler of these scenarios has a parameter'}")


@app.command()
@one_line_errors
def strongest(
    scenarios: Scenarios = None,
    episodes: Annotated[int, typer.Option(min=1, help="Validation episodes of each scenario.")] = 100,
) -> None:
    """Choose what residual actions correct, on validation episodes; writes dmoe_gym/dmoe/data/strongest.json."""
    with bar(wide_console()) as progress:
        choose_strongest(scenarios or REGIMES, episodes, progress=progress.task)


@app.command()
@one_line_errors
def optima(
    scenarios: Scenarios = None,
    episodes: Episodes = 100,
    jobs: Annotated[int, typer.Option(help="Processes; -1 is one per core.")] = 1,
) -> None:
    """Compute the optima of held-out episodes; writes dmoe_gym/dmoe/data/optima.json."""
    with bar(wide_console()) as progress:
        build_optima(scenarios or REGIMES, episodes, jobs=jobs, progress=progress.task)


@app.command()
@one_line_errors
def tables(scenarios: Scenarios = None, episodes: Episodes = 100) -> None:
    """Evaluate every scheduler on held-out episodes; writes docs/scenarios.md."""
    with bar(wide_console()) as progress:
        write_tables(scenarios or REGIMES, episodes, DOCS / "scenarios.md", progress=progress.task)


@app.command()
@one_line_errors
def asymptotics(
    rounds: Annotated[int, typer.Option(min=1, help="Rounds per number of subcarriers.")] = 400,
) -> None:
    """How often JESA is optimal against M; writes docs/asymptotics.md and its picture."""
    with bar(wide_console()) as progress:
        write_asymptotics(rounds, DOCS, progress=progress.task)

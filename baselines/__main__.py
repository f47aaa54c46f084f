"""`python -m baselines`: evaluate analytic schedulers and bounds on shared episodes."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

import dmoe_gym
from dmoe_gym.evaluation import evaluate_line_up, held_out_seeds, line_up_of
from dmoe_gym.evaluation.table import cells, rich_table
from dmoe_gym.evaluation.tensorboard import write_reference_lines
from dmoe_gym.io.command_line import bar, named_objects, one_line_errors, overrides_of, wide_console
from dmoe_gym.io.files import write_csv
from dmoe_gym.registration import systems

app = typer.Typer(help=__doc__, no_args_is_help=True, add_completion=False)


@app.command("list")
def list_environments() -> None:
    """The environments, their scenarios' names, and the policies and bounds of each."""
    console = wide_console()
    for name, system in systems().items():
        console.print(f"scenarios of {name}: {', '.join(system.scenarios)}", highlight=False)
    for env_id in dmoe_gym.ENVIRONMENTS:
        line_up = line_up_of(env_id)
        bounds = f"; bounds: {', '.join(line_up.bounds)}" if line_up.bounds else ""
        console.print(f"[bold]{env_id}[/]: {', '.join(line_up.policies)}{bounds}")


@app.command()
@one_line_errors
def evaluate(
    env_id: Annotated[str, typer.Argument(help="A registered environment, as DMoE-JESA-v0.")],
    scenario: Annotated[str | None, typer.Option(help="A named scenario; the environment's own by default.")] = None,
    episodes: Annotated[int, typer.Option(min=1, help="Held-out episodes, the same for every policy.")] = 100,
    policy: Annotated[
        list[str] | None, typer.Option("--policy", "-p", help="Only this policy or bound; may be repeated.")
    ] = None,
    override: Annotated[
        list[str] | None, typer.Option("--set", help="Override a configuration field: --set threshold=0.6.")
    ] = None,
    extra: Annotated[
        list[str] | None,
        typer.Option(help="A scheduler or policy of one's own, made from the configuration: NAME=MODULE:CLASS."),
    ] = None,
    output: Annotated[Path | None, typer.Option(help="Where the CSV goes; output/ENV-SCENARIO.csv by default.")] = None,
    tensorboard: Annotated[
        Path | None, typer.Option(help="Also write one TensorBoard run per policy into this folder.")
    ] = None,
    last_step: Annotated[int, typer.Option(min=1, help="Where TensorBoard's flat lines end.")] = 1_000_000,
    jobs: Annotated[int, typer.Option(help="Processes for the bounds; -1 is one per core.")] = -1,
) -> None:
    """Print each policy's means with 95 % bootstrap intervals over held-out episodes, and write all rows as CSV."""
    console = wide_console()
    overrides = overrides_of(override or [])
    seeds = held_out_seeds(episodes)
    line_up = line_up_of(env_id, scenario, **overrides)
    with bar(console) as progress:
        rows = evaluate_line_up(
            env_id,
            scenario=scenario,
            seeds=seeds,
            names=policy,
            extra=named_objects(extra or []),
            jobs=jobs,
            progress=lambda name: progress.task(name, episodes),
            **overrides,
        )
    path = write_csv(output or Path("output") / f"{env_id}-{scenario or 'default'}.csv", rows)
    title = f"{env_id}, scenario {scenario or 'default'}, {episodes} held-out episodes, means and 95 % intervals"
    console.print(rich_table(title, *cells(rows, line_up.optimum, line_up.reference)))
    console.print(f"all rows: {path}")
    if tensorboard is not None:
        write_reference_lines(tensorboard, rows, line_up, last_step)
        console.print(f"tensorboard --logdir {tensorboard}")


if __name__ == "__main__":
    app(prog_name="python -m baselines")

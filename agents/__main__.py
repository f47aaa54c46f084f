"""`python -m agents`: train schedulers with Stable-Baselines3 and evaluate them beside the optimum."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from agents.config import load_config
from agents.evaluate import evaluate_runs
from agents.export import export_run, is_export
from agents.policy import load_learner
from agents.results.command import results, time
from agents.study.command import study
from agents.sweep.command import sweep
from agents.train import check_recipe, reference_rows
from agents.train import train as train_seed
from dmoe_gym.evaluation import line_up_of
from dmoe_gym.evaluation.table import cells, rich_table
from dmoe_gym.io.command_line import bar, one_line_errors, overrides_of, wide_console
from dmoe_gym.io.files import read_csv, write_csv
from dmoe_gym.reports import write_report

app = typer.Typer(help=__doc__, no_args_is_help=True, add_completion=False)
app.command()(sweep)
app.command()(study)
app.command()(results)
app.command()(time)
Runs = Annotated[Path, typer.Option(help="Root of the run folders.")]


@app.command()
@one_line_errors
def train(
    recipe: Annotated[Path, typer.Argument(help="A YAML file, as configs/maskable_ppo_small.yaml.")],
    seed: Annotated[list[int] | None, typer.Option(help="Only this seed of the recipe; may be repeated.")] = None,
    timesteps: Annotated[int | None, typer.Option(min=1, help="Instead of the recipe's total_timesteps.")] = None,
    runs: Runs = Path("runs"),
    resume: Annotated[bool, typer.Option("--resume", help="Continue runs from their checkpoints.")] = False,
    jobs: Annotated[int, typer.Option(help="Processes for the reference bounds; -1 is one per core.")] = -1,
    progress: Annotated[bool, typer.Option(help="Progress bars.")] = True,
) -> None:
    """Train a recipe's seeds; analytic schedulers and the optimum are evaluated first, as TensorBoard's flat lines."""
    console = wide_console()
    config = load_config(recipe)
    if timesteps is not None:
        config = config.replace(total_timesteps=timesteps)
    check_recipe(config, seed or None)
    with bar(console) as bars:
        episodes = config.evaluation.episodes
        references = reference_rows(config, runs, jobs=jobs, progress=lambda name: bars.task(name, episodes))
    for one in seed or config.seeds:
        folder = train_seed(config, recipe.stem, one, runs, references, resume=resume, progress_bar=progress)
        console.print(f"{folder.path}: trained")
    console.print(f"tensorboard --logdir {runs / config.group}")


@app.command()
@one_line_errors
def evaluate(
    run: Annotated[list[Path], typer.Argument(help="Run folders of one group, or shipped agents/weights/NAME.")],
    episodes: Annotated[int, typer.Option(min=1, help="Held-out episodes.")] = 100,
    scenario: Annotated[
        str | None, typer.Option(help="Act in this scenario instead of the one trained in (equivariant networks).")
    ] = None,
    override: Annotated[
        list[str] | None, typer.Option("--set", help="Override a configuration field there: --set num_experts=16.")
    ] = None,
    policy: Annotated[
        list[str] | None, typer.Option("--policy", "-p", help="Only this analytic policy or bound; may be repeated.")
    ] = None,
    output: Annotated[
        Path | None, typer.Option(help="Where the CSV goes; RUN's group folder, or output/ for shipped weights.")
    ] = None,
    jobs: Annotated[int, typer.Option(help="Processes for the bounds; -1 is one per core.")] = -1,
) -> None:
    """Evaluate trained runs beside the analytic schedulers and the bounds on the same held-out episodes."""
    console = wide_console()
    elsewhere = overrides_of(override) if override else None
    with bar(console) as progress:
        rows, line_up = evaluate_runs(
            run,
            episodes,
            scenario=scenario,
            overrides=elsewhere,
            names=policy,
            jobs=jobs,
            progress=lambda name: progress.task(name, episodes),
        )
    suffix = "" if scenario is None and elsewhere is None else f"-{scenario or 'overrides'}"
    home = Path("output") if is_export(run[0]) else run[0].parent
    file = write_csv(output or home / f"evaluation{suffix}.csv", rows)
    title = f"{rows[0]['scenario']} scenario, {episodes} held-out episodes, means and 95 % intervals"
    console.print(rich_table(title, *cells(rows, line_up.optimum, line_up.reference)))
    console.print(f"all rows: {file}")


@app.command()
@one_line_errors
def export(
    run: Annotated[list[Path], typer.Argument(help="Finished run folders, as runs/small/ppo_small-seed0.")],
    to: Annotated[Path, typer.Option(help="Root of the shipped weights.")] = Path("agents/weights"),
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace what an earlier export wrote.")] = False,
) -> None:
    """Write trained policies as safetensors with their recipes and model cards, which `evaluate` loads."""
    console = wide_console()
    for path in run:
        _, model = load_learner(path)
        references = path.parent / "references.csv"
        rows = read_csv(references) if references.is_file() else []
        console.print(f"{export_run(path, to, model, rows, overwrite=overwrite)}: written")


@app.command()
@one_line_errors
def demo(
    recipe: Annotated[Path, typer.Option(help="What is trained.")] = Path("configs/demo.yaml"),
    runs: Runs = Path("runs"),
    jobs: Annotated[int, typer.Option(help="Processes for the bounds; -1 is one per core.")] = -1,
) -> None:
    """Baselines, a short real training run, the table of both, TensorBoard files and report.md.

    Run again, it continues where it was interrupted and trains nothing twice.
    """
    console = wide_console()
    config = load_config(recipe)
    check_recipe(config)
    episodes, seed = config.evaluation.episodes, config.seeds[0]
    console.print(f"1/3 analytic schedulers and the exact optimum on {episodes} held-out episodes")
    with bar(console) as progress:
        references = reference_rows(config, runs, jobs=jobs, progress=lambda name: progress.task(name, episodes))
    console.print(f"2/3 training {recipe.stem} ({config.algorithm}) for {config.total_timesteps:,} steps")
    folder = train_seed(config, recipe.stem, seed, runs, references, resume=True)
    console.print("3/3 evaluation and report")
    curve = read_csv(folder.evaluations_file)
    rows = [*references, *(row for row in curve if row["step"] == curve[-1]["step"])]
    line_up = line_up_of(config.env_id, config.scenario, **config.overrides)
    title = f"{config.scenario} scenario, {episodes} held-out episodes, means and 95 % intervals"
    console.print(rich_table(title, *cells(rows, line_up.optimum, line_up.reference)))
    group = runs / config.group
    report = write_report(group, f"dmoe_gym demo: {title}", "make demo", rows, {folder.path.name: curve}, line_up)
    console.print(f"report: {report}")
    console.print(f"TensorBoard: {Path(sys.executable).parent / 'tensorboard'} --logdir {group}")


if __name__ == "__main__":
    app(prog_name="python -m agents")

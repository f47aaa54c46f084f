"""`python -m agents`: train schedulers with Stable-Baselines3 and evaluate them beside the optimum."""

from __future__ import annotations

import sys
import textwrap
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path
from typing import Annotated

import typer
from optuna.trial import FrozenTrial
from rich.console import Console

from agents.callback import handled, stop
from agents.check import check_recipe
from agents.config import TrainingConfig, import_modules, load_config, recipe_file, run_folder
from agents.evaluate import evaluate_runs, load_learner
from agents.export import export_run, is_export
from agents.run_folder import RunFolder, read_status
from agents.study import BEST, Budget, load_space, ranked, run_study
from agents.sweep import ENGINES, Job, Outcome, groups_of, jobs_of, seeds_of
from agents.sweep import sweep as run_sweep
from agents.train import kept_references, reference_rows
from agents.train import train as train_seed
from dmoe_gym.evaluation import Row, line_up_of
from dmoe_gym.evaluation.report import write_report
from dmoe_gym.evaluation.table import print_line_up
from dmoe_gym.evaluation.tensorboard import landmarks, mean_cost
from dmoe_gym.io.command_line import (
    bar,
    one_line_errors,
    overrides_of,
    own_and_named,
    print_table,
    told_command,
    wide_console,
)
from dmoe_gym.io.files import write_csv

app = typer.Typer(no_args_is_help=True, add_completion=False)
Runs = Annotated[Path, typer.Option(help="Root of the run folders.")]
# Trials in the table of a study.
SHOWN = 5


@app.callback(help=__doc__)
@one_line_errors
def imports(
    module: Annotated[
        list[str] | None, typer.Option("--import", help="A module that registers own learners; may be repeated.")
    ] = None,
) -> None:
    """Import modules of the user's before recipes are read."""
    import_modules(module or [])


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
    recipe = recipe_file(recipe)
    config = load_config(recipe)
    if timesteps is not None:
        config = config.replace(total_timesteps=timesteps)
    check_recipe(config, seed or None)
    with bar(console, progress) as bars:
        episodes = config.evaluation.episodes
        references = reference_rows(config, runs, jobs=jobs, progress=lambda name: bars.task(name, episodes))
    for one in seed or config.seeds:
        with bar(console, progress) as bars:
            told = bars.steps(f"{recipe.stem}-seed{one}", config.total_timesteps)
            folder = train_seed(config, recipe.stem, one, runs, references, resume=resume, progress=told)
        console.print(f"{folder.path}: {how_it_ended(config, folder, references)}", highlight=False, soft_wrap=True)
    console.print(f"tensorboard --logdir {runs / config.group}")


@app.command()
@one_line_errors
def sweep(
    recipe: Annotated[list[Path], typer.Argument(help="YAML files, as configs/*.yaml.")],
    seeds: Annotated[str | None, typer.Option(help="Instead of each recipe's own: 0-9 or 0,3,7.")] = None,
    runs: Annotated[Path, typer.Option(help="Root of the run folders.")] = Path("runs"),
    jobs: Annotated[int, typer.Option(help="Runs at a time; -1 is one per core.")] = -1,
    engine: Annotated[str, typer.Option(help=f"What runs them: {', '.join(ENGINES)}.")] = "joblib",
) -> None:
    """Train recipes x seeds, several at a time with one thread each.

    Finished runs are not repeated, the others go on from their checkpoints.
    After Ctrl-C or a crash give the same command again.
    A run that fails does not stop the others; it is listed with its error, and tried again next time.
    """
    console = wide_console()
    listed = jobs_of([recipe_file(each) for each in recipe], seeds_of(seeds) if seeds is not None else None, runs)
    if engine not in ENGINES:
        raise ValueError(f"engine = {engine!r}: valid are {', '.join(ENGINES)}")
    for group, config in groups_of(listed).items():
        console.print(f"{group}: analytic schedulers and bounds on {config.evaluation.episodes} held-out episodes")
        with bar(console) as progress:
            reference_rows(config, runs, jobs=jobs, progress=partial(progress.task, total=config.evaluation.episodes))
    outcomes = []
    running: dict[str, Callable[[int], None]] = {}
    with handled(stop), bar(console) as bars:
        advance = bars.task("runs", len(listed))

        def report(job: Job, steps: int) -> None:
            if job.name not in running:
                running[job.name] = bars.steps(job.name, job.config.total_timesteps)
            running[job.name](steps)

        try:
            for outcome in run_sweep(listed, engine=engine, workers=jobs, report=report):
                advance(1)
                bars.remove(outcome.job.name)
                console.print(f"{outcome.job.name}: {outcome.state} {outcome.error}".rstrip(), markup=False)
                outcomes.append(outcome)
        except KeyboardInterrupt:
            raise KeyboardInterrupt("every run has kept its checkpoint; the same command goes on") from None
    print_outcomes(console, outcomes)
    if any(outcome.state != "finished" for outcome in outcomes):
        raise typer.Exit(1)


@app.command()
@one_line_errors
def study(
    recipe: Annotated[Path, typer.Argument(help="A YAML file, as configs/sac_price_small.yaml.")],
    trials: Annotated[int, typer.Option(min=1, help="The study's trials, with those of earlier calls.")] = 20,
    minutes: Annotated[float, typer.Option(min=0.01, help="After these no trial starts or goes on.")] = 60,
    timesteps: Annotated[int | None, typer.Option(min=1, help="Of a training run; the recipe's by default.")] = None,
    seeds: Annotated[int, typer.Option(min=1, help="Training runs per trial, averaged.")] = 1,
    episodes: Annotated[int, typer.Option(min=1, help="Validation episodes.")] = 100,
    space: Annotated[
        Path | None, typer.Option(help="What is searched; configs/spaces/ALGORITHM.yaml by default.")
    ] = None,
    studies: Annotated[Path, typer.Option(help="Root of the study folders.")] = Path("studies"),
) -> None:
    """Search a recipe's hyperparameters with Optuna, on validation episodes that no published number uses.

    Give the same command again to continue.
    Budget and trials are kept in STUDIES/RECIPE/journal.jsonl, the best trial as a recipe in best.yaml beside it.
    """
    console = wide_console()
    recipe = recipe_file(recipe)
    config = load_config(recipe)
    if timesteps is not None:
        config = config.replace(total_timesteps=timesteps)
    check_recipe(config)
    searched = load_space(config, space)
    budget = Budget(trials, minutes, config.total_timesteps, episodes, seeds)
    folder = studies / recipe.stem
    console.print(
        f"{folder}: at most {trials} trials of {seeds} x {config.total_timesteps:,} steps and {minutes:g} minutes; "
        f"searched: {', '.join(searched.entries)}",
        soft_wrap=True,
    )
    with bar(console) as bars:
        advance = bars.task("trials", trials)

        def report(trial: FrozenTrial) -> None:
            advance(1)
            said = _cost(trial) or trial.user_attrs.get("error", "")
            console.print(f"trial {trial.number}: {trial.state.name.lower()} {said}", highlight=False, markup=False)

        try:
            with handled(stop):
                found = run_study(folder, searched, budget, command=told_command(), report=report)
        except KeyboardInterrupt:
            raise KeyboardInterrupt(f"{folder}: trials that ended are kept; the same command goes on") from None
    body = []
    for trial in ranked(found)[:SHOWN]:
        values = [trial.params.get(name, "") for name in searched.entries]
        cells = [format(value, ".3g") if isinstance(value, float) else str(value) for value in values]
        body.append([str(trial.number), _cost(trial), *cells])
    print_table(console, ["trial", "cost", *(name.rpartition(".")[2] for name in searched.entries)], body)
    if not ranked(found):
        console.print("no trial was completed")
        raise typer.Exit(1)
    console.print(f"best: {folder / BEST}")


@app.command()
@one_line_errors
def evaluate(
    run: Annotated[list[Path], typer.Argument(help="Run folders of one group, or names of shipped weights.")],
    episodes: Annotated[int, typer.Option(min=1, help="Held-out episodes.")] = 100,
    scenario: Annotated[
        str | None, typer.Option(help="Act in this scenario instead of the one trained in (equivariant networks).")
    ] = None,
    override: Annotated[
        list[str] | None, typer.Option("--set", help="Override a configuration field there: --set num_experts=16.")
    ] = None,
    policy: Annotated[
        list[str] | None,
        typer.Option("--policy", "-p", help="One of your own, MODULE:CLASS, or only references of this name."),
    ] = None,
    output: Annotated[
        Path | None, typer.Option(help="Where the CSV goes; RUN's group folder, or output/ for shipped weights.")
    ] = None,
    jobs: Annotated[int, typer.Option(help="Processes for the bounds; -1 is one per core.")] = -1,
) -> None:
    """Evaluate trained runs beside the analytic schedulers and the bounds on the same held-out episodes."""
    console = wide_console()
    elsewhere = overrides_of(override) if override else None
    run = [run_folder(each) for each in run]
    own, names = own_and_named(policy or [])
    with bar(console) as progress:
        rows, line_up = evaluate_runs(
            run,
            episodes,
            scenario=scenario,
            overrides=elsewhere,
            names=names,
            own=own,
            jobs=jobs,
            progress=lambda name: progress.task(name, episodes),
        )
    suffix = "" if scenario is None and elsewhere is None else f"-{scenario or 'overrides'}"
    home = Path("output") if is_export(run[0]) else run[0].parent
    file = write_csv(output or home / f"evaluation{suffix}.csv", rows)
    title = f"{rows[0]['scenario']} scenario, {episodes} held-out episodes, means and 95 % intervals"
    print_line_up(console, title, rows, line_up)
    console.print(f"all rows: {file}")


@app.command()
@one_line_errors
def export(
    run: Annotated[list[Path], typer.Argument(help="Finished run folders, as runs/small/ppo_small-seed0.")],
    to: Annotated[Path, typer.Option(help="The folder that gets one folder per recipe.")],
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace what an earlier export wrote.")] = False,
) -> None:
    """Write trained policies as safetensors with their recipes and model cards, which `evaluate` loads."""
    console = wide_console()
    for path in run:
        config, model = load_learner(path)
        rows = kept_references(config, path.parent) or []
        console.print(f"{export_run(path, to, model, rows, overwrite=overwrite)}: written")


@app.command()
@one_line_errors
def demo(
    recipe: Annotated[Path, typer.Option(help="What is trained.")] = Path("demo"),
    runs: Runs = Path("runs"),
    jobs: Annotated[int, typer.Option(help="Processes for the bounds; -1 is one per core.")] = -1,
) -> None:
    """Baselines, a short real training run, the table of both, TensorBoard files and report.md.

    Run again, it continues where it was interrupted and trains nothing twice.
    """
    console = wide_console()
    recipe = recipe_file(recipe)
    config = load_config(recipe)
    check_recipe(config)
    episodes, seed = config.evaluation.episodes, config.seeds[0]
    console.print(f"1/3 analytic schedulers and the exact optimum on {episodes} held-out episodes")
    with bar(console) as progress:
        references = reference_rows(config, runs, jobs=jobs, progress=lambda name: progress.task(name, episodes))
    console.print(f"2/3 training {recipe.stem} ({config.algorithm}) for {config.total_timesteps:,} steps")
    with bar(console) as progress:
        told = progress.steps(recipe.stem, config.total_timesteps)
        going_on = "the same command goes on"
        folder = train_seed(config, recipe.stem, seed, runs, references, resume=True, progress=told, going_on=going_on)
    console.print("3/3 evaluation and report")
    curve = folder.evaluations(config)
    rows = [*references, *(row for row in curve if row["step"] == curve[-1]["step"])]
    line_up = line_up_of(config.env_id, config.scenario, **config.overrides)
    title = f"{config.scenario} scenario, {episodes} held-out episodes, means and 95 % intervals"
    print_line_up(console, title, rows, line_up)
    group = runs / config.group
    curves = {folder.path.name: curve}
    report = write_report(group, f"dmoe_gym demo: {title}", told_command(), rows, line_up, curves=curves)
    console.print(f"report: {report}")
    console.print(f"TensorBoard: {Path(sys.executable).parent / 'tensorboard'} --logdir {group}")


def how_it_ended(config: TrainingConfig, folder: RunFolder, references: list[Row]) -> str:
    """The last evaluation's cost beside the landmarks', on the same held-out episodes."""
    curve = folder.evaluations(config)
    last = [row for row in curve if row["step"] == curve[-1]["step"]]
    line_up = line_up_of(config.env_id, config.scenario, **config.overrides)
    roles = {line_up.random: "random", line_up.optimum: "bound"}
    beside = []
    for name in landmarks(references, line_up):
        role = roles.get(name, "reference" if name == line_up.reference else "strongest")
        beside.append(f"{role if role == name else f'{role} {name}'} {mean_cost(references, name):.4f}")
    return f"cost {mean_cost(last, last[0]['policy']):.4f} ({len(last)} held-out episodes; {', '.join(beside)})"


def print_outcomes(console: Console, outcomes: Iterable[Outcome]) -> None:
    """How every run ended."""
    headings = ["run", "state", "steps", "minutes", "minutes of one core", "killed", "error"]
    body = []
    for outcome in sorted(outcomes, key=lambda outcome: outcome.job.name):
        status = read_status(outcome.job.folder.path)
        figures = ("", "", "", "")
        if status is not None:
            minutes = f"{status.wall_seconds / 60:.1f}", f"{status.cpu_seconds / 60:.1f}"
            figures = (f"{status.steps:,}", *minutes, str(status.deaths))
        body.append([outcome.job.name, outcome.state, *figures, "\n".join(textwrap.wrap(outcome.error, 60))])
    print_table(console, headings, body, left=("state", "error"))


def _cost(trial: FrozenTrial) -> str:
    return "" if trial.value is None else f"{trial.value:.6g}"


if __name__ == "__main__":
    app(prog_name="python -m agents")

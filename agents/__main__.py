"""`python -m agents`: train schedulers with Stable-Baselines3 and evaluate them beside the optimum."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from agents.config import load_config
from agents.policy import load_run
from agents.train import reference_rows
from agents.train import train as train_seed
from dmoe_gym.command_line import bar, one_line_errors, wide_console
from dmoe_gym.evaluation import evaluate as evaluate_policy
from dmoe_gym.evaluation import evaluate_lineup, held_out_seeds, lineup_of
from dmoe_gym.evaluation.table import cells, rich_table
from dmoe_gym.files import write_csv

app = typer.Typer(help=__doc__, no_args_is_help=True, add_completion=False)
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
) -> None:
    """Train a recipe's seeds; analytic schedulers and the optimum are evaluated first, as TensorBoard's flat lines."""
    console = wide_console()
    config = load_config(recipe)
    if timesteps is not None:
        config = config.replace(total_timesteps=timesteps)
    with bar(console) as progress:
        episodes = config.evaluation.episodes
        references = reference_rows(config, runs, jobs=jobs, progress=lambda name: progress.task(name, episodes))
    for one in seed or config.seeds:
        folder = train_seed(config, recipe.stem, one, runs, references, resume=resume)
        console.print(f"{folder.path}: trained")
    console.print(f"tensorboard --logdir {runs / config.group}")


@app.command()
@one_line_errors
def evaluate(
    run: Annotated[list[Path], typer.Argument(help="Run folders of one group, as runs/small/ppo_small-seed0.")],
    episodes: Annotated[int, typer.Option(min=1, help="Held-out episodes.")] = 100,
    output: Annotated[Path | None, typer.Option(help="Where the CSV goes; RUN's group folder by default.")] = None,
    jobs: Annotated[int, typer.Option(help="Processes for the bounds; -1 is one per core.")] = -1,
) -> None:
    """Evaluate trained runs beside the analytic schedulers and the bounds on the same held-out episodes."""
    console = wide_console()
    loaded = [(path, *load_run(path)) for path in run]
    config = loaded[0][1]
    settings = {"scenario": config.scenario, "seeds": held_out_seeds(episodes), **config.overrides}
    lineup = lineup_of(config.env_id, config.scenario, **config.overrides)
    for path, other, _ in loaded:
        if (other.scenario, other.overrides) != (config.scenario, config.overrides):
            raise ValueError(f"{path}: ran on another scenario than {run[0]}; evaluate them one by one")
        if lineup_of(other.env_id, other.scenario, **other.overrides).env_id != lineup.env_id:
            raise ValueError(f"{path}: ran on another environment's episodes than {run[0]}; evaluate them one by one")
    with bar(console) as progress:
        rows = evaluate_lineup(config.env_id, jobs=jobs, progress=lambda n: progress.task(n, episodes), **settings)
        for path, other, policy in loaded:
            tick = progress.task(path.name, episodes)
            rows += evaluate_policy(policy, other.env_id, name=path.name, progress=tick, **settings)
    file = write_csv(output or run[0].parent / "evaluation.csv", rows)
    title = f"{config.scenario or 'default'} scenario, {episodes} held-out episodes, means and 95 % intervals"
    console.print(rich_table(title, *cells(rows, lineup.optimum, lineup.reference)))
    console.print(f"all rows: {file}")


if __name__ == "__main__":
    app(prog_name="python -m agents")

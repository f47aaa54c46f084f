"""`python -m agents.studies.wdmoe_sac`: SAC and PPO in WDMoE's testbed beside constant actions.

SAC's entropy weight is chosen on tuning episodes (`tune`), the best constant action on training ones (`constant`).
`python -m agents sweep` trains the recipes, `python -m agents results` collects them.
`quote` makes the tables.
"""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import numpy as np
import torch
import typer
from scipy.optimize import differential_evolution

from agents.config import TrainingConfig, load_config
from agents.learners import build_env, build_learner
from agents.policy import as_policy
from agents.results.setting import Setting
from agents.results.store import learned_rows
from dmoe_gym.evaluation import Interval, Row, by_policy, compare, evaluate, held_out_seeds, seed_matrix
from dmoe_gym.evaluation.markdown import markdown_table
from dmoe_gym.io.command_line import one_line_errors, wide_console
from dmoe_gym.io.files import read_csv, replace_section, write_csv, write_json
from dmoe_gym.policy import ConstantPolicy

RECIPE = Path("configs/wdmoe_sac_testbed.yaml")
FOLDER = Path("output/wdmoe-sac")
# None of these episodes is held out (seeds from 1,000,000), none trains (seeds from 0 and from 500,000).
TUNING_EPISODES = range(900_000, 900_200)
TUNING_SEEDS = (500_000, 500_001)
CANDIDATES: tuple[str | float, ...] = ("auto", "auto_0.02", 0.005, 0.001)
METRIC = "latency_ms"
CONSTANT = "every discount at its end"
ANALYTIC = ("top-2-optimal", "WLR-optimal", "greedy-optimal", "exact")
LEARNED = ("wdmoe_sac_testbed", "wdmoe_ppo_testbed")

app = typer.Typer(no_args_is_help=True, add_completion=False, help=__doc__)
Steps = Annotated[int, typer.Option(min=1, help="Environment steps of every tuning run.")]
Folder = Annotated[Path, typer.Option(help="Where tuning rows and the constant action are kept.")]


def trained_rows(config: TrainingConfig, seed: int, episodes: Sequence[int]) -> list[Row]:
    """Train one seed of a recipe and run it on episodes."""
    torch.set_num_threads(1)
    model = build_learner(config, build_env(config, seed), seed)
    model.learn(config.total_timesteps)
    name = f"ent_coef {config.hyperparameters['ent_coef']}"
    rows = evaluate(as_policy(model), config.env_id, scenario=config.scenario, seeds=episodes, name=name)
    return [{**row, "training_seed": seed} for row in rows]


@app.command()
@one_line_errors
def tune(
    steps: Steps = 16_000,
    candidate: Annotated[
        list[str] | None, typer.Option(help="Only this entropy weight, as auto or 0.005; may be repeated.")
    ] = None,
    seed: Annotated[list[int] | None, typer.Option(help="Only this training seed; may be repeated.")] = None,
    minutes: Annotated[float, typer.Option(help="Start no further run after so many minutes.")] = float("inf"),
    folder: Folder = FOLDER,
) -> None:
    """Train every entropy weight on the tuning seeds; runs whose rows are there already are not repeated."""
    console = wide_console()
    began = time.monotonic()
    known = [str(weight) for weight in CANDIDATES]
    if unknown := set(candidate or ()) - set(known):
        raise ValueError(f"candidate = {', '.join(sorted(unknown))}: valid are {', '.join(known)}")
    recipe = load_config(RECIPE).replace(total_timesteps=steps)
    for weight in CANDIDATES:
        if candidate and str(weight) not in candidate:
            continue
        config = recipe.replace(hyperparameters={**recipe.hyperparameters, "ent_coef": weight})
        for one in seed or TUNING_SEEDS:
            file = folder / f"tuning-{weight}-{steps}-seed{one}.csv"
            if not file.exists():
                if time.monotonic() - began > 60 * minutes:
                    return
                write_csv(file, trained_rows(config, one, TUNING_EPISODES))
            console.print(f"{weight} seed {one}: {Interval.of([row[METRIC] for row in read_csv(file)]):.3f} ms")


@app.command()
@one_line_errors
def constant(folder: Folder = FOLDER) -> None:
    """Find the constant action of least mean latency on training episodes: every device's discount, logits 0."""
    console = wide_console()
    recipe = load_config(RECIPE)
    devices = build_env(recipe, 0, 1).action_space.shape[0] // 2  # type: ignore[index]

    def mean_latency(discounts: np.ndarray) -> float:
        policy = constant_policy(devices, discounts)
        rows = evaluate(policy, recipe.env_id, scenario=recipe.scenario, seeds=range(600_000, 600_128), check=False)
        return float(np.mean([row[METRIC] for row in rows]))

    found = differential_evolution(mean_latency, [(-1, 1)] * devices, rng=0, maxiter=15, popsize=8, polish=False)
    result = {"discounts": found.x.round(4).tolist(), "latency_ms": float(found.fun), "evaluations": int(found.nfev)}
    write_json(folder / "constant.json", result)
    console.print(result)


def constant_policy(devices: int, discounts: np.ndarray | float) -> ConstantPolicy:
    """Action with bandwidth logits 0 and the given discounts."""
    action = np.zeros(2 * devices, np.float32)
    action[devices:] = discounts
    return ConstantPolicy(action, "gate_weights", 2)


@app.command()
@one_line_errors
def quote(
    steps: Steps = 16_000,
    folder: Folder = FOLDER,
    store: Annotated[Path, typer.Option(help="Folder of the collected results.")] = Path("results"),
    document: Annotated[Path | None, typer.Option(help="Also put the tables into this page, as docs/wdmoe.md.")] = None,
) -> None:
    """Tables of the stored held-out episodes and of the tuning, as far as run; with `--document`, into that page."""
    console = wide_console()
    recipe = load_config(RECIPE)
    setting = Setting.of(recipe.env_id, recipe.scenario, recipe.overrides)
    rows = [row for row in read_csv(store / "analytic" / f"{setting.file_name}.csv") if row["policy"] in ANALYTIC]
    seeds = held_out_seeds(recipe.evaluation.episodes)
    best = json.loads((folder / "constant.json").read_text())["discounts"]
    for name, discounts in ((CONSTANT, 1.0), (f"constant discounts {best}", np.array(best))):
        policy = constant_policy(len(best), discounts)
        rows += evaluate(policy, recipe.env_id, scenario=recipe.scenario, seeds=seeds, name=name)
    for name in LEARNED:
        config = load_config(RECIPE.with_name(f"{name}.yaml"))
        trained = learned_rows(name, config, store)
        if trained:
            means = seed_matrix(trained, METRIC, config.seeds, name).mean(0)
            label = f"`{name}`, mean of {len(config.seeds)} training seeds"
            rows += [{"policy": label, "seed": seed, METRIC: mean} for seed, mean in zip(seeds, means, strict=True)]
    rows = [row for row in rows if row["seed"] in seeds]
    differences = {item.policy: item.difference for item in compare(rows, CONSTANT, METRIC)}
    body = [
        [name, format(Interval.of([row[METRIC] for row in group]), ".3f"), format(differences[name], "+.3f")]
        for name, group in by_policy(rows).items()
    ]
    text = [
        f"Block latency of `{recipe.env_id}`, {len(seeds)} held-out episodes, means and 95 % intervals over episodes; "
        f"differences are to {CONSTANT}:\n",
        markdown_table(["policy", "latency [ms]", "difference [ms]"], body),
    ]
    chosen = tuning(folder, steps)
    if chosen:
        title = (
            f"SAC's mean latency on {len(TUNING_EPISODES)} tuning episodes (seeds from {TUNING_EPISODES[0]:,}) after"
        )
        headings = ["`ent_coef`", *(f"seed {seed} [ms]" for seed in TUNING_SEEDS), "mean [ms]"]
        text += [f"{title} {steps:,} steps:\n", markdown_table(headings, chosen)]
    console.print("\n".join(text), markup=False, highlight=False)
    if document is not None:
        replace_section(document, "wdmoe-sac", "\n".join(text))


def tuning(folder: Path, steps: int) -> list[list[str]]:
    """Cells: one line per candidate."""
    lines = []
    for weight in CANDIDATES:
        files = [folder / f"tuning-{weight}-{steps}-seed{seed}.csv" for seed in TUNING_SEEDS]
        if all(file.exists() for file in files):
            means = [float(np.mean([row[METRIC] for row in read_csv(file)])) for file in files]
            lines.append([f"`{weight}`", *(f"{mean:.3f}" for mean in means), f"{np.mean(means):.3f}"])
    return lines


if __name__ == "__main__":
    app()

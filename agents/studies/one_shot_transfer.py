"""Weights of one-shot scheduling away from where they were trained, beside weights trained there.

    python -m agents.studies.one_shot_transfer --episodes 40

Weights of `configs/one_shot_small.yaml` act, as they are, in the environments of `one_shot_paper` and `one_shot_wide`
under those recipes' `network.parameters`. Every seed of every recipe meets the same held-out episodes as JESA, the
untrained scheduler and the lower bound. The table goes into docs/training.md, the rows into output/.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import numpy as np
import typer
from stable_baselines3.common.base_class import BaseAlgorithm
from torch import Tensor, nn

from agents.config import TrainingConfig, load_config
from agents.learners import build_env, build_learner
from agents.networks.vector import VectorPolicy
from agents.policy import LearnedPolicy, load_learner
from agents.run_folder import RunFolder
from dmoe_gym.evaluation import Row, evaluate, evaluate_lineup, held_out_seeds
from dmoe_gym.evaluation.aggregate import paired_difference, seed_matrix, two_way_mean
from dmoe_gym.evaluation.markdown import markdown_table
from dmoe_gym.io.command_line import one_line_errors, wide_console
from dmoe_gym.io.files import replace_section, write_csv

TRAINED, PLACES = "one_shot_small", ("one_shot_paper", "one_shot_wide")
# recipes that are no row of the results
ELSEWHERE = Path("configs/transfer")
REFERENCES = ("JESA", "one-shot", "lower-bound")
SECTION = "one-shot-transfer"


def recipe(name: str) -> TrainingConfig:
    """A recipe by its name."""
    file = ELSEWHERE / f"{name}.yaml"
    return load_config(file if file.is_file() else Path("configs") / file.name)


def weights_of(name: str, seed: int, runs: Path) -> Tensor:
    """The parameter vector of a finished run.

    Raises:
        ValueError: if there is no such run.
    """
    config = recipe(name)
    _, model = load_learner(RunFolder.of(runs, config, name, seed).path)
    return parameters_of(model).detach().clone()


def parameters_of(model: BaseAlgorithm) -> nn.Parameter:
    """The parameter vector of a learner."""
    policy: nn.Module | None = model.policy
    assert isinstance(policy, VectorPolicy)
    return policy.parameters_vector


def acting(config: TrainingConfig, name: str, seed: int, runs: Path) -> LearnedPolicy:
    """The scheduler of a recipe with the weights of a run of any of them."""
    model = build_learner(config, build_env(config, 0, num_envs=1, training=False), 0)
    parameters_of(model).data = weights_of(name, seed, runs)
    return LearnedPolicy(model)


def rows_of(place: str, episodes: int, runs: Path, jobs: int) -> list[Row]:
    """Rows of both sets of weights and of the references at one place."""
    config = recipe(place)
    seeds = held_out_seeds(episodes)
    rows = [
        {**row, "place": place, "run_seed": 0}
        for row in evaluate_lineup(
            config.env_id, scenario=config.scenario, seeds=seeds, names=REFERENCES, jobs=jobs, **config.overrides
        )
    ]
    for name in (TRAINED, place):
        for seed in recipe(name).seeds:
            policy = acting(config, name, seed, runs)
            found = evaluate(
                policy, config.env_id, scenario=config.scenario, seeds=seeds, name=name, check=False, **config.overrides
            )
            rows += [{**row, "place": place, "run_seed": seed} for row in found]
    return rows


def table(rows: list[Row], place: str) -> list[list[str]]:
    """One line per scheduler: mean cost, percent above the lower bound, percent above the weights trained there."""

    def values(name: str, metric: str = "cost") -> np.ndarray:
        own = [row for row in rows if row["policy"] == name and row["place"] == place]
        return seed_matrix(own, metric, sorted({row["run_seed"] for row in own}), name)

    bound = values("lower-bound")[0]
    trained_there = values(place).mean(0)
    scale = 100 / bound.mean()
    lines = []
    for name, text in (
        (TRAINED, "weights of `small`"),
        (place, "weights trained there"),
        ("one-shot", "one-shot, untrained, priced shortfall"),
        ("JESA", "JESA"),
    ):
        costs = values(name)
        above, further = paired_difference(costs, bound), two_way_mean(costs - trained_there)
        lines.append(
            [
                f"`{place.removeprefix('one_shot_')}`",
                text,
                str(len(costs)),
                f"{costs.mean():.5f}",
                f"{scale * above.mean:.4f} [{scale * above.low:.4f}, {scale * above.high:.4f}]",
                "" if name == place else f"{scale * further.mean:+.4f} [{scale * further.low:+.4f}, "
                f"{scale * further.high:+.4f}]",
                f"{values(name, 'shortfall').mean():.1e}",
            ]
        )  # fmt: skip
    return lines


@one_line_errors
def main(
    episodes: Annotated[int, typer.Option(min=2, help="Held-out episodes.")] = 40,
    runs: Annotated[Path, typer.Option(help="Root of the run folders.")] = Path("runs"),
    output: Annotated[Path, typer.Option(help="Where the rows go.")] = Path("output/one_shot_transfer.csv"),
    document: Annotated[Path, typer.Option(help="Page with the section.")] = Path("docs/training.md"),
    jobs: Annotated[int, typer.Option(help="Processes for the bound; -1 is one per core.")] = 1,
) -> None:
    """Run the study and write its table."""
    rows = [row for place in PLACES for row in rows_of(place, episodes, runs, jobs)]
    write_csv(output, rows)
    headings = [
        "place",
        "scheduler",
        "seeds",
        "cost",
        "above the lower bound, %",
        "further from it than trained there, %",
        "shortfall",
    ]
    text = markdown_table(headings, [line for place in PLACES for line in table(rows, place)])
    replace_section(
        document,
        SECTION,
        f"`python -m agents.studies.one_shot_transfer --episodes {episodes}`; {episodes} held-out episodes, "
        f"the same for all; brackets are 95 % intervals over seeds and episodes:\n\n{text}",
    )
    wide_console().print(text)


if __name__ == "__main__":
    typer.run(main)

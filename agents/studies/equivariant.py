"""What the equivariant networks reached where they were trained, and elsewhere with the same weights.

    python -m agents.studies.equivariant --document docs/training.md

Every seed of `configs/{ppo_price,sac_price,ppo}_equivariant_small.yaml` and of the flat rows beside them acts on
held-out episodes of `small`; the equivariant ones, which have no fixed sizes, also in other scenarios as they are.
`lowered` is no learner: one action for every round, which lowers JESA's threshold by 0.8 % and was chosen on 400
validation rounds (seeds from 900,000).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated

import numpy as np
import typer

from agents.config import EquivariantConfig, TrainingConfig, load_config
from agents.learners import checkpoint_steps
from agents.policy import load_run
from agents.run_folder import RunFolder
from dmoe_gym.dmoe import scenario as named
from dmoe_gym.evaluation import Row, evaluate, evaluate_lineup, held_out_seeds
from dmoe_gym.evaluation.aggregate import paired_difference
from dmoe_gym.evaluation.markdown import markdown_table
from dmoe_gym.io.command_line import one_line_errors, wide_console
from dmoe_gym.io.files import replace_section
from dmoe_gym.policy import ConstantPolicy, Policy

RECIPES = (
    "ppo_price_equivariant_small",
    "sac_price_equivariant_small",
    "sac_price_small",
    "ppo_equivariant_small",
    "ppo_small",
)
REFERENCES = ("lower-bound", "one-shot", "JESA")
HOME, PRICE_ID = "small", "DMoE-JESA-Price-v0"
SECTION = "equivariant-reached"


def lowered(scenario: str) -> ConstantPolicy:
    """JESA with a threshold multiplied by 1.5^-0.02."""
    experts = named(scenario).num_experts
    action = np.zeros(experts * (experts - 1) + 1, np.float32)
    action[-1] = -0.02
    return ConstantPolicy(action, "gate_scores", 3)


def finished(name: str, runs: Path) -> tuple[TrainingConfig, list[Path]]:
    """A recipe and the folders of its finished seeds."""
    config = load_config(Path(f"configs/{name}.yaml"))
    folders = [RunFolder.of(runs, config, name, seed) for seed in config.seeds]
    return config, [f.path for f in folders if checkpoint_steps(f.checkpoint_file) >= config.total_timesteps]


def learned(scenario: str, runs: Path) -> Iterator[tuple[str, str, Sequence[Policy]]]:
    """Recipe, environment and the policy of every finished seed; only of recipes whose weights fit there."""
    for name in RECIPES:
        config, there = finished(name, runs)
        if there and (scenario == HOME or isinstance(config.network, EquivariantConfig)):
            yield name, config.env_id, [load_run(path, scenario)[1] for path in there]


def require_all_seeds(runs: Path) -> None:
    """A page holds every seed that the recipes state.

    Raises:
        ValueError: naming the first recipe of which seeds are not finished.
    """
    for name in RECIPES:
        config, there = finished(name, runs)
        if len(there) < len(config.seeds):
            raise ValueError(
                f"{name}: {len(there)} of {len(config.seeds)} seeds are finished in {runs}, a page needs all"
            )


def table(scenario: str, episodes: int, runs: Path) -> list[list[str]]:
    """One line per scheduler: cost, and percent to the lower bound and to JESA, paired by episode."""
    seeds = held_out_seeds(episodes)
    rows = evaluate_lineup("DMoE-JESA-v0", scenario=scenario, seeds=seeds, names=REFERENCES)

    def measured(found: list[Row], metric: str) -> list[float]:
        return [float(row[metric]) for row in sorted(found, key=lambda row: row["seed"])]

    lines: dict[str, list[list[Row]]] = {name: [[row for row in rows if row["policy"] == name]] for name in REFERENCES}
    fixed: tuple[str, str, Sequence[Policy]] = ("lowered", PRICE_ID, [lowered(scenario)])
    for name, env_id, policies in (fixed, *learned(scenario, runs)):
        lines[name] = [evaluate(policy, env_id, scenario=scenario, seeds=seeds, check=False) for policy in policies]
    costs = {name: np.array([measured(each, "cost") for each in found]) for name, found in lines.items()}
    cells = []
    for name, values in costs.items():
        percent = [
            paired_difference(values * 100 / costs[other].mean(), costs[other][0] * 100 / costs[other].mean())
            for other in ("lower-bound", "JESA")
        ]
        shortfall = np.mean([measured(each, "shortfall") for each in lines[name]])
        cells.append(
            [
                f"`{scenario}`",
                name,
                str(len(values)),
                f"{values.mean():.5f}",
                *(
                    "" if name == other else format(each, "+.3f")
                    for other, each in zip(("lower-bound", "JESA"), percent, strict=True)
                ),
                "" if name == "lower-bound" else f"{shortfall:.1e}",
            ]
        )
    return cells


@one_line_errors
def main(
    episodes: Annotated[int, typer.Option(min=2, help="Held-out episodes of small.")] = 100,
    elsewhere: Annotated[int, typer.Option(min=2, help="Held-out episodes of the other scenarios.")] = 10,
    scenario: Annotated[list[str] | None, typer.Option(help="Where weights act beside small; paper if none.")] = None,
    runs: Annotated[Path, typer.Option(help="Root of the run folders.")] = Path("runs"),
    document: Annotated[Path | None, typer.Option(help="Page with the section.")] = None,
) -> None:
    """Run the study; with `--document`, write its table into that page."""
    if document is not None:
        require_all_seeds(runs)
    lines = table(HOME, episodes, runs)
    for other in scenario or ["paper"]:
        lines += table(other, elsewhere, runs)
    headings = ["place", "scheduler", "seeds", "cost", "to the lower bound [%]", "to JESA [%]", "shortfall"]
    text = markdown_table(headings, lines)
    wide_console().print(text, markup=False, highlight=False)
    if document is not None:
        above = (
            f"{episodes} held-out episodes of `small`, {elsewhere} of the others; brackets are 95 % intervals over "
            "seeds and episodes:"
        )
        replace_section(document, SECTION, f"{above}\n\n{text}")


if __name__ == "__main__":
    typer.run(main)

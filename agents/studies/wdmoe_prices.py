"""What the network adds to prices in WDMoE, and where else it acts: `python -m agents.studies.wdmoe_prices`.

Runs the trained seeds of `configs/evolution_{testbed,mixtral,crowd}.yaml` in all three scenarios, beside the same
scheduler without its network, on held-out episodes. Nothing is chosen here.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import numpy as np
import typer

from agents.config import PricesConfig, load_config
from agents.policy import load_run
from agents.run_folder import RunFolder
from dmoe_gym.evaluation import evaluate, held_out_seeds, lineup_of, paired_difference
from dmoe_gym.evaluation.markdown import markdown_table
from dmoe_gym.io.command_line import one_line_errors, wide_console
from dmoe_gym.io.files import replace_section
from dmoe_gym.policy import Policy
from dmoe_gym.wdmoe import scenario
from dmoe_gym.wdmoe.policies import JointPolicy, Priced
from dmoe_gym.wdmoe.solvers.priced import PRICINGS

ENV_ID = "WDMoE-Joint-v0"
SCENARIOS = ("testbed", "mixtral", "crowd")
REFERENCE = "greedy-optimal"


def schedulers(name: str, runs: Path) -> Iterator[tuple[str, list[Policy]]]:
    """Line by line of the table what runs in a scenario: one policy, or one of every training seed."""
    for pricings in (1, 2, 4, 8, PRICINGS):
        yield f"prices without network, pricings: {pricings}", [JointPolicy(Priced(scenario(name), pricings=pricings))]
    for home in SCENARIOS:
        recipe = f"evolution_{home}"
        config = load_config(Path(f"configs/{recipe}.yaml"))
        assert isinstance(config.network, PricesConfig)
        folders = [RunFolder.of(runs, config, recipe, seed).path for seed in config.seeds]
        title = f"`{recipe}`, pricings: {config.network.rounds}, {len(folders)} seeds"
        yield title, [load_run(folder, name)[1] for folder in folders]


def costs(policy: Policy, name: str, seeds: range) -> list[float]:
    """Mean cost of every episode."""
    return [row["cost"] for row in evaluate(policy, ENV_ID, scenario=name, seeds=seeds, check=False)]


@one_line_errors
def main(
    runs: Annotated[Path, typer.Option(help="Root of the run folders.")] = Path("runs"),
    episodes: Annotated[
        int, typer.Option(min=2, help="Held-out episodes of testbed; the larger scenarios get half.")
    ] = 100,
    document: Annotated[Path | None, typer.Option(help="Also put the table into this page, as docs/wdmoe.md.")] = None,
) -> None:
    """Difference to greedy-optimal, paired by episode, over seeds and episodes; with `--document`, into that page."""
    console = wide_console()
    cells: dict[str, list[str]] = {}
    for name in SCENARIOS:
        seeds = held_out_seeds(episodes if name == "testbed" else max(2, episodes // 2))
        reference = np.array(costs(lineup_of(ENV_ID, name).policies[REFERENCE], name, seeds))
        for title, policies in schedulers(name, runs):
            values = np.array([costs(policy, name, seeds) for policy in policies])
            difference = paired_difference(values * 100 / reference.mean(), reference * 100 / reference.mean())
            cells.setdefault(title, []).append(format(difference, "+.2f"))
            console.print(f"{name} {title}: {cells[title][-1]} %", markup=False)
    headings = ["scheduler", *(f"{name} [%]" for name in SCENARIOS)]
    text = (
        f"Cost against {REFERENCE}'s, paired by episode, {episodes} held-out episodes ({max(2, episodes // 2)} in "
        "`mixtral` and `crowd`), 95 % intervals over seeds and episodes:\n\n"
        + markdown_table(headings, [[title, *row] for title, row in cells.items()])
    )
    console.print(text, markup=False, highlight=False)
    if document is not None:
        replace_section(document, "wdmoe-prices", text)


if __name__ == "__main__":
    typer.run(main)

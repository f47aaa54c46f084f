"""What detours save, and what their choice is worth: `python -m agents.studies.detours`.

Expected-cost JESA alone, then with detours drawn by chance, chosen by the rule of `ExpectedCostDetours`, chosen by the
shipped learned weights, and with all of them, on the same held-out episodes.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated

import numpy as np
import typer

from agents.policy import load_run
from agents.residual import build_residual
from agents.residual.base import Itemised
from dmoe_gym.dmoe import scenario
from dmoe_gym.dmoe.env.joint import encode_joint
from dmoe_gym.dmoe.policies import JointPolicy
from dmoe_gym.dmoe.schedulers.uncertain import ExpectedCostDetours, ExpectedCostJESA
from dmoe_gym.evaluation import Interval, evaluate, held_out_seeds
from dmoe_gym.evaluation.markdown import markdown_table
from dmoe_gym.evaluation.table import rich_table
from dmoe_gym.io.command_line import one_line_errors, wide_console
from dmoe_gym.io.files import replace_section
from dmoe_gym.policy import BatchPolicy, Policy

SCENARIOS = ("stale", "mobile")
WEIGHTS = Path("agents/weights")


class ChanceDetours(BatchPolicy):
    """Detours in uniformly random order."""

    key, dimensions = "gate_scores", 3

    def __init__(self, residual: Itemised, seed: int = 0) -> None:
        self.residual = residual
        self.generator = np.random.default_rng(seed)

    def actions(self, batch: Mapping[str, np.ndarray]) -> np.ndarray:
        size, experts = len(batch["gate_scores"]), batch["gate_scores"].shape[-1]
        seen = self.residual.see(batch, self.residual.start(size))
        outputs = self.generator.random((size, experts**2, 1)) + 1e-9
        return encode_joint(*self.residual.plan(batch, seen, outputs))


def contenders(name: str, tries: int) -> Iterator[tuple[str, Policy]]:
    """What is compared in a scenario, expected-cost JESA first."""
    config = scenario(name)
    yield "none", JointPolicy(ExpectedCostJESA(config))
    chance = build_residual("JESA-expected", config, {"caution": 1.0, "tries": tries})
    assert isinstance(chance, Itemised)
    yield f"{tries} by chance", ChanceDetours(chance)
    yield f"{tries} by rule", JointPolicy(ExpectedCostDetours(config, tries=tries))
    learned, policy = load_run(WEIGHTS / f"evolution_{name}")
    yield f"{learned.model_dump()['network']['parameters']['tries']} learned (`{learned.group}`, one seed)", policy
    yield "all", JointPolicy(ExpectedCostDetours(config))


def main(
    episodes: Annotated[int, typer.Option(min=2, help="Held-out episodes.")] = 400,
    tries: Annotated[int, typer.Option(min=1, help="Detours per round by chance and by rule.")] = 6,
    document: Annotated[Path | None, typer.Option(help="Also put the table into this page.")] = None,
) -> None:
    """Mean cost per round, and the paired difference to no detours in percent of its mean."""
    body = []
    for name in SCENARIOS:
        base = np.empty(0)
        for label, policy in contenders(name, tries):
            rows = evaluate(policy, "DMoE-JESA-v0", scenario=name, seeds=held_out_seeds(episodes), check=False)
            costs = np.array([row["cost"] for row in rows])
            base = costs if label == "none" else base
            saved = "" if label == "none" else format(Interval.of(100 * (costs - base) / base.mean()), "+.2f")
            body.append([f"`{name}`", label, f"{costs.mean():.4f}", saved])
    headings = ["scenario", "detours", "cost", "to none [%]"]
    wide_console().print(rich_table(f"Detours, {episodes} held-out episodes", headings, body))
    if document is not None:
        replace_section(document, "detours", markdown_table(headings, body))


if __name__ == "__main__":
    typer.run(one_line_errors(main))

"""How much of what learned detours save is due to their choice: as many detours, drawn by chance.

    python -m agents.studies.detours_by_chance stale mobile --episodes 400

Prints the mean cost per round of expected-cost JESA (caution 1), of the same with detours drawn uniformly, and their
paired difference with its 95 % interval, on held-out episodes.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping

import numpy as np

from agents.residual import build_residual
from agents.residual.base import Itemised
from dmoe_gym.dmoe import scenario
from dmoe_gym.dmoe.env.joint import encode_joint
from dmoe_gym.evaluation import evaluate, held_out_seeds
from dmoe_gym.policy import BatchPolicy


class ChanceDetours(BatchPolicy):
    """Detours in uniformly random order, as many as the learned ones; none for the analytic scheduler itself."""

    key, dimensions = "gate_scores", 3

    def __init__(self, residual: Itemised, detours: bool, seed: int = 0) -> None:
        self.residual, self.detours = residual, detours
        self.generator = np.random.default_rng(seed)

    def actions(self, batch: Mapping[str, np.ndarray]) -> np.ndarray:
        size, experts = len(batch["gate_scores"]), batch["gate_scores"].shape[-1]
        seen = self.residual.see(batch, self.residual.start(size))
        outputs = self.generator.random((size, experts**2, 1)) + 1e-9
        return encode_joint(*self.residual.plan(batch, seen, outputs * self.detours))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("scenarios", nargs="+")
    parser.add_argument("--episodes", type=int, default=400)
    parser.add_argument("--tries", type=int, default=6)
    arguments = parser.parse_args()
    seeds = held_out_seeds(arguments.episodes)
    for name in arguments.scenarios:
        residual = build_residual("JESA-expected", scenario(name), {"caution": 1.0, "tries": arguments.tries})
        assert isinstance(residual, Itemised)
        without, by_chance = (
            np.array([row["cost"] for row in evaluate(policy, "DMoE-JESA-v0", scenario=name, seeds=seeds, check=False)])
            for policy in (ChanceDetours(residual, False), ChanceDetours(residual, True))
        )
        difference = (by_chance - without) / without.mean() * 100
        error = 1.96 * difference.std(ddof=1) / np.sqrt(len(seeds))
        print(
            f"{name}: JESA-expected {without.mean():.4f}, {arguments.tries} detours by chance {by_chance.mean():.4f}, "
            f"{difference.mean():+.2f} +- {error:.2f} %"
        )


if __name__ == "__main__":
    main()

"""Which direction of the WLR policy's cosine-similarity test pays, and what else the same relevance could buy.

    python -m benchmarks.wdmoe_directions --scenario mixtral --blocks 300 --share 0.95

Every selection may give away the same relevance, 1 - share of what the gate's choice has: the tests by the largest
fixed theta that stays within it, the two controls by dropping second experts in random order or smallest gate weight
first. All get their optimal bandwidths. Printed is the block latency over that of the gate's choice at optimal
bandwidths, mean and paired 95 % interval over the blocks (of seeds 0, 1, ...), and the relevance kept.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable

import numpy as np

from dmoe_gym.wdmoe import (
    Allocation,
    Block,
    allocate_bandwidth,
    draw_block,
    latency,
    lower_bound,
    mean_relevance,
    scenario,
    select_experts,
    solve_greedy,
    solve_joint,
    top_k,
)
from dmoe_gym.wdmoe.solvers.selection import Direction

Select = Callable[[Block, np.random.Generator], np.ndarray]


def by_theta(direction: Direction, under: str) -> Select:
    """The largest drop by one fixed theta that the budget allows, with times under equal or optimal bandwidths."""

    def select(block: Block, generator: np.random.Generator) -> np.ndarray:
        bandwidth = allocate_bandwidth(block, top_k(block)) if under == "optimal" else None
        thetas = np.linspace(0, 1, 201) if direction == "below" else np.linspace(1, 0, 201)
        best = top_k(block)
        for theta in thetas:
            selected = select_experts(block, bandwidth, direction=direction, theta=float(theta))
            if mean_relevance(block, selected) < block.relevance_budget:
                return best
            best = selected
        return best

    return select


def by_order(order: Callable[[np.ndarray, np.random.Generator], np.ndarray]) -> Select:
    """Second experts dropped in an order of their gate weights (J,) until the budget is spent."""

    def select(block: Block, generator: np.random.Generator) -> np.ndarray:
        selected, first = top_k(block), top_k(block, 1)
        weights = np.where(selected & ~first, block.gate_weights, 0).sum(axis=1)
        spare = (mean_relevance(block, selected) - block.relevance_budget) * len(weights)
        for token in order(weights, generator):
            spare -= weights[token]
            if spare < 0:
                break
            selected[token] = first[token]
        return selected

    return select


SELECTIONS: dict[str, Select] = {
    "above, times at equal bandwidth": by_theta("above", "equal"),
    "below, times at equal bandwidth": by_theta("below", "equal"),
    "above, times at optimal bandwidth": by_theta("above", "optimal"),
    "below, times at optimal bandwidth": by_theta("below", "optimal"),
    "random order": by_order(lambda weights, generator: generator.permutation(len(weights))),
    "smallest weight first": by_order(lambda weights, generator: np.argsort(weights, kind="stable")),
    "WLR search, above (solve_joint)": lambda block, generator: solve_joint(block, direction="above").selected,
    "WLR search, below (solve_joint)": lambda block, generator: solve_joint(block, direction="below").selected,
    "relevance per bandwidth (solve_greedy)": lambda block, generator: solve_greedy(block).selected,
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--scenario", default="mixtral")
    parser.add_argument("--blocks", type=int, default=300)
    parser.add_argument("--share", type=float, default=0.95)
    arguments = parser.parse_args()
    config = scenario(arguments.scenario).replace(relevance_share=arguments.share)
    ratios: dict[str, list[float]] = {name: [] for name in [*SELECTIONS, "lower bound"]}
    kept: dict[str, list[float]] = {name: [] for name in SELECTIONS}
    for seed in range(arguments.blocks):
        block, generator = draw_block(config, np.random.default_rng(seed)), np.random.default_rng([seed, 1])
        gate = top_k(block)
        reference = latency(block, Allocation(gate, allocate_bandwidth(block, gate))).total
        for name, select in SELECTIONS.items():
            selected = select(block, generator)
            allocation = Allocation(selected, allocate_bandwidth(block, selected))
            ratios[name].append(latency(block, allocation).total / reference)
            kept[name].append(mean_relevance(block, selected) / mean_relevance(block, gate))
        ratios["lower bound"].append(lower_bound(block) / reference)
    print(f"{arguments.scenario}, {arguments.blocks} blocks, relevance share {arguments.share}")
    for name, values in ratios.items():
        half = 1.96 * np.std(values, ddof=1) / np.sqrt(len(values))
        relevance = f"relevance kept {np.mean(kept[name]):.4f}" if name in kept else ""
        print(f"  {name:40s} {np.mean(values):.4f} +- {half:.4f}  {relevance}")


if __name__ == "__main__":
    main()

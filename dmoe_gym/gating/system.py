"""The record of channel-aware gating."""

from __future__ import annotations

from itertools import combinations
from types import MappingProxyType

import numpy as np

from dmoe_gym.gating.env import GatingRound, outcome_terms
from dmoe_gym.gating.frozen import load_frozen, weights_path
from dmoe_gym.gating.policies import Gate, RandomExperts, Ranking, SelectionPolicy, SNRGreedy
from dmoe_gym.gating.scenarios import SCENARIOS, GatingSystemConfig
from dmoe_gym.gating.viewer import VIEWER
from dmoe_gym.system import COST, ExactBound, LineUp, Metric, System, affordable_bounds


def oracle(round: GatingRound) -> dict[str, float]:
    """The terms of the selection of least cost, then of least cross-entropy: it knows label and answers."""
    experts = len(round.snr)
    chosen = [list(members) for size in range(1, round.top_k + 1) for members in combinations(range(experts), size)]
    selected = np.zeros((len(chosen), experts), bool)
    for row, members in enumerate(chosen):
        selected[row, members] = True
    many = len(chosen)
    terms, _ = outcome_terms(
        np.tile(round.log_weights, (many, 1)),
        np.tile(round.log_answers, (many, 1, 1)),
        np.full(many, round.label),
        np.tile(round.snr, (many, 1)),
        selected,
        round.reward,
    )
    best = np.lexsort((terms["cross_entropy_nat"], terms["cost"]))[0]
    return {name: float(values[best]) for name, values in terms.items()}


BOUNDS = MappingProxyType({"oracle": ExactBound(oracle)})


def line_up(config: GatingSystemConfig) -> LineUp:
    """The policies and the oracle; the naive gate where its weights are at hand."""
    schedulers: dict[str, Ranking] = {"random": RandomExperts(config), "SNR-greedy": SNRGreedy(config)}
    for gate in ("naive", "channel_aware"):
        try:
            path = weights_path(config.networks, gate)
        except ValueError:
            if gate == "naive":
                continue
            raise
        schedulers[f"{gate.replace('_', '-')}-gate"] = Gate(config, load_frozen(path))
    return LineUp(
        env_id="ChannelAwareGating-v0",
        policies={name: SelectionPolicy(scheduler) for name, scheduler in schedulers.items()},
        bounds=affordable_bounds(BOUNDS, config),
        random="random",
        optimum="oracle",
        reference="channel-aware-gate",
    )


GATING = System(
    name="channel-aware gating",
    scenarios=SCENARIOS,
    metrics=(COST, Metric("accuracy", "accuracy", ".4f"), Metric("cross_entropy_nat", "cross-entropy [nat]", ".4f")),
    line_up=line_up,
    bounds=BOUNDS,
    scheduler_policy=SelectionPolicy,
    viewer=VIEWER,
    published=("analog",),
    page="gating.md",
)

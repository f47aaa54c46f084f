"""The records of DMoE: deciding whole rounds, the expert selection of one hidden state, inference with a real model."""

from __future__ import annotations

from dataclasses import replace

from dmoe_gym.dmoe.bounds import BOUNDS, INFERENCE_BOUNDS
from dmoe_gym.dmoe.inference import INFERENCE_SCENARIOS
from dmoe_gym.dmoe.line_up import des_line_up, inference_line_up, line_up
from dmoe_gym.dmoe.policies import JointPolicy
from dmoe_gym.dmoe.scenarios import SCENARIOS
from dmoe_gym.dmoe.viewer import VIEWER
from dmoe_gym.system import COST, NOTHING, RELEVANCE, SHORTFALL, Metric, System

ENERGY = Metric("energy_per_state_mJ", "energy per hidden state [mJ]", ".4f")

DMOE = System(
    name="DMoE",
    scenarios=SCENARIOS,
    metrics=(COST, ENERGY, RELEVANCE, SHORTFALL),
    line_up=line_up,
    bounds=BOUNDS,
    viewer=VIEWER,
    scheduler_policy=JointPolicy,
    imitation={"DMoE-JESA-v0": ("ppo",), "DMoE-JESA-Sequential-v0": ("maskable_ppo",)},
    published=("small", "paper", "scarce", "stale", "selective", "budget", "battery", "harvest", "mobile"),
    page="dmoe.md",
)
# rounds without the assignment of subcarriers: its costs are no schedule's, so the bounds are not of them
DES = replace(DMOE, name="DMoE, DES alone", line_up=des_line_up, bounds=NOTHING, imitation=NOTHING, published=())
INFERENCE = System(
    name="DMoE inference",
    scenarios=INFERENCE_SCENARIOS,
    metrics=(
        COST,
        ENERGY,
        Metric("energy_per_answer_mJ", "energy per answer [mJ]", ".2f", charted=False),
        RELEVANCE,
        SHORTFALL,
        Metric("accuracy", "accuracy", ".4f"),
    ),
    line_up=inference_line_up,
    bounds=INFERENCE_BOUNDS,
    viewer=VIEWER,
    scheduler_policy=JointPolicy,
    page="inference.md",
)

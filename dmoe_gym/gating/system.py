"""The record of channel-aware gating."""

from __future__ import annotations

from dmoe_gym.gating.bounds import BOUNDS
from dmoe_gym.gating.line_up import line_up
from dmoe_gym.gating.policies import SelectionPolicy
from dmoe_gym.gating.scenarios import SCENARIOS
from dmoe_gym.gating.viewer import VIEWER
from dmoe_gym.system import COST, Metric, System

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

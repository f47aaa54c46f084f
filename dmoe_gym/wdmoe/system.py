"""The record of WDMoE."""

from __future__ import annotations

from dmoe_gym.system import COST, RELEVANCE, SHORTFALL, Metric, System
from dmoe_gym.wdmoe.bounds import BOUNDS
from dmoe_gym.wdmoe.line_up import line_up
from dmoe_gym.wdmoe.policies import JointPolicy
from dmoe_gym.wdmoe.scenarios import SCENARIOS
from dmoe_gym.wdmoe.viewer import VIEWER

WDMOE = System(
    name="WDMoE",
    scenarios=SCENARIOS,
    metrics=(COST, Metric("latency_ms", "block latency [ms]", ".3f"), RELEVANCE, SHORTFALL),
    line_up=line_up,
    bounds=BOUNDS,
    viewer=VIEWER,
    scheduler_policy=JointPolicy,
    published=("testbed", "mixtral", "crowd"),
    page="wdmoe.md",
)

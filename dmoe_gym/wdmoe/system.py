"""The records of WDMoE: blocks alone, and inference with a real model."""

from __future__ import annotations

from dataclasses import replace

from dmoe_gym.system import ACCURACY, COST, RELEVANCE, SHORTFALL, Metric, System
from dmoe_gym.wdmoe.bounds import BOUNDS, INFERENCE_BOUNDS
from dmoe_gym.wdmoe.inference import INFERENCE_SCENARIOS
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
INFERENCE = replace(
    WDMOE,
    name="WDMoE inference",
    scenarios=INFERENCE_SCENARIOS,
    metrics=(*WDMOE.metrics, ACCURACY),
    bounds=INFERENCE_BOUNDS,
    published=(),
)

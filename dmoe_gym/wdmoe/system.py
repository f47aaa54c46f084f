"""The records of WDMoE."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from types import MappingProxyType

from dmoe_gym.system import ACCURACY, COST, RELEVANCE, SHORTFALL, ExactBound, LineUp, Metric, System, affordable_bounds
from dmoe_gym.wdmoe.config import WDMoEConfig
from dmoe_gym.wdmoe.inference import INFERENCE_SCENARIOS, WDMoEInferenceConfig
from dmoe_gym.wdmoe.physics.block import Allocation, Block, mean_relevance
from dmoe_gym.wdmoe.physics.latency import cost, latency, reference_latency, shortfall
from dmoe_gym.wdmoe.policies import JointPolicy
from dmoe_gym.wdmoe.scenarios import SCENARIOS
from dmoe_gym.wdmoe.schedulers import WLR, Greedy, Priced, Random, Scheduler, TopK
from dmoe_gym.wdmoe.solvers.exact import lower_bound, solve_exact
from dmoe_gym.wdmoe.viewer import VIEWER


def allocation_terms(block: Block, allocation: Allocation) -> dict[str, float]:
    """The terms of an allocation, but for repairs."""
    parts = latency(block, allocation)
    return {
        "cost": cost(block, allocation),
        "latency_s": parts.total,
        "latency_downlink_s": parts.downlink,
        "latency_uplink_s": parts.uplink,
        "latency_computation_s": parts.computation,
        "latency_waiting_s": parts.waiting,
        "relevance": mean_relevance(block, allocation.selected),
        "shortfall": shortfall(block, allocation),
    }


def _exact(block: Block) -> dict[str, float]:
    return allocation_terms(block, solve_exact(block))


def _lower_bound(block: Block, relevance: float | None = None) -> dict[str, float]:
    # a bound on the latency has no allocation, so no parts and no relevance of its own
    least = lower_bound(block, relevance)
    return {"cost": least / reference_latency(block.config), "latency_s": least}


# Tokens times devices up to which the exact optimum takes under a second a block.
LARGEST_EXACT = 64


def _few(config: WDMoEConfig) -> bool:
    return config.num_tokens * config.num_devices <= LARGEST_EXACT


BOUNDS = MappingProxyType({"exact": ExactBound(_exact, affordable=_few), "lower-bound": ExactBound(_lower_bound)})


def _least_latency(block: Block) -> dict[str, float]:
    """Every token at one device, whatever the gate says, and every answer right: every scheduler does this at least."""
    return {**_lower_bound(block, 0.0), "correct": float("nan")}


INFERENCE_BOUNDS = MappingProxyType({"lower-bound": ExactBound(_least_latency)})


SCHEDULERS: dict[str, Callable[[WDMoEConfig], Scheduler]] = {
    "random": Random,
    "top-2-equal": lambda config: TopK(config, "equal"),
    "top-2-optimal": lambda config: TopK(config, "optimal"),
    "WLR-equal": lambda config: WLR(config, "equal"),
    "WLR-optimal": lambda config: WLR(config, "optimal"),
    "greedy-equal": lambda config: Greedy(config, "equal"),
    "greedy-optimal": lambda config: Greedy(config, "optimal"),
    "priced-optimal": Priced,
}


def line_up(config: WDMoEConfig) -> LineUp:
    """The analytic policies of the WDMoE environments.

    They share their episodes bit for bit, so the analytic policies all run where an allocation is one action: on
    `WDMoE-Joint-v0`, or where a model answers on `WDMoE-Inference-Joint-v0`. The exact optimum is there for small
    blocks; elsewhere the lower bound stands for it. With a model a block's choice changes later ones, and no optimum is
    known.
    """
    serves = isinstance(config, WDMoEInferenceConfig)
    bounds = affordable_bounds(INFERENCE_BOUNDS if serves else BOUNDS, config)
    return LineUp(
        env_id="WDMoE-Inference-Joint-v0" if serves else "WDMoE-Joint-v0",
        policies={name: JointPolicy(build(config)) for name, build in SCHEDULERS.items()},
        bounds=bounds,
        optimum=bounds[0],
        reference="top-2-equal",
    )


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

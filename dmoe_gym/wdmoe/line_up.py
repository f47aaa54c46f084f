"""Which analytic policies there are, by the names that tables and commands use."""

from __future__ import annotations

from collections.abc import Callable

from dmoe_gym.system import LineUp, affordable_bounds
from dmoe_gym.wdmoe.bounds import BOUNDS, INFERENCE_BOUNDS
from dmoe_gym.wdmoe.config import WDMoEConfig
from dmoe_gym.wdmoe.inference import WDMoEInferenceConfig
from dmoe_gym.wdmoe.policies import JointPolicy
from dmoe_gym.wdmoe.schedulers.blocks import WLR, Greedy, Priced, Random, Scheduler, TopK

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
        random="random",
        optimum=bounds[0],
        reference="top-2-equal",
    )

"""Which analytic policies there are, by the names that tables and commands use."""

from __future__ import annotations

from collections.abc import Callable

from dmoe_gym.line_up import LineUp
from dmoe_gym.wdmoe.config import WDMoEConfig
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
# Tokens times devices up to which the exact optimum takes under a second a block.
LARGEST_EXACT = 64


def line_up(env_id: str, config: WDMoEConfig) -> LineUp:
    """The analytic policies of a WDMoE environment.

    The environments share their episodes bit for bit, so the analytic policies all run on `WDMoE-Joint-v0`, where an
    allocation is one action. The exact optimum is there for small blocks; elsewhere the lower bound stands for it.

    Raises:
        ValueError: for an id that is not of the WDMoE system.
    """
    if not env_id.startswith("WDMoE-"):
        raise ValueError(f"env_id = {env_id!r}: valid are the WDMoE ids")
    affordable = config.num_tokens * config.num_devices <= LARGEST_EXACT
    return LineUp(
        env_id="WDMoE-Joint-v0",
        policies={name: JointPolicy(build(config)) for name, build in SCHEDULERS.items()},
        bounds=("exact", "lower-bound") if affordable else ("lower-bound",),
        random="random",
        optimum="exact" if affordable else "lower-bound",
        reference="top-2-equal",
    )

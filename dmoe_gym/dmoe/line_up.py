"""Which analytic policies there are in each environment, by the names that tables and commands use."""

from __future__ import annotations

from collections.abc import Callable

from gymnasium.spaces import MultiBinary

from dmoe_gym.channel import CSIConfig
from dmoe_gym.dmoe.config import DMoEConfig
from dmoe_gym.dmoe.policies import DESPolicy, JointPolicy
from dmoe_gym.dmoe.schedulers.episode import BatteryJESA
from dmoe_gym.dmoe.schedulers.rounds import DES, JESA, ChannelGreedy, Homogeneous, OneShot, Random, TopK, ValueGreedy
from dmoe_gym.dmoe.schedulers.scheduler import Planner
from dmoe_gym.dmoe.schedulers.tuned import tuned
from dmoe_gym.dmoe.schedulers.uncertain import ExpectedCostDetours, PredictedJESA
from dmoe_gym.dmoe.solvers.informed_bound import informed_about
from dmoe_gym.line_up import LineUp
from dmoe_gym.policy import RandomActionPolicy

# where every round stands alone and is known
SCHEDULERS: dict[str, Callable[[DMoEConfig], Planner]] = {
    "random": Random,
    "top-1": lambda config: TopK(config, 1),
    "top-2": lambda config: TopK(config, min(2, config.max_experts)),
    "channel-greedy": ChannelGreedy,
    "homogeneous": lambda config: Homogeneous(config, config.threshold),
    "DES": DES,
    "JESA": JESA,
    "value-greedy": lambda config: ValueGreedy(config, local_search=False),
    "value-greedy-search": ValueGreedy,
    "one-shot": OneShot,
}
# knowledge is stale or noisy
UNCERTAIN: dict[str, Callable[[DMoEConfig], Planner]] = {
    "JESA-predicted": PredictedJESA,
    "JESA-margin": tuned("JESA-margin"),
    "JESA-expected": tuned("JESA-expected"),
    "JESA-expected-detours": tuned("JESA-expected", ExpectedCostDetours),
}
# relevance is a budget of the episode: schedulers of thresholds get one that is tuned to it
BUDGET: dict[str, Callable[[DMoEConfig], Planner]] = {
    "random": Random,
    "top-1": SCHEDULERS["top-1"],
    "top-2": SCHEDULERS["top-2"],
    "JESA": tuned("JESA"),
    "Lagrangian": tuned("Lagrangian"),
    "Lagrangian-adaptive": tuned("Lagrangian-adaptive"),
}
# nodes have batteries
BATTERY: dict[str, Callable[[DMoEConfig], Planner]] = {
    "JESA-guarded": lambda config: BatteryJESA(config, strength=0.0),
    "JESA-battery": tuned("JESA-battery"),
}


def schedulers_of(config: DMoEConfig) -> dict[str, Callable[[DMoEConfig], Planner]]:
    """The schedulers that make sense in a configuration's regime, by name."""
    named = dict(SCHEDULERS if config.relevance_budget is None else BUDGET)
    if config.csi != CSIConfig() and config.relevance_budget is None:
        named.update(UNCERTAIN)
        if getattr(config.channel, "small_scale", config.channel).kind == "rician":
            del named["JESA-expected"], named["JESA-expected-detours"]
    if config.battery_j is not None:
        named.update(BATTERY)
    if config.is_limited:
        named.pop("one-shot", None)
    return named


def line_up(env_id: str, config: DMoEConfig) -> LineUp:
    """The analytic policies of a DMoE environment.

    The environments that decide rounds share their episodes bit for bit, so their analytic policies all run on
    `DMoE-JESA-v0`, where a schedule is one action.

    Raises:
        ValueError: for an id that is not of the DMoE system.
    """
    if env_id == "DMoE-DES-v0":
        limit = config.max_experts
        return LineUp(
            env_id=env_id,
            policies={
                "random": RandomActionPolicy(MultiBinary(config.num_experts), "gate_scores", 1),
                "top-1": DESPolicy(limit, k=1),
                "top-2": DESPolicy(limit, k=min(2, limit)),
                "DES": DESPolicy(limit),
            },
            bounds=(),
            random="random",
            optimum="DES",
            reference="DES",
        )
    if env_id.startswith("DMoE-JESA-"):
        alone = config.relevance_budget is None and config.battery_j is None
        bounds: tuple[str, ...] = ("exact", "lower-bound") if alone else ("clairvoyant",)
        if informed_about(config):
            bounds += ("informed",)
        return LineUp(
            env_id="DMoE-JESA-v0",
            policies={name: JointPolicy(build(config)) for name, build in schedulers_of(config).items()},
            bounds=bounds,
            random="random",
            optimum=bounds[0],
            reference="JESA",
        )
    raise ValueError(f"env_id = {env_id!r}: valid are DMoE-DES-v0 and the DMoE-JESA ids")

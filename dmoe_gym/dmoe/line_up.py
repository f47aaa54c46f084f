"""Which analytic policies there are in each environment, by the names that tables and commands use."""

from __future__ import annotations

from collections.abc import Callable

from gymnasium.spaces import MultiBinary

from dmoe_gym.channel import BlockageConfig, CSIConfig
from dmoe_gym.dmoe.bounds import BOUNDS, INFERENCE_BOUNDS
from dmoe_gym.dmoe.config import DMoEConfig
from dmoe_gym.dmoe.inference import InferenceConfig
from dmoe_gym.dmoe.policies import DESPolicy, JointPolicy
from dmoe_gym.dmoe.schedulers.episode import BatteryJESA
from dmoe_gym.dmoe.schedulers.rounds import DES, JESA, ChannelGreedy, Homogeneous, Random, SinglePass, TopK, ValueGreedy
from dmoe_gym.dmoe.schedulers.scheduler import Scheduler
from dmoe_gym.dmoe.schedulers.tuned import tuned
from dmoe_gym.dmoe.schedulers.uncertain import ExpectedCostRestarts, PredictedJESA
from dmoe_gym.dmoe.solvers.channel_law import ChannelLaw
from dmoe_gym.policy import RandomActionPolicy
from dmoe_gym.system import LineUp, affordable_bounds

# where every round stands alone and is known
SCHEDULERS: dict[str, Callable[[DMoEConfig], Scheduler]] = {
    "random": Random,
    "top-1": lambda config: TopK(config, 1),
    "top-2": lambda config: TopK(config, min(2, config.max_experts)),
    "channel-greedy": ChannelGreedy,
    "homogeneous": lambda config: Homogeneous(config, config.threshold),
    "DES": DES,
    "JESA": JESA,
    "value-greedy": lambda config: ValueGreedy(config, local_search=False),
    "value-greedy-search": ValueGreedy,
    "single-pass": SinglePass,
}
# knowledge is stale or noisy, and the channel's law is known
PREDICTING: dict[str, Callable[[DMoEConfig], Scheduler]] = {
    "JESA-predicted": PredictedJESA,
    "JESA-margin": tuned("JESA-margin"),
}
# ... and has the closed form that compiled code needs
EXPECTING: dict[str, Callable[[DMoEConfig], Scheduler]] = {
    "JESA-expected": tuned("JESA-expected"),
    "JESA-expected-restarts": tuned("JESA-expected", ExpectedCostRestarts),
}
# relevance is a budget of the episode: schedulers of thresholds get one that is tuned to it
BUDGET: dict[str, Callable[[DMoEConfig], Scheduler]] = {
    "random": Random,
    "top-1": SCHEDULERS["top-1"],
    "top-2": SCHEDULERS["top-2"],
    "JESA": tuned("JESA"),
    "Lagrangian": tuned("Lagrangian"),
    "Lagrangian-adaptive": tuned("Lagrangian-adaptive"),
}
# nodes have batteries
BATTERY: dict[str, Callable[[DMoEConfig], Scheduler]] = {
    "JESA-guarded": lambda config: BatteryJESA(config, strength=0.0),
    "JESA-battery": tuned("JESA-battery"),
}
# links are blocked, and it is told what they delivered
BLOCKAGE: dict[str, Callable[[DMoEConfig], Scheduler]] = {
    "JESA-outer-loop": tuned("JESA-outer-loop"),
    "JESA-filter": tuned("JESA-filter"),
}
# a model answers; thresholds are chosen by what right answers are worth
INFERENCE: dict[str, Callable[[DMoEConfig], Scheduler]] = {
    **{name: SCHEDULERS[name] for name in ("random", "top-1", "top-2")},
    "top-3": lambda config: TopK(config, min(3, config.max_experts)),
    **{name: SCHEDULERS[name] for name in ("channel-greedy", "homogeneous", "DES", "JESA")},
}


def schedulers_of(config: DMoEConfig) -> dict[str, Callable[[DMoEConfig], Scheduler]]:
    """The schedulers that make sense in a configuration's regime, by name."""
    named = dict(SCHEDULERS if config.relevance_budget is None else BUDGET)
    law = config.gain_law(0)
    if not config.csi.is_perfect and config.relevance_budget is None and law is not None:
        named.update(PREDICTING)
        if ChannelLaw.fits(law):
            named.update(EXPECTING)
    if config.battery_j is not None:
        named.update(BATTERY)
    if config.harvest is not None and config.harvest.known_mean_j is not None:
        named["JESA-harvest"] = tuned("JESA-harvest")
    if config.acknowledged and isinstance(config.channel, BlockageConfig) and isinstance(config.csi, CSIConfig):
        named.update(BLOCKAGE)
    if config.is_limited:
        named.pop("single-pass", None)
    return named


def line_up(config: DMoEConfig) -> LineUp:
    """The analytic policies of the environments that decide rounds.

    They share their episodes bit for bit, so their analytic policies all run on `DMoE-JESA-v0`, where a schedule is
    one action.
    """
    bounds = affordable_bounds(BOUNDS, config)
    return LineUp(
        env_id="DMoE-JESA-v0",
        policies={name: JointPolicy(build(config)) for name, build in schedulers_of(config).items()},
        bounds=bounds,
        random="random",
        optimum=bounds[0],
        reference="JESA",
    )


def des_line_up(config: DMoEConfig) -> LineUp:
    """The analytic policies of `DMoE-DES-v0`; DES is optimal there."""
    limit = config.max_experts
    return LineUp(
        env_id="DMoE-DES-v0",
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


def inference_line_up(config: InferenceConfig) -> LineUp:
    """The analytic policies of inference; they decide whole schedules, so they run on `DMoE-Inference-Joint-v0`.

    No per-round optimum exists, for a round's choice changes later rounds: what stands in its place is a bound, every
    hidden state at its expert of least energy and every answer right.
    """
    return LineUp(
        env_id="DMoE-Inference-Joint-v0",
        policies={name: JointPolicy(build(config)) for name, build in INFERENCE.items()},
        bounds=affordable_bounds(INFERENCE_BOUNDS, config),
        random="random",
        optimum="lower-bound",
        reference="JESA",
    )

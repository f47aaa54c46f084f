"""The records of DMoE: deciding whole rounds, the expert selection of one hidden state, inference with a real model."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from types import MappingProxyType

from gymnasium.spaces import MultiBinary

from dmoe_gym.channel import BlockageConfig, CSIConfig
from dmoe_gym.dmoe.config import DMoEConfig, NodesConfig
from dmoe_gym.dmoe.inference import INFERENCE_SCENARIOS, InferenceConfig
from dmoe_gym.dmoe.physics import Round, terms
from dmoe_gym.dmoe.policies import DESPolicy, JointPolicy
from dmoe_gym.dmoe.scenarios import NODES_SCENARIOS, SCENARIOS
from dmoe_gym.dmoe.schedulers.episode import BatteryJESA
from dmoe_gym.dmoe.schedulers.nodes import Bandit, RandomAccess, Sensing, Shares
from dmoe_gym.dmoe.schedulers.rounds import DES, JESA, ChannelGreedy, Homogeneous, Random, SinglePass, TopK, ValueGreedy
from dmoe_gym.dmoe.schedulers.scheduler import Scheduler
from dmoe_gym.dmoe.schedulers.tuned import tuned
from dmoe_gym.dmoe.schedulers.uncertain import ExpectedCostRestarts, PredictedJESA
from dmoe_gym.dmoe.solvers import lower_bound, solve_exact
from dmoe_gym.dmoe.solvers.blockage import blockage_bound, known_about
from dmoe_gym.dmoe.solvers.clairvoyant import clairvoyant
from dmoe_gym.dmoe.solvers.delivery import ChannelLaw
from dmoe_gym.dmoe.solvers.informed import informed_about, informed_bound
from dmoe_gym.dmoe.viewer import VIEWER
from dmoe_gym.policy import RandomActionPolicy
from dmoe_gym.system import (
    ACCURACY,
    COST,
    NOTHING,
    RELEVANCE,
    SHORTFALL,
    ClairvoyantBound,
    ExactBound,
    InformedBound,
    LineUp,
    Metric,
    System,
    Terms,
    affordable_bounds,
)


def rounds_stand_alone(config: DMoEConfig) -> bool:
    """Is there no relevance budget and no battery, which bind an episode's rounds together?"""
    return config.relevance_budget is None and config.battery_j is None


def _exact(round: Round) -> dict[str, float]:
    best = terms(round, solve_exact(round))
    return {
        "cost": best.cost,
        "energy_communication_J": best.energy.communication,
        "energy_computation_J": best.energy.computation,
        "relevance": best.relevance,
        "shortfall": best.shortfall,
    }


def _cost_alone(cost: float) -> dict[str, float]:
    """A bound on the cost has no schedule, so no energy of its own."""
    parts = ("energy_communication_J", "energy_computation_J", "relevance", "shortfall")
    return {"cost": cost, **dict.fromkeys(parts, float("nan"))}


class Informed(InformedBound):
    """Where links are blocked, a function of the true rounds, of whose states it takes the law alone."""

    def means(self, rounds: Sequence[Round], observed: Sequence[Round]) -> Terms:
        if known_about(rounds[0].config):
            return ExactBound(lambda round: _cost_alone(blockage_bound(round))).means(rounds, observed)
        return super().means(rounds, observed)


def _least_energy(round: Round) -> dict[str, float]:
    """Every hidden state at the expert of least energy, no exclusivity, and every answer right: no scheduler is below.

    It knows nothing of which answers are right, so it is loose; an exact optimum would search all schedules of all
    layers through the model.
    """
    cost = lower_bound(Round(round.gate_scores, round.gains, 0.0, round.config))
    return {**_cost_alone(cost), "correct": float("nan")}


BOUNDS = MappingProxyType(
    {
        "exact": ExactBound(_exact, rounds_stand_alone),
        "lower-bound": ExactBound(lambda round: _cost_alone(lower_bound(round)), rounds_stand_alone),
        "clairvoyant": ClairvoyantBound(
            lambda rounds: _cost_alone(clairvoyant(rounds).cost), lambda config: not rounds_stand_alone(config)
        ),
        "informed": Informed(
            lambda observed, passed: _cost_alone(informed_bound(observed, passed)),
            lambda config: informed_about(config) or known_about(config),
        ),
    }
)
INFERENCE_BOUNDS = MappingProxyType({"lower-bound": ExactBound(_least_energy)})


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
# every node for itself
NODES_RULES: dict[str, Callable[[NodesConfig], Scheduler]] = {
    "random": Random,
    "shares": Shares,
    "random-access": RandomAccess,
    "sensing": Sensing,
    "bandit": Bandit,
}
# a model answers; thresholds are chosen by what right answers are worth
ANSWERING: dict[str, Callable[[DMoEConfig], Scheduler]] = {
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
    if _is_filtered(config):
        named.update(BLOCKAGE)
    if config.is_limited:
        named.pop("single-pass", None)
    return named


def _is_filtered(config: DMoEConfig) -> bool:
    """Are links blocked, and is it told what they delivered?"""
    told = config.acknowledged and not config.return_transmission
    return told and isinstance(config.channel, BlockageConfig) and isinstance(config.csi, CSIConfig)


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
        optimum=bounds[0],
        reference="JESA",
    )


def nodes_line_up(config: NodesConfig) -> LineUp:
    """The rules by which every node schedules for itself; they hear nothing of others."""
    rules = dict(NODES_RULES)
    if _is_filtered(config):
        rules["shares-filter"] = lambda config: Shares(config, filtered=True)
    bounds = affordable_bounds(BOUNDS, config)
    return LineUp(
        env_id="DMoE-Nodes-v0",
        policies={name: JointPolicy(build(config)) for name, build in rules.items()},
        bounds=bounds,
        optimum=bounds[0],
        reference="shares",
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
        policies={name: JointPolicy(build(config)) for name, build in ANSWERING.items()},
        bounds=affordable_bounds(INFERENCE_BOUNDS, config),
        optimum="lower-bound",
        reference="JESA",
    )


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
    published=("small", "paper", "scarce", "stale", "selective", "budget", "battery", "harvest", "blockage", "mobile"),
    page="dmoe.md",
)
# rounds without the assignment of subcarriers: its costs are no schedule's, so the bounds are not of them
SELECTION = replace(DMOE, name="DMoE, DES alone", line_up=des_line_up, bounds=NOTHING, imitation=NOTHING, published=())
NODES = replace(
    DMOE,
    name="DMoE, every node for itself",
    scenarios=NODES_SCENARIOS,
    line_up=nodes_line_up,
    imitation=NOTHING,
    published=(),
    page="parallel.md",
    page_alone=True,
)
INFERENCE = System(
    name="DMoE inference",
    scenarios=INFERENCE_SCENARIOS,
    metrics=(
        COST,
        ENERGY,
        Metric("energy_per_answer_mJ", "energy per answer [mJ]", ".2f", charted=False),
        RELEVANCE,
        SHORTFALL,
        ACCURACY,
    ),
    line_up=inference_line_up,
    bounds=INFERENCE_BOUNDS,
    viewer=VIEWER,
    scheduler_policy=JointPolicy,
    validation=MappingProxyType({"relevance": {"inputs": "validation"}}),
    page="inference.md",
)

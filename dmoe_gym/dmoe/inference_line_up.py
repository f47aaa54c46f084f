"""The analytic policies of the inference environments."""

from __future__ import annotations

from collections.abc import Callable

from dmoe_gym.dmoe.config import DMoEConfig
from dmoe_gym.dmoe.inference import InferenceConfig
from dmoe_gym.dmoe.policies import JointPolicy
from dmoe_gym.dmoe.schedulers.rounds import DES, JESA, ChannelGreedy, Homogeneous, Random, TopK
from dmoe_gym.dmoe.schedulers.scheduler import Planner
from dmoe_gym.line_up import LineUp

SCHEDULERS: dict[str, Callable[[DMoEConfig], Planner]] = {
    "random": Random,
    "top-1": lambda config: TopK(config, 1),
    "top-2": lambda config: TopK(config, min(2, config.max_experts)),
    "top-3": lambda config: TopK(config, min(3, config.max_experts)),
    "channel-greedy": ChannelGreedy,
    "homogeneous": lambda config: Homogeneous(config, config.threshold),
    "DES": DES,
    "JESA": JESA,
}


def inference_line_up(config: InferenceConfig) -> LineUp:
    """They decide whole schedules, so they run on `DMoE-Inference-Joint-v0`, whose episodes are the same.

    No per-round optimum exists, for a round's choice changes later rounds: what stands in its place is a bound, every
    hidden state at its expert of least energy and every answer right.
    """
    return LineUp(
        env_id="DMoE-Inference-Joint-v0",
        policies={name: JointPolicy(build(config)) for name, build in SCHEDULERS.items()},
        bounds=("lower-bound",),
        random="random",
        optimum="lower-bound",
        reference="JESA",
    )

"""Which analytic policies there are in each environment, by the names that tables and commands use."""

from __future__ import annotations

from collections.abc import Callable

from gymnasium.spaces import MultiBinary

from dmoe_gym.dmoe.config import DMoEConfig
from dmoe_gym.dmoe.policies.policies import DESPolicy, JointPolicy
from dmoe_gym.dmoe.policies.schedulers import DES, JESA, ChannelGreedy, Homogeneous, Random, Scheduler, TopK
from dmoe_gym.lineup import Lineup
from dmoe_gym.policy import RandomActionPolicy

SCHEDULERS: dict[str, Callable[[DMoEConfig], Scheduler]] = {
    "random": Random,
    "top-1": lambda config: TopK(config, 1),
    "top-2": lambda config: TopK(config, min(2, config.max_experts)),
    "channel-greedy": ChannelGreedy,
    "homogeneous": lambda config: Homogeneous(config, config.threshold),
    "DES": DES,
    "JESA": JESA,
}


def lineup(env_id: str, config: DMoEConfig) -> Lineup:
    """The analytic policies of a DMoE environment.

    The environments that decide rounds share their episodes bit for bit, so their analytic policies all run on
    `DMoE-JESA-v0`, where a schedule is one action.

    Raises:
        ValueError: for an id that is not of the DMoE system.
    """
    if env_id == "DMoE-DES-v0":
        limit = config.max_experts
        return Lineup(
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
        return Lineup(
            env_id="DMoE-JESA-v0",
            policies={name: JointPolicy(build(config)) for name, build in SCHEDULERS.items()},
            bounds=("exact", "lower-bound"),
            random="random",
            optimum="exact",
            reference="JESA",
        )
    raise ValueError(f"env_id = {env_id!r}: valid are DMoE-DES-v0 and the DMoE-JESA ids")

"""Which analytic policies there are in each environment, by the names that tables and commands use."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from dmoe_gym.dmoe.config import DMoEConfig
from dmoe_gym.dmoe.policies.policies import ConstantPolicy, DESPolicy, JointPolicy, SequentialPolicy
from dmoe_gym.dmoe.policies.schedulers import DES, JESA, ChannelGreedy, Homogeneous, Random, Scheduler, TopK
from dmoe_gym.policy import Policy

SCHEDULERS: dict[str, Callable[[DMoEConfig], Scheduler]] = {
    "random": Random,
    "top-1": lambda config: TopK(config, 1),
    "top-2": lambda config: TopK(config, min(2, config.max_experts)),
    "channel-greedy": ChannelGreedy,
    "homogeneous": lambda config: Homogeneous(config, config.threshold),
    "DES": DES,
    "JESA": JESA,
}


def policies(env_id: str, config: DMoEConfig) -> dict[str, Policy]:
    """The analytic policies of a DMoE environment.

    In the priced environment only JESA can be said as an action; the others are compared to it on
    `DMoE-JESA-v0`, whose episodes are the same bit for bit.

    Raises:
        ValueError: for an id that is not of the DMoE system.
    """
    if env_id == "DMoE-JESA-v0":
        return {name: JointPolicy(build(config)) for name, build in SCHEDULERS.items()}
    if env_id == "DMoE-JESA-Sequential-v0":
        return {name: SequentialPolicy(build(config)) for name, build in SCHEDULERS.items()}
    if env_id == "DMoE-JESA-Price-v0":
        links = config.num_experts * (config.num_experts - 1)
        return {"JESA": ConstantPolicy(np.zeros(links + 1, np.float32), "gate_scores", 3)}
    if env_id == "DMoE-DES-v0":
        return {
            "top-1": DESPolicy(config.max_experts, k=1),
            "top-2": DESPolicy(config.max_experts, k=min(2, config.max_experts)),
            "DES": DESPolicy(config.max_experts),
        }
    raise ValueError(f"env_id = {env_id!r}: valid are the DMoE-JESA and DMoE-DES ids")

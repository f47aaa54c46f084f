"""The ids under which Gymnasium finds the environments."""

from __future__ import annotations

import gymnasium as gym

# id -> (core, does it have action masks)
ENVIRONMENTS = {
    "DMoE-DES-v0": ("dmoe_gym.dmoe.env.des:DESCore", False),
    "DMoE-JESA-v0": ("dmoe_gym.dmoe.env.joint:JointCore", False),
    "DMoE-JESA-Sequential-v0": ("dmoe_gym.dmoe.env.sequential:SequentialCore", True),
    "DMoE-JESA-Price-v0": ("dmoe_gym.dmoe.env.price:PriceCore", False),
    "DMoE-JESA-Residual-v0": ("dmoe_gym.dmoe.env.residual:ResidualCore", False),
    "DMoE-Inference-v0": ("dmoe_gym.dmoe.env.inference:InferenceCore", False),
    "DMoE-Inference-Joint-v0": ("dmoe_gym.dmoe.env.inference:InferenceJointCore", False),
    "WDMoE-v0": ("dmoe_gym.wdmoe.env.discount:DiscountCore", False),
    "WDMoE-Joint-v0": ("dmoe_gym.wdmoe.env.joint:JointCore", False),
    "ChannelAwareGating-v0": ("dmoe_gym.gating.env.core:GatingCore", False),
}


def register_environments() -> None:
    """Register every id with its single and its vector entry point."""
    for env_id, (core, masked) in ENVIRONMENTS.items():
        prefix = "Masked" if masked else ""
        gym.register(
            id=env_id,
            entry_point=f"dmoe_gym.facades.single:{prefix}SingleEnv",
            vector_entry_point=f"dmoe_gym.facades.vector:{prefix or 'Batched'}VectorEnv",
            kwargs={"core": core},
        )

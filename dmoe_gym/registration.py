"""The ids under which Gymnasium finds the environments."""

from __future__ import annotations

import gymnasium as gym

# id -> (core, does it have action masks)
ENVIRONMENTS = {
    "DMoE-DES-v0": ("dmoe_gym.dmoe.env.des:DESCore", False),
    "DMoE-JESA-v0": ("dmoe_gym.dmoe.env.joint:JointCore", False),
    "DMoE-JESA-Sequential-v0": ("dmoe_gym.dmoe.env.sequential:SequentialCore", True),
    "DMoE-JESA-Price-v0": ("dmoe_gym.dmoe.env.price:PriceCore", False),
    "DMoE-Inference-v0": ("dmoe_gym.dmoe.env.inference:InferenceCore", False),
    "DMoE-Inference-Joint-v0": ("dmoe_gym.dmoe.env.inference:InferenceJointCore", False),
    "WDMoE-v0": ("dmoe_gym.wdmoe.env.discount:DiscountCore", False),
    "WDMoE-Joint-v0": ("dmoe_gym.wdmoe.env.joint:JointCore", False),
    "ChannelAwareGating-v0": ("dmoe_gym.gating.env.core:GatingCore", False),
}


# Views of the same episodes for libraries that know no dictionaries, or no MultiBinary actions: what they add to an
# id, how they show its core (`facades.view.View`), and for which ids there are any
VIEWS = (
    ("-Flat", {"flat": True}, tuple(ENVIRONMENTS)),
    ("-MultiDiscrete", {"multi_discrete": True}, ("DMoE-DES-v0", "ChannelAwareGating-v0")),
    ("-MultiDiscrete-Flat", {"multi_discrete": True, "flat": True}, ("DMoE-DES-v0", "ChannelAwareGating-v0")),
)


def view_ids() -> dict[str, str]:
    """Ids of views, and the id whose episodes they show."""
    return {_view_id(env_id, addition): env_id for addition, _, shown in VIEWS for env_id in shown}


def _view_id(env_id: str, addition: str) -> str:
    name, version = env_id.rsplit("-v", 1)
    return f"{name}{addition}-v{version}"


def register_environments() -> None:
    """Register every id and its views with their single and their vector entry points."""
    for env_id, (core, masked) in ENVIRONMENTS.items():
        views = [(addition, shows) for addition, shows, shown in VIEWS if env_id in shown]
        prefix = "Masked" if masked else ""
        for addition, shows in [("", {}), *views]:
            gym.register(
                id=_view_id(env_id, addition),
                entry_point=f"dmoe_gym.facades.single:{prefix}SingleEnv",
                vector_entry_point=f"dmoe_gym.facades.vector:{prefix or 'Batched'}VectorEnv",
                kwargs={"core": core, **shows},
            )

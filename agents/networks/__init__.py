"""Networks that know the problem's symmetry: the same weights for any number of experts, subcarriers and states."""

from __future__ import annotations

from typing import Annotated, Any

from gymnasium import spaces
from pydantic import Field
from stable_baselines3.common.policies import BasePolicy

from agents.config import NetworkKind, TrainingConfig, register
from agents.networks.equivariant import EquivariantSequentialPolicy
from agents.networks.features import Prices
from agents.networks.heads import ROUND_KEYS
from agents.networks.joint import EquivariantJointPolicy
from agents.networks.nodes import NodeNetworks
from agents.networks.price_policies import EquivariantPricePolicy, EquivariantSACPolicy
from dmoe_gym.dmoe.env.base import DMoECore
from dmoe_gym.facades.stable_baselines import BatchedVecEnv

# by environment and algorithm
EQUIVARIANT_POLICIES: dict[tuple[str, str], type[BasePolicy]] = {
    ("DMoE-JESA-Sequential-v0", "maskable_ppo"): EquivariantSequentialPolicy,
    ("DMoE-JESA-v0", "ppo"): EquivariantJointPolicy,
    ("DMoE-JESA-Price-v0", "ppo"): EquivariantPricePolicy,
    ("DMoE-JESA-Price-v0", "sac"): EquivariantSACPolicy,
}
# Entries of observations that the equivariant networks read, and progress, on which no decision depends where rounds
# stand alone.
_READ = {*ROUND_KEYS, "selected", "allocated", "turn", "progress"}


class EquivariantNetworks(NetworkKind):
    """The permutation-equivariant networks, for the pairs of `EQUIVARIANT_POLICIES`.

    Attributes:
        width: of the hidden layers.
    """

    kind: str = "equivariant"
    width: Annotated[int, Field(ge=1, le=1024)] = 32

    def check(self, recipe: TrainingConfig) -> None:
        if (recipe.env_id, recipe.algorithm) not in EQUIVARIANT_POLICIES:
            valid = "; ".join(f"{algorithm} in {place}" for place, algorithm in EQUIVARIANT_POLICIES)
            raise ValueError(
                f"network = 'equivariant' with algorithm = {recipe.algorithm!r} and env_id = {recipe.env_id!r}: "
                f"valid is {valid}"
            )
        for field in ("history", "normalization"):
            if getattr(recipe, field) != type(recipe).model_fields[field].default:
                raise ValueError(f"{field} with network = 'equivariant': valid without, it reads physical quantities")

    def policy(self, recipe: TrainingConfig, env: BatchedVecEnv) -> tuple[type[BasePolicy], dict[str, Any]]:
        assert isinstance(env.core, DMoECore)  # `check` has seen to it
        assert isinstance(env.observation_space, spaces.Dict)
        ignored = sorted(set(env.observation_space.spaces) - _READ)
        if ignored:
            raise ValueError(
                f"network = 'equivariant' with scenario = {recipe.scenario!r}: it does not read {', '.join(ignored)}, "
                "on which good schedules depend there; valid are scenarios without, or DMoE-JESA-Residual-v0"
            )
        constants = env.core.constants
        prices = Prices(constants.transmission, constants.shortfall_price, constants.max_experts)
        return EQUIVARIANT_POLICIES[recipe.env_id, recipe.algorithm], {"prices": prices, "width": self.width}


register("equivariant", EquivariantNetworks)
register("nodes", NodeNetworks)

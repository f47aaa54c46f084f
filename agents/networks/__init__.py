"""Networks that know the problem's symmetry: the same weights for any number of experts, subcarriers and states."""

from agents.networks.equivariant import EquivariantNetwork
from agents.networks.joint import EquivariantJointPolicy
from agents.networks.policy import EquivariantSequentialPolicy
from agents.networks.price_policies import EquivariantPricePolicy, EquivariantSACPolicy

# by environment and algorithm
EQUIVARIANT_POLICIES: dict[tuple[str, str], type] = {
    ("DMoE-JESA-Sequential-v0", "maskable_ppo"): EquivariantSequentialPolicy,
    ("DMoE-JESA-v0", "ppo"): EquivariantJointPolicy,
    ("DMoE-JESA-Price-v0", "ppo"): EquivariantPricePolicy,
    ("DMoE-JESA-Price-v0", "sac"): EquivariantSACPolicy,
}

__all__ = [
    "EQUIVARIANT_POLICIES",
    "EquivariantJointPolicy",
    "EquivariantNetwork",
    "EquivariantPricePolicy",
    "EquivariantSACPolicy",
    "EquivariantSequentialPolicy",
]

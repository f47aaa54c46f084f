"""Networks that know the problem's symmetry: the same weights for any number of experts, subcarriers and states."""

from agents.networks.equivariant import EquivariantNetwork
from agents.networks.policy import EquivariantSequentialPolicy

__all__ = ["EquivariantNetwork", "EquivariantSequentialPolicy"]

"""The ways to choose experts as policies: they see features and SNRs, as any learned policy does."""

from dmoe_gym.gating.policies.analytic import lineup
from dmoe_gym.gating.policies.choices import GatePolicy, RandomExperts, SNRGreedy

__all__ = ["GatePolicy", "RandomExperts", "SNRGreedy", "lineup"]

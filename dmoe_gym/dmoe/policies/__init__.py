"""The analytic schedulers as policies: they see what any learned policy sees, the observation alone."""

from dmoe_gym.dmoe.policies.analytic import SCHEDULERS, lineup
from dmoe_gym.dmoe.policies.policies import DESPolicy, JointPolicy, SequentialPolicy
from dmoe_gym.dmoe.policies.schedulers import DES, JESA, ChannelGreedy, Homogeneous, Random, Scheduler, TopK

__all__ = [
    "DES",
    "JESA",
    "SCHEDULERS",
    "ChannelGreedy",
    "DESPolicy",
    "Homogeneous",
    "JointPolicy",
    "Random",
    "Scheduler",
    "SequentialPolicy",
    "TopK",
    "lineup",
]

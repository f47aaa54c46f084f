"""The analytic schedulers as policies: they see what any learned policy sees, the observation alone."""

from dmoe_gym.wdmoe.policies.analytic import SCHEDULERS, lineup
from dmoe_gym.wdmoe.policies.observed import Observed
from dmoe_gym.wdmoe.policies.policies import JointPolicy
from dmoe_gym.wdmoe.policies.schedulers import WLR, Greedy, Priced, Random, Scheduler, TopK

__all__ = ["SCHEDULERS", "WLR", "Greedy", "JointPolicy", "Observed", "Priced", "Random", "Scheduler", "TopK", "lineup"]

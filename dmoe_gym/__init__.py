"""Gymnasium environments for scheduling mixture-of-experts inference over wireless networks.

Importing the package registers its environments: `gymnasium.make("DMoE-JESA-v0", scenario="small")`.
"""

from dmoe_gym.compiled.forks import register_forks
from dmoe_gym.registration import ENVIRONMENTS, parallel_env, register_environments

__version__ = "0.2.0.dev0"
__all__ = ["ENVIRONMENTS", "__version__", "parallel_env"]

register_forks()
register_environments()

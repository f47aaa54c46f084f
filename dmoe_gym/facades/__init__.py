"""Three thin views of one batched core: `gym.Env`, `VectorEnv`, and Stable-Baselines3's `VecEnv`.

`BatchedVecEnv` is imported from `dmoe_gym.facades.stable_baselines`, so that the suite works without it installed.
"""

from dmoe_gym.facades.single import MaskedSingleEnv, SingleEnv
from dmoe_gym.facades.vector import BatchedVectorEnv, MaskedVectorEnv

__all__ = ["BatchedVectorEnv", "MaskedSingleEnv", "MaskedVectorEnv", "SingleEnv"]

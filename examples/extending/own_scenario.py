"""An own scenario: fields of the configuration under a name, and an id of its own."""

import gymnasium as gym

import dmoe_gym  # noqa: F401  registers the environments
from dmoe_gym.channel import CSIConfig, LargeScaleConfig, RandomWaypointConfig

# in a recipe: scenario: scarce, overrides: {...}
HARBOUR = {
    "scenario": "scarce",
    "num_subcarriers": 12,
    "channel": LargeScaleConfig(area_m=400.0, mobility=RandomWaypointConfig(maximum_speed_m_s=10.0)),
    "csi": CSIConfig(error_variance=0.02),
}

gym.register(
    id="Harbour-v0",
    entry_point="dmoe_gym.facades.single:SingleEnv",
    vector_entry_point="dmoe_gym.facades.vector:BatchedVectorEnv",
    kwargs={"registered_id": "DMoE-JESA-v0", **HARBOUR},
)

if __name__ == "__main__":
    env = gym.make("Harbour-v0")
    observation, info = env.reset(seed=0)
    print(observation["spectral_efficiency"].mean())

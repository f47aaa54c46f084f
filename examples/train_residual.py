"""Stock Stable-Baselines3 against an analytic scheduler: PPO corrects the prices of JESA-battery.

python examples/train_residual.py [steps]
"""

from __future__ import annotations

import sys

import numpy as np
from stable_baselines3 import PPO

import dmoe_gym  # noqa: F401  registers the environments
from dmoe_gym.evaluation import evaluate, held_out_seeds, line_up_of
from dmoe_gym.facades.stable_baselines import BatchedVecEnv

SCENARIO, EPISODES = "battery", held_out_seeds(1000)


def main(steps: int = 300_000) -> float:
    """Train, and return by how much the mean cost of held-out episodes changed [%]; negative is better."""
    env = BatchedVecEnv("DMoE-JESA-Residual-v0", 64, scenario=SCENARIO, residual={"reward": "saving"})
    env.seed(0)
    model = PPO("MlpPolicy", env, n_steps=64, batch_size=512, policy_kwargs={"log_std_init": -2.0}, seed=0)
    model.learn(steps)
    learned = evaluate(model, "DMoE-JESA-Residual-v0", scenario=SCENARIO, seeds=EPISODES)
    analytic = line_up_of("DMoE-JESA-v0", SCENARIO).policies["JESA-battery"]
    beside = evaluate(analytic, "DMoE-JESA-v0", scenario=SCENARIO, seeds=EPISODES)
    cost, known = (np.array([row["cost"] for row in rows]) for rows in (learned, beside))
    change = 100 * (cost - known) / known.mean()
    margin = 1.96 * change.std(ddof=1) / np.sqrt(len(change))
    print(f"JESA-battery {known.mean():.4f}, PPO {cost.mean():.4f}: {change.mean():+.2f} +- {margin:.2f} %")
    return float(change.mean())


if __name__ == "__main__":
    main(*(int(word) for word in sys.argv[1:]))

"""Stable-Baselines3's algorithms run through on every kind of action space."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from dmoe_builders import DES, JOINT, PRICE, SEQUENTIAL
from sb3_contrib import MaskablePPO
from sb3_contrib.common.maskable.evaluation import evaluate_policy
from stable_baselines3 import DQN, PPO, SAC
from stable_baselines3.common.callbacks import BaseCallback

from dmoe_gym.facades.stable_baselines import BatchedVecEnv


@pytest.fixture(autouse=True)
def _one_thread():
    """Networks this small are slower on more."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


class Episodes(BaseCallback):
    """Keeps the statistics of every finished episode."""

    def __init__(self) -> None:
        super().__init__()
        self.infos: list[dict] = []

    def _on_step(self) -> bool:
        self.infos += [info for info in self.locals["infos"] if "episode" in info]
        return True


def train(algorithm, env_id: str, steps: int, **options) -> tuple:
    """A model trained on `small` from a seed, and the infos of its episodes."""
    envs = BatchedVecEnv(env_id, 4, scenario="small", num_layers=2)
    model = algorithm("MultiInputPolicy", envs, policy_kwargs={"net_arch": [16]}, seed=0, device="cpu", **options)
    episodes = Episodes()
    model.learn(steps, callback=episodes)
    assert model.num_timesteps >= steps
    assert len(episodes.infos) >= 4
    assert len(model.ep_info_buffer) == min(100, len(episodes.infos))
    assert all(np.isfinite(info["episode"]["r"]) for info in episodes.infos)
    return model, episodes.infos


@pytest.mark.parametrize("env_id", [JOINT, DES, PRICE])
def test_ppo(env_id):
    model, _ = train(PPO, env_id, 256, n_steps=32, batch_size=64, n_epochs=2)
    again, _ = train(PPO, env_id, 256, n_steps=32, batch_size=64, n_epochs=2)
    for one, other in zip(model.policy.parameters(), again.policy.parameters(), strict=True):
        assert torch.equal(one, other)


def test_maskable_ppo_never_leaves_the_masks():
    """Where subcarriers suffice nothing is cured either, so no episode needs a repair."""
    model, infos = train(MaskablePPO, SEQUENTIAL, 512, n_steps=64, batch_size=64, n_epochs=2)
    assert all(info["episode"]["repairs"] == 0 for info in infos)
    envs = BatchedVecEnv(SEQUENTIAL, 2, scenario="small", num_layers=2)
    returns, _ = evaluate_policy(model, envs, n_eval_episodes=4, return_episode_rewards=True, warn=False)
    assert len(returns) == 4


def test_sac_and_dqn():
    train(SAC, PRICE, 64, learning_starts=16, batch_size=16, buffer_size=100)
    train(DQN, SEQUENTIAL, 200, learning_starts=16, batch_size=16, buffer_size=200)

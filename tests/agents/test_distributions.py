"""The batched distributions say what Stable-Baselines3's own say."""

from __future__ import annotations

import gymnasium as gym
import numpy as np
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from stable_baselines3 import PPO
from stable_baselines3.common.distributions import MultiCategoricalDistribution

from agents.networks.heads import (
    BatchedMultiCategorical,
    BatchedMultiInputPolicy,
)
from dmoe_gym.facades.stable_baselines import BatchedVecEnv

SIZES = st.lists(st.integers(1, 6), min_size=1, max_size=7)


def _logits(sizes: list[int], seed: int, batch: int = 5) -> torch.Tensor:
    return torch.from_numpy(np.random.default_rng(seed).normal(0, 3, (batch, sum(sizes))))


def _actions(sizes: list[int], seed: int, batch: int = 5) -> torch.Tensor:
    return torch.from_numpy(np.random.default_rng(seed).integers(0, sizes, (batch, len(sizes))))


@given(sizes=SIZES, seed=st.integers(0, 10_000))
@settings(max_examples=50, deadline=None)
def test_unmasked_equals_stable_baselines(sizes: list[int], seed: int) -> None:
    logits, actions = _logits(sizes, seed), _actions(sizes, seed)
    theirs = MultiCategoricalDistribution(sizes).proba_distribution(logits)
    ours = BatchedMultiCategorical(sizes).proba_distribution(logits)
    torch.testing.assert_close(ours.log_prob(actions), theirs.log_prob(actions))
    torch.testing.assert_close(ours.entropy(), theirs.entropy())
    assert torch.equal(ours.mode(), theirs.mode())


def test_samples_follow_the_probabilities() -> None:
    sizes = [2, 2, 5]
    logits = _logits(sizes, 3, batch=1)
    torch.manual_seed(0)
    drawn = BatchedMultiCategorical(sizes).proba_distribution(logits.expand(20_000, -1)).sample().numpy()
    start = 0
    for factor, size in enumerate(sizes):
        probabilities = torch.softmax(logits[0, start : start + size], -1).numpy()
        shares = np.bincount(drawn[:, factor], minlength=size) / len(drawn)
        # five standard deviations of a share
        assert (np.abs(shares - probabilities) <= 5 * np.sqrt(probabilities * (1 - probabilities) / len(drawn))).all()
        start += size


def test_gradients_equal_stable_baselines() -> None:
    sizes = [2, 2, 3, 4, 4]
    actions = _actions(sizes, 1)
    gradients = []
    for kind in (MultiCategoricalDistribution, BatchedMultiCategorical):
        logits = _logits(sizes, 1).requires_grad_()
        distribution = kind(sizes).proba_distribution(logits)
        (distribution.log_prob(actions).sum() + 0.1 * distribution.entropy().sum()).backward()
        gradients.append(logits.grad)
    torch.testing.assert_close(*gradients)


def test_ppo_evaluates_actions_alike_with_either_policy() -> None:
    env = BatchedVecEnv("DMoE-JESA-v0", 4, scenario="small")
    theirs = PPO("MultiInputPolicy", env, seed=0, n_steps=4, batch_size=16, device="cpu")
    ours = PPO(BatchedMultiInputPolicy, env, seed=0, n_steps=4, batch_size=16, device="cpu")
    ours.set_parameters(theirs.get_parameters())
    env.seed(0)
    observation, _ = theirs.policy.obs_to_tensor(env.reset())
    actions = torch.as_tensor(np.stack([env.action_space.sample() for _ in range(4)]))
    for mine, reference in zip(
        ours.policy.evaluate_actions(observation, actions),
        theirs.policy.evaluate_actions(observation, actions),
        strict=True,
    ):
        torch.testing.assert_close(mine, reference)


def test_other_action_spaces_keep_their_own_distribution() -> None:
    env = BatchedVecEnv("DMoE-JESA-Price-v0", 2, scenario="small")
    model = PPO(BatchedMultiInputPolicy, env, n_steps=4, batch_size=8, device="cpu")
    assert not isinstance(model.policy.action_dist, BatchedMultiCategorical)
    assert isinstance(env.action_space, gym.spaces.Box)

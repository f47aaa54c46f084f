"""Warm start: a policy learns a teacher's decisions, and its value the returns, before it learns from rewards.

What a decision is, and what is lost by another, is a matter of the environment: see `agents.lessons`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch
from gymnasium import spaces
from stable_baselines3.common.on_policy_algorithm import OnPolicyAlgorithm

from agents.config import ImitationConfig
from agents.lessons import Lessons, lessons_in
from dmoe_gym.facades.stable_baselines import BatchedVecEnv

if TYPE_CHECKING:
    from agents.callback import BetweenUpdates

Arrays = dict[str, np.ndarray]


def imitate(
    model: OnPolicyAlgorithm,
    config: ImitationConfig,
    env: BatchedVecEnv,
    callback: BetweenUpdates,
    *,
    seed: int,
) -> None:
    """Train until `model.num_timesteps` reaches `config.steps`; logs imitation/loss, accuracy, entropy, value_loss."""
    callback.init_callback(model)
    callback.on_training_start(locals(), globals())
    generator = np.random.default_rng([seed, 1])
    lessons = lessons_in(env, config.teacher)
    observation = env.reset()
    while model.num_timesteps < config.steps:
        callback.between_updates()
        rollout, observation = collect(model, config, env, lessons, observation, generator)
        share = model.num_timesteps / config.steps
        # a plain number: the optimizer keeps it, and checkpoints hold no NumPy scalars
        rate = float(config.learning_rate * (0.05 + 0.95 * (1 + np.cos(np.pi * share)) / 2))
        scalars = train_on(model, lessons, rollout, config, rate, generator)
        model.num_timesteps += len(rollout["returns"])
        for name, value in scalars.items():
            model.logger.record(f"imitation/{name}", value)
        model.logger.dump(model.num_timesteps)
    # what Adam remembers belongs to another loss
    model.policy.optimizer.state.clear()


def collect(
    model: OnPolicyAlgorithm,
    config: ImitationConfig,
    env: BatchedVecEnv,
    lessons: Lessons,
    observation: Arrays,
    generator: np.random.Generator,
) -> tuple[Arrays, Arrays]:
    """One rollout along the teacher's plans, flattened over time and environments, and the observation after it.

    The rollout holds observations, what the lessons tell about them, and `returns`.
    """
    told: dict[str, list[np.ndarray]] = {}
    rewards, ends = [], []
    for _ in range(config.rollout):
        actions, target = lessons.decide(observation, generator)
        for key, values in {**observation, **target}.items():
            told.setdefault(key, []).append(values)
        following, reward, end, _ = env.step(actions)
        assert isinstance(following, dict)
        observation = following
        rewards.append(reward)
        ends.append(end)
    with torch.no_grad():
        last = model.policy.predict_values(model.policy.obs_to_tensor(observation)[0])[:, 0].numpy()
    returns = np.empty((len(rewards), env.num_envs), np.float32)
    for step in reversed(range(len(rewards))):
        last = rewards[step] + model.gamma * np.where(ends[step], 0, last)
        returns[step] = last
    return {**{key: np.concatenate(values) for key, values in told.items()}, "returns": returns.ravel()}, observation


def train_on(
    model: OnPolicyAlgorithm,
    lessons: Lessons,
    rollout: Arrays,
    config: ImitationConfig,
    learning_rate: float,
    generator: np.random.Generator,
) -> dict[str, float]:
    """Passes over one rollout; returns loss, accuracy, value_loss and entropy, means over the first pass."""
    policy = model.policy
    observed = policy.observation_space
    assert isinstance(observed, spaces.Dict)
    policy.set_training_mode(True)
    for group in policy.optimizer.param_groups:
        group["lr"] = learning_rate
    size = len(rollout["returns"])
    logged = []
    for epoch in range(config.epochs):
        order = generator.permutation(size)
        for start in range(0, size, config.batch_size):
            part = order[start : start + config.batch_size]
            batch = {key: torch.as_tensor(values[part]) for key, values in rollout.items()}
            observation = {key: batch[key] for key in observed.spaces}
            features = policy.extract_features(observation)
            assert isinstance(features, torch.Tensor)  # shared by policy and value
            actor, critic = policy.mlp_extractor(features)
            graded = lessons.grade(policy.action_net(actor), batch)
            value_loss = (batch["returns"] - policy.value_net(critic)[:, 0]).square().mean()
            policy.optimizer.zero_grad()
            (graded.loss - config.entropy_weight * graded.entropy + config.value_weight * value_loss).backward()
            torch.nn.utils.clip_grad_norm_(policy.parameters(), model.max_grad_norm)
            policy.optimizer.step()
            if epoch == 0:
                logged.append([float(each.detach()) for each in (*graded, value_loss)])
    return dict(zip(("loss", "accuracy", "entropy", "value_loss"), np.mean(logged, axis=0).tolist(), strict=True))

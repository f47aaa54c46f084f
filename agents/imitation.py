"""Warm start: a masked policy learns a teacher's decisions, and its value the returns, before it learns from rewards.

The loss of a decision is -log of the summed probability of all picks that carry the plan on, so the order of picks
is the learner's own. Episodes are rolled in along the plan, its picks in random order.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from sb3_contrib import MaskablePPO
from tqdm import tqdm

from agents.config import ImitationConfig
from agents.relative import RelativeRewards
from agents.teachers import Teacher
from dmoe_gym.facades.stable_baselines import BatchedVecEnv

if TYPE_CHECKING:
    from agents.callback import BetweenUpdates

Batch = dict[str, Any]


def imitate(
    model: MaskablePPO,
    config: ImitationConfig,
    env: BatchedVecEnv | RelativeRewards,
    callback: BetweenUpdates,
    *,
    seed: int,
    progress_bar: bool = True,
) -> None:
    """Train until `model.num_timesteps` reaches `config.steps`; logs imitation/loss, accuracy, entropy, value_loss."""
    callback.init_callback(model)
    callback.on_training_start(locals(), globals())
    generator = np.random.default_rng([seed, 1])
    teacher = Teacher(config.teacher, env.config)
    observation = env.reset()
    with tqdm(total=config.steps, initial=model.num_timesteps, disable=not progress_bar, unit="step") as bar:
        while model.num_timesteps < config.steps:
            callback.between_updates()
            rollout, observation = _collect(model, config, env, teacher, observation, generator)
            share = model.num_timesteps / config.steps
            # a plain number: the optimizer keeps it, and checkpoints hold no NumPy scalars
            rate = float(config.learning_rate * (0.05 + 0.95 * (1 + np.cos(np.pi * share)) / 2))
            scalars = train_on(model, rollout, config, rate, generator)
            model.num_timesteps += len(rollout["returns"])
            bar.update(len(rollout["returns"]))
            for name, value in scalars.items():
                model.logger.record(f"imitation/{name}", value)
            model.logger.dump(model.num_timesteps)
    # what Adam remembers belongs to another loss
    model.policy.optimizer.state.clear()


def _collect(
    model: MaskablePPO,
    config: ImitationConfig,
    env: BatchedVecEnv | RelativeRewards,
    teacher: Teacher,
    observation: dict[str, np.ndarray],
    generator: np.random.Generator,
) -> tuple[Batch, dict[str, np.ndarray]]:
    """One rollout along the teacher's plans, flattened over time and environments, and the observation after it."""
    observations, masks, targets, rewards, ends = [], [], [], [], []
    for _ in range(config.rollout):
        mask = env.core.masks().copy()
        target = teacher.targets(observation) & mask
        # a plan may leave a shortfall that the masks forbid: then any feasible pick goes
        choices = np.where(target.any(-1, keepdims=True), target, mask)
        actions = np.argmax(generator.random(choices.shape) * choices, axis=-1)
        observations.append(observation)
        masks.append(mask)
        targets.append(target)
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
    return {
        "observations": {key: np.concatenate([each[key] for each in observations]) for key in observation},
        "masks": np.concatenate(masks),
        "targets": np.concatenate(targets),
        "returns": returns.ravel(),
    }, observation


def train_on(
    model: MaskablePPO, rollout: Batch, config: ImitationConfig, learning_rate: float, generator: np.random.Generator
) -> dict[str, float]:
    """Passes over one rollout; returns loss, accuracy, value_loss and entropy, means over the first pass."""
    policy = model.policy
    policy.set_training_mode(True)
    for group in policy.optimizer.param_groups:
        group["lr"] = learning_rate
    size = len(rollout["returns"])
    logged = []
    for epoch in range(config.epochs):
        order = generator.permutation(size)
        for start in range(0, size, config.batch_size):
            part = order[start : start + config.batch_size]
            observation = {key: torch.as_tensor(values[part]) for key, values in rollout["observations"].items()}
            mask, target = (torch.as_tensor(rollout[key][part]) for key in ("masks", "targets"))
            logits, values = _evaluate(policy, observation)
            loss, accuracy = imitation_loss(logits, mask, target)
            log_shares = torch.log_softmax(logits.masked_fill(~mask, -1e8), -1)
            entropy = -(log_shares.exp() * log_shares).sum(-1).mean()
            value_loss = (torch.as_tensor(rollout["returns"][part]) - values).square().mean()
            policy.optimizer.zero_grad()
            (loss - config.entropy_weight * entropy + config.value_weight * value_loss).backward()
            torch.nn.utils.clip_grad_norm_(policy.parameters(), model.max_grad_norm)
            policy.optimizer.step()
            if epoch == 0:
                logged.append(
                    (float(loss.detach()), float(accuracy), float(value_loss.detach()), float(entropy.detach()))
                )
    return dict(zip(("loss", "accuracy", "value_loss", "entropy"), np.mean(logged, axis=0).tolist(), strict=True))


def _evaluate(policy: Any, observation: dict[str, torch.Tensor]) -> tuple[torch.Tensor, torch.Tensor]:
    """Logits (B, actions) and values (B,)."""
    actor, critic = policy.mlp_extractor(policy.extract_features(observation))
    return policy.action_net(actor), policy.value_net(critic)[:, 0]


def imitation_loss(logits: torch.Tensor, mask: torch.Tensor, target: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """-log of the targets' summed probability among the feasible actions, and how often the likeliest is a target.

    Args:
        logits: (B, actions); mask, target: (B, actions) bool. Decisions without target are left out.
    """
    told = target.any(-1)
    logits = logits.masked_fill(~mask, -torch.inf)[told]
    target = target[told]
    wanted = logits.masked_fill(~target, -torch.inf)
    loss = (torch.logsumexp(logits, -1) - torch.logsumexp(wanted, -1)).mean()
    hits = target.gather(1, logits.argmax(-1, keepdim=True)).float().mean()
    return loss, hits.detach()

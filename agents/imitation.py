"""Warm start: a policy learns a teacher's decisions, and its value the returns, before it learns from rewards.

What a decision is, and what is lost by another, is a matter of the environment: see `agents.imitation`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple, Protocol

import numpy as np
import torch
from gymnasium import spaces
from stable_baselines3.common.on_policy_algorithm import OnPolicyAlgorithm
from torch import Tensor

from agents.callback import BetweenUpdates
from agents.config import ImitationConfig
from agents.networks.heads import BatchedMultiCategorical
from dmoe_gym.dmoe import DMoEConfig, Round, solve_exact
from dmoe_gym.dmoe.env.joint import encode_joint
from dmoe_gym.dmoe.policies import SequentialPolicy
from dmoe_gym.dmoe.schedulers.scheduler import Scheduler, observed_rounds
from dmoe_gym.dmoe.system import SCHEDULERS
from dmoe_gym.facades.stable_baselines import BatchedVecEnv


class Exact(Scheduler):
    """The exact optimum of what is observed: a teacher, as it is far too slow for a scheduler."""

    def fill(self, observation: Mapping[str, np.ndarray], selected: np.ndarray, subcarrier: np.ndarray) -> None:
        # what is observed is there and back already
        config = self.config.replace(return_transmission=False)
        for scores, efficiency, threshold, chosen, route in observed_rounds(observation, selected, subcarrier):
            gains = (np.exp2(efficiency) - 1) / self.config.mean_snr
            schedule = solve_exact(Round(scores, gains, threshold, config))
            chosen[:] = schedule.selected
            route[:] = np.where(schedule.allocated.any(-1), schedule.allocated.argmax(-1), -1)


def teacher_scheduler(name: str, config: DMoEConfig) -> Scheduler:
    """An analytic policy of the environment by its name in tables, or "exact".

    Raises:
        ValueError: for another name; the message lists the valid ones.
    """
    if name == "exact":
        return Exact(config)
    if name not in SCHEDULERS:
        raise ValueError(f"imitation.teacher = {name!r}: valid are exact, {', '.join(SCHEDULERS)}")
    return SCHEDULERS[name](config)


class Teacher:
    """Plans of whole rounds, told pick by pick in any order.

    Args:
        name: see `teacher_scheduler`.
        config: the DMoE configuration.
    """

    def __init__(self, name: str, config: DMoEConfig) -> None:
        self.scheduler = teacher_scheduler(name, config)
        self._policy = SequentialPolicy(self.scheduler)
        self._plans: Any = None

    def targets(self, observation: dict[str, np.ndarray]) -> np.ndarray:
        """(B, K * M + 1) bool: every pick that carries the plan on, or "done" where none is left.

        A round is planned when it is seen first, with nothing selected yet.
        """
        _, self._plans = self._policy.predict(observation, self._plans)
        selected, subcarrier, _ = self._plans
        batch, experts, states, _ = selected.shape
        everyone = np.arange(batch)
        i, n = np.divmod(observation["turn"].argmax(-1), states)
        missing = selected[everyone, i, n] & ~(observation["selected"][everyone, i, n] > 0)  # (B, K)
        targets = np.zeros((batch, experts, observation["spectral_efficiency"].shape[-1]), np.bool_)
        row, j = np.nonzero(missing)
        targets[row, j, np.maximum(subcarrier[row, i[row], j], 0)] = True
        return np.concatenate([targets.reshape(batch, -1), ~missing.any(-1, keepdims=True)], axis=1)


Arrays = dict[str, np.ndarray]


class Graded(NamedTuple):
    """Means over a batch: the loss to be lowered, how often the likeliest decision is the teacher's, and entropy."""

    loss: Tensor
    accuracy: Tensor
    entropy: Tensor


class Lessons(Protocol):
    """A teacher in one environment."""

    def decide(self, observation: Arrays, generator: np.random.Generator) -> tuple[np.ndarray, Arrays]:
        """Actions to go on with, and what grading needs to know of these observations."""
        ...

    def grade(self, logits: Tensor, told: dict[str, Tensor]) -> Graded:
        """A policy's logits against what `decide` told."""
        ...


def lessons_in(env: BatchedVecEnv, teacher: str) -> Lessons:
    """The lessons of a teacher, by its name, in `DMoE-JESA-Sequential-v0` or `DMoE-JESA-v0`."""
    return PickLessons(env, teacher) if env.core.masked else RoundLessons(env, teacher)


class PickLessons:
    """`DMoE-JESA-Sequential-v0`: any pick that carries the plan on is right, so the order is the learner's own.

    Episodes are rolled in along the plan, its picks in random order.
    """

    def __init__(self, env: BatchedVecEnv, teacher: str) -> None:
        self.env, self.teacher = env, Teacher(teacher, env.config)

    def decide(self, observation: Arrays, generator: np.random.Generator) -> tuple[np.ndarray, Arrays]:
        """Random picks of the plan; masks and targets, (B, actions) bool."""
        mask = self.env.core.masks().copy()
        target = self.teacher.targets(observation) & mask
        # a plan may leave a shortfall that the masks forbid: then any feasible pick goes
        choices = np.where(target.any(-1, keepdims=True), target, mask)
        return np.argmax(generator.random(choices.shape) * choices, axis=-1), {"mask": mask, "target": target}

    def grade(self, logits: Tensor, told: dict[str, Tensor]) -> Graded:
        """See `imitation_loss`."""
        mask = told["mask"]
        loss, accuracy = imitation_loss(logits, mask, told["target"])
        log_shares = torch.log_softmax(logits.masked_fill(~mask, -1e8), -1)
        return Graded(loss, accuracy, -(log_shares.exp() * log_shares).sum(-1).mean())


class RoundLessons:
    """`DMoE-JESA-v0`: the plan's bits, and the subcarriers of the links that it uses; other wishes mean nothing.

    Loss and entropy are per hidden state.
    """

    def __init__(self, env: BatchedVecEnv, teacher: str) -> None:
        self.scheduler = teacher_scheduler(teacher, env.config)
        assert isinstance(env.action_space, spaces.MultiDiscrete)
        self.factors = BatchedMultiCategorical(env.action_space.nvec.tolist())
        self.states = env.config.num_experts * env.config.num_states

    def decide(self, observation: Arrays, generator: np.random.Generator) -> tuple[np.ndarray, Arrays]:
        """The plan; its actions (B, factors), and which of their factors count."""
        selected, subcarrier = self.scheduler.schedule(observation)
        remote = ~np.eye(subcarrier.shape[-1], dtype=bool)
        bits = np.ones((len(selected), selected[0].size), bool)
        actions = encode_joint(selected, subcarrier)
        return actions, {"actions": actions, "counts": np.concatenate([bits, subcarrier[:, remote] >= 0], axis=1)}

    def grade(self, logits: Tensor, told: dict[str, Tensor]) -> Graded:
        """-log of the plan's probability; accuracy is the share of the factors that count."""
        factors, counts = self.factors.proba_distribution(logits), told["counts"]
        loss = -(factors.log_probs(told["actions"]) * counts).sum(-1).mean() / self.states
        right = (factors.mode() == told["actions"]) & counts
        return Graded(loss, right.sum() / counts.sum(), factors.entropy().mean() / self.states)


def imitation_loss(logits: Tensor, mask: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
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

"""What is told of a teacher's decisions, and how a policy's are graded by it."""

from __future__ import annotations

from typing import NamedTuple, Protocol

import numpy as np
import torch
from gymnasium import spaces
from torch import Tensor

from agents.distributions import BatchedMultiCategorical
from agents.teachers import Teacher, teacher_scheduler
from dmoe_gym.dmoe.env.joint import encode_joint
from dmoe_gym.facades.stable_baselines import BatchedVecEnv

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

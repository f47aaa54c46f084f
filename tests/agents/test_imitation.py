"""Imitation: the loss against its definition, teachers' picks, and a network that learns them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from agents.config import ImitationConfig, TrainingConfig
from agents.imitation import collect, train_on
from agents.learners import build_env, build_learner
from agents.lessons import imitation_loss, lessons_in
from agents.teachers import Teacher, teacher_scheduler
from dmoe_gym.dmoe import cost, scenario, solve_exact
from dmoe_gym.dmoe.physics import Schedule
from dmoe_gym.facades.stable_baselines import BatchedVecEnv


def test_loss_is_minus_log_of_the_targets_share() -> None:
    shares = torch.tensor([[0.1, 0.2, 0.3, 0.4], [0.25, 0.25, 0.25, 0.25], [0.7, 0.1, 0.1, 0.1]])
    mask = torch.tensor([[1, 1, 1, 0], [1, 1, 1, 1], [1, 1, 1, 1]]).bool()
    target = torch.tensor([[0, 1, 1, 0], [1, 0, 0, 0], [0, 0, 0, 0]]).bool()
    loss, accuracy = imitation_loss(shares.log(), mask, target)
    # the third decision has no target and is left out; the masked action takes no share
    expected = -(np.log(0.5 / 0.6) + np.log(0.25)) / 2
    assert float(loss) == pytest.approx(expected, rel=1e-6)
    assert float(accuracy) == pytest.approx(1.0)


@pytest.mark.parametrize("name", ["JESA", "exact"])
def test_following_the_teacher_in_any_order_gives_its_schedules(name: str) -> None:
    overrides = {"num_experts": 3, "num_states": 2, "num_subcarriers": 9, "num_layers": 2}
    env = BatchedVecEnv("DMoE-JESA-Sequential-v0", 8, scenario="small", **overrides)
    env.seed(5)
    observation = env.reset()
    teacher = Teacher(name, env.config)
    rounds = [env.core.round(row) for row in range(8)]
    plans = teacher.scheduler.schedule(
        observation["gate_scores"], observation["spectral_efficiency"], observation["threshold"][:, 0]
    )
    generator = np.random.default_rng(0)
    paid, running = np.zeros(8), np.ones(8, bool)
    while running.any():
        targets = teacher.targets(observation)
        assert targets.any(-1).all()
        observation, rewards, _, _ = env.step(np.argmax(generator.random(targets.shape) * targets, axis=-1))
        paid -= rewards * running
        running &= (observation["turn"][:, 0] == 0) | observation["selected"].any(axis=(1, 2, 3))
    planned = [cost(rounds[row], Schedule.from_subcarriers(plans[0][row], plans[1][row], 9)) for row in range(8)]
    np.testing.assert_allclose(paid, planned, rtol=1e-5)
    if name == "exact":
        np.testing.assert_allclose(planned, [cost(each, solve_exact(each)) for each in rounds], rtol=1e-5)


def test_an_unknown_teacher_names_the_valid_ones() -> None:
    with pytest.raises(ValueError, match=r"imitation.teacher = 'nobody'.*exact.*JESA"):
        teacher_scheduler("nobody", scenario("small"))


def test_imitation_learns(tiny: dict[str, Any]) -> None:
    config = TrainingConfig(**tiny)
    assert config.imitation is not None
    env = build_env(config, seed=0)
    model = build_learner(config, env, seed=0)
    lessons, generator = lessons_in(env, "JESA"), np.random.default_rng(0)
    settings: ImitationConfig = config.imitation
    rollout, _ = collect(model, settings, env, lessons, env.reset(), generator)
    history = [train_on(model, lessons, rollout, settings, 0.01, generator) for _ in range(25)]
    assert history[-1]["loss"] < 0.3 * history[0]["loss"]
    assert history[-1]["accuracy"] > max(0.9, history[0]["accuracy"])
    assert history[-1]["value_loss"] < history[0]["value_loss"]

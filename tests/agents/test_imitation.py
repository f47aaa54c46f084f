"""Imitation: the loss against its definition, teachers' picks, and a network that learns them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from stable_baselines3 import PPO

from agents.config import ImitationConfig, TrainingConfig
from agents.imitation import Teacher, collect, imitation_loss, lessons_in, teacher_scheduler, train_on
from agents.learners import build_env, build_learner
from dmoe_gym.dmoe import cost, scenario, solve_exact, solve_jesa
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
    plans = teacher.scheduler.schedule(observation)
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


def _joint(tiny: dict[str, Any]) -> TrainingConfig:
    return TrainingConfig(
        **{
            **tiny,
            "algorithm": "ppo",
            "env_id": "DMoE-JESA-v0",
            "hyperparameters": {"n_steps": 16, "batch_size": 128, "gamma": 0.0},
        }
    )


def test_lessons_of_rounds_are_the_plans_log_probability(tiny: dict[str, Any]) -> None:
    """Factor by factor; what a link that carries nothing would wish is left out."""
    env = build_env(_joint(tiny), seed=1)
    lessons = lessons_in(env, "JESA")
    observation = env.reset()
    assert isinstance(observation, dict)
    actions, told = lessons.decide(observation, np.random.default_rng(0))
    paid = [-reward for reward in env.step(actions)[1]]
    sizes = env.action_space.nvec  # type: ignore[attr-defined]
    logits = torch.as_tensor(np.random.default_rng(1).normal(size=(16, sizes.sum())))
    graded = lessons.grade(logits, {key: torch.as_tensor(values) for key, values in told.items()})
    losses, hits, factors = [], 0, 0
    for row in range(16):
        used = actions[row, :9].reshape(3, 3) > 0  # one hidden state per node
        counts = [True] * 9 + [bool(used[i, j]) for i in range(3) for j in range(3) if i != j]
        parts = np.split(logits[row].numpy(), np.cumsum(sizes)[:-1])
        for part, value, counted in zip(parts, actions[row], counts, strict=True):
            if counted:
                losses.append(np.log(np.exp(part).sum()) - part[value])
                hits += part.argmax() == value
                factors += 1
    assert float(graded.loss) == pytest.approx(np.sum(losses) / 16 / 3)
    assert float(graded.accuracy) == pytest.approx(hits / factors)
    # and the plan is the teacher's
    twin = build_env(_joint(tiny), seed=1)
    twin.reset()
    planned = []
    for row in range(16):
        round = twin.core.round(row)  # type: ignore[attr-defined]
        planned.append(cost(round, solve_jesa(round)))
    np.testing.assert_allclose(paid, planned, rtol=1e-5)


def test_imitation_learns_rounds(tiny: dict[str, Any]) -> None:
    config = _joint(tiny)
    assert config.imitation is not None
    env = build_env(config, seed=0)
    model = build_learner(config, env, seed=0)
    assert isinstance(model, PPO)
    lessons, generator = lessons_in(env, "single-pass"), np.random.default_rng(0)
    observation = env.reset()
    assert isinstance(observation, dict)
    rollout, _ = collect(model, config.imitation, env, lessons, observation, generator)
    history = [train_on(model, lessons, rollout, config.imitation, 0.01, generator) for _ in range(60)]
    assert history[-1]["loss"] < 0.2 * history[0]["loss"]
    assert history[-1]["accuracy"] > max(0.95, history[0]["accuracy"])
    assert history[-1]["value_loss"] < history[0]["value_loss"]


def test_imitation_is_for_learners_that_can(tiny: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"imitation with algorithm = 'sac'.*valid is .*maskable_ppo in"):
        TrainingConfig(**{**tiny, "algorithm": "sac", "env_id": "DMoE-JESA-Price-v0", "hyperparameters": {}})

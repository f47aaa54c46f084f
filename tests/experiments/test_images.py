"""Answers about few images: what was asked, what was right, and what an interval over images says."""

from __future__ import annotations

import numpy as np
import pytest

from dmoe_gym.evaluation import Interval, evaluate_line_up, held_out_seeds
from experiments import images


@pytest.mark.parametrize("recipe", ["gating_dqn", "residual_ppo_digits"])
def test_answers_come_to_the_rows_of_evaluate(recipe: str) -> None:
    asked, right = images.reference_answers(recipe, 3)
    config = images.recipe_of(recipe)
    line_up = images.line_up_of(config.env_id, config.scenario, **config.overrides)
    rows = evaluate_line_up(
        line_up.env_id, scenario=config.scenario, seeds=held_out_seeds(3), names=[line_up.reference], **config.overrides
    )
    assert right.mean(1) == pytest.approx([row["accuracy"] for row in rows])
    assert asked.shape == right.shape
    assert 0 <= asked.min() <= asked.max() < 360


def test_a_learner_is_asked_what_its_reference_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    config = images.recipe_of("gating_dqn")
    short = config.replace(total_timesteps=256, num_envs=4, hyperparameters={"learning_starts": 8})
    monkeypatch.setattr(images, "recipe_of", lambda name: short)
    asked, right = images.learned_answers("short", 0, 2)
    assert (asked == images.reference_answers("short", 2)[0]).all()
    assert 0 < right.mean() < 1


def test_two_images_are_two_draws_however_often_they_are_asked() -> None:
    """One of two images is answered rightly by the learner alone: drawn anew, the gain is 0, 1/2 or 1."""
    asked = np.tile([0, 1], (200, 4))
    beside = np.zeros(asked.shape, bool)
    right, base, units = images.crossed((asked, beside), [(asked, asked == 1)] * 3)
    by_image = Interval.of(right - base, units)
    assert (by_image.low, by_image.mean, by_image.high) == pytest.approx((0, 0.5, 1))
    by_episode = Interval.of(right - base, units[:2])
    assert (by_episode.low, by_episode.high) == pytest.approx((0.5, 0.5))


def test_other_images_are_refused() -> None:
    asked, right = np.zeros((2, 3), int), np.ones((2, 3), bool)
    with pytest.raises(ValueError, match="learned: was asked about other images"):
        images.crossed((asked, right), [(asked + 1, right)])

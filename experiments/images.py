"""Learners whose answers come from a few hundred images: intervals over seeds, episodes and images, crossed."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, ClassVar

import numpy as np
from pydantic import Field

from agents.config import TrainingConfig, load_config, recipe_file
from agents.learners import as_policy, trained
from dmoe_gym.evaluation import Interval, held_out_seeds, percent_change
from dmoe_gym.evaluation.table import markdown_table
from dmoe_gym.policy import Policy
from dmoe_gym.registration import line_up_of
from experiments.answers import answered, begun
from experiments.page import Page
from experiments.results.store import recipe_files
from experiments.runner import Experiment, Piece

PAGE = "docs/reports/training.md"
GATING = "ChannelAwareGating-v0"
# (episodes, answers) each: the image that was asked about, and whether the answer was right
Judged = tuple[np.ndarray, np.ndarray]


class Images(Experiment):
    """A line per recipe of `ChannelAwareGating-v0` and of `digits`, beside the policy that its system refers to.

    Attributes:
        episodes: held out; as many as the recipe evaluates by default.
    """

    name: ClassVar[str] = "images"
    about: ClassVar[str] = "learners whose answers come from a few hundred images: intervals by image, too"
    places: ClassVar[tuple[str, ...]] = (PAGE,)

    episodes: Annotated[int, Field(ge=2)] | None = None

    def pieces(self) -> list[Piece]:
        found = []
        for name, config in asked_by_image().items():
            key = {"recipe": name, "episodes": self.episodes or config.evaluation.episodes}
            found.append(Piece(reference_answers, key))
            found += [Piece(learned_answers, {**key, "seed": seed}) for seed in config.seeds]
        return found

    def page(self, values: Sequence[Any]) -> Page:
        lines: dict[str, list[Judged]] = {}
        for piece, value in zip(self.pieces(), values, strict=True):
            lines.setdefault(piece.key["recipe"], []).append(value)
        headings = ["recipe", "beside", "seeds", "answers", "images", "accuracy [%]", "points more", "errors more [%]"]
        return Page({(PAGE, self.name): markdown_table(headings, [line(name, *own) for name, own in lines.items()])})


def asked_by_image() -> dict[str, TrainingConfig]:
    """The recipes of configs/ whose environments ask about images, by name."""
    recipes = {file.stem: load_config(file) for file in recipe_files(())}
    return {name: config for name, config in recipes.items() if config.env_id == GATING or config.scenario == "digits"}


def recipe_of(name: str) -> TrainingConfig:
    """A recipe of configs/."""
    return load_config(recipe_file(Path(name)))


def line(name: str, reference: Judged, *learned: Judged) -> list[str]:
    """A recipe's cells."""
    config = recipe_of(name)
    right, beside, units = crossed(reference, learned)
    points = Interval.of(100 * (right - beside), units)
    errors = percent_change(1 - right, 1 - beside, units=units)
    return [
        f"`{name}`",
        str(line_up_of(config.env_id, config.scenario, **config.overrides).reference),
        str(len(learned)),
        f"{reference[0].size:,}",
        str(len(np.unique(reference[0]))),
        f"{Interval.of(100 * right, units):.2f}",
        f"{points:+.2f}",
        f"{errors:+.2f}",
    ]


def crossed(reference: Judged, learned: Sequence[Judged]) -> tuple[np.ndarray, np.ndarray, list[np.ndarray]]:
    """Every answer of every seed, the reference's to the same, and its seed, episode and image.

    Raises:
        ValueError: if they were not asked the same.
    """
    images, beside = reference
    if any((own != images).any() for own, _ in learned):
        raise ValueError("learned: was asked about other images than the reference, valid are the same")
    of = np.indices((len(learned), *images.shape))
    right = np.stack([own for _, own in learned]).astype(float)
    return (
        right.ravel(),
        np.broadcast_to(beside, right.shape).astype(float).ravel(),
        [of[0].ravel(), of[1].ravel(), np.broadcast_to(images, right.shape).ravel()],
    )


def learned_answers(recipe: str, seed: int, episodes: int) -> Judged:
    """A recipe's learner of one seed, trained here, on held-out episodes."""
    config = recipe_of(recipe)
    return _judged(as_policy(trained(config, seed)), config, config.env_id, episodes)


def reference_answers(recipe: str, episodes: int) -> Judged:
    """The policy that learners are compared to, on the same episodes."""
    config = recipe_of(recipe)
    line_up = line_up_of(config.env_id, config.scenario, **config.overrides)
    return _judged(line_up.policies[str(line_up.reference)], config, line_up.env_id, episodes)


def _judged(policy: Policy, config: TrainingConfig, env_id: str, episodes: int) -> Judged:
    seeds = held_out_seeds(episodes)
    if env_id != GATING:
        found = answered(env_id, config.scenario, config.overrides, policy, seeds)
        return found["query"], found["correct"]
    view, core = begun(env_id, config.scenario, config.overrides, seeds)
    images, right = [], []
    for _ in range(core.rounds_per_episode):
        images.append(core.image.copy())
        core.step(core.checked_actions(policy.predict(view.batch())[0]), core.all_rows)
        right.append(core.terms["accuracy"] > 0)
    return np.stack(images, 1), np.stack(right, 1)

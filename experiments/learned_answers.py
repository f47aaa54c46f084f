"""Where a model answers: a learner's energy and accuracy beside the JESA that it corrects, on the same answers."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar

from agents.config import load_config
from dmoe_gym.evaluation import Interval, paired_difference, paired_percent, seed_matrix, two_way_mean
from dmoe_gym.evaluation.statistics import column
from dmoe_gym.evaluation.table import markdown_table
from experiments.inference import EQUAL
from experiments.page import Page
from experiments.results.store import STORE, Setting, analytic_rows, learned_rows, recipe_files
from experiments.runner import Experiment

PAGE = "docs/reports/training.md"
ENV_ID = "DMoE-Inference-Residual-v0"


class LearnedAnswers(Experiment):
    """A line per recipe of DMoE-Inference-Residual-v0 whose rows the store has, with those of its JESA."""

    name: ClassVar[str] = "learned-answers"
    about: ClassVar[str] = "energy and accuracy of learners where a model answers, from results/"
    places: ClassVar[tuple[str, ...]] = (PAGE,)

    def page(self, values: Sequence[Any]) -> Page:
        cells = [line for file in recipe_files(()) if (line := _line(file))]
        headings = [
            "recipe",
            "JESA",
            "answers",
            "accuracy [%]",
            "to JESA [points]",
            "energy [mJ]",
            "to JESA [%]",
            "equal",
        ]
        return Page({(PAGE, self.name): markdown_table(headings, cells)})


def _line(file: Path) -> list[str] | None:
    config = load_config(file)
    if config.env_id != ENV_ID:
        return None
    rows, _ = learned_rows(file.stem, config, STORE)
    setting = Setting.of(config.env_id, config.scenario, config.overrides)
    jesa = sorted(analytic_rows(setting, STORE).get("JESA", []), key=lambda row: row["seed"])
    if not rows or not jesa:
        return None
    accuracy, energy = (seed_matrix(rows, name, config.seeds) for name in ("accuracy", "energy_per_answer_mJ"))
    beside = jesa[: accuracy.shape[1]]
    right, joules = (column(beside, name) for name in ("accuracy", "energy_per_answer_mJ"))
    points = paired_difference(accuracy, right) * 100
    system = setting.system.configuration(config.scenario, config.overrides)
    return [
        f"`{file.stem}`",
        f"z = {system.threshold:g}, gamma = {system.importance_factor:g}",
        f"{accuracy.shape[1] * system.num_experts:,}",
        f"{two_way_mean(accuracy) * 100:.2f}",
        f"{points:+.2f}",
        f"{two_way_mean(energy):.2f}",
        f"{paired_percent(energy, joules):+.2f}",
        equality(points),
    ]


def equality(points: Interval) -> str:
    """Is accuracy equal, by the margin that the claims use? Not shown to be is no proof that it is not."""
    return "yes" if points.low > -EQUAL else "not shown"

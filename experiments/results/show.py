"""docs/results.md and the README's table, from the store alone."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

from pydantic import field_validator

from agents.config import load_config
from dmoe_gym.config import list_as_tuple
from experiments.page import Page
from experiments.results.lines import Comparison, compare_setting
from experiments.results.pictures import curves, gaps, overview
from experiments.results.setting import recipe_files, settings_of
from experiments.results.store import (
    STORE,
    analytic_rows,
    learned_provenance,
    learned_rows,
    validation_costs,
)
from experiments.results.tables import (
    Training,
    lead_table,
    made_table,
    plain_table,
    setting_section,
)
from experiments.results.times import read_times
from experiments.runner import Experiment

PAGE, GAPS, CURVES = "docs/results.md", "docs/images/results_gaps.png", "docs/images/results_curves.png"
OVERVIEW = "docs/images/overview.png"


class Results(Experiment):
    """Every recipe's row beside the strongest analytic scheduler and the bound.

    Attributes:
        recipes: YAML files; all of configs/ but the demo's by default.
    """

    name: ClassVar[str] = "results"
    about: ClassVar[str] = "learned schedulers beside analytic ones and bounds, from results/"
    places: ClassVar[tuple[str, ...]] = (PAGE, "README.md", OVERVIEW, GAPS)

    recipes: tuple[str, ...] = ()

    _list_as_tuple = field_validator("recipes", mode="before")(list_as_tuple)

    def page(self, values: Sequence[Any]) -> Page:
        recipes = {file.stem: load_config(file) for file in recipe_files(self.recipes)}
        comparisons, skipped = [], []
        for setting, names in settings_of(recipes).items():
            analytic = analytic_rows(setting, STORE)
            line_up = setting.line_up
            if not {line_up.optimum, line_up.random, line_up.reference} <= set(analytic):
                skipped.append(setting.title)
                continue
            found = {name: learned_rows(name, recipes[name], STORE) for name in names}
            comparisons.append(
                compare_setting(
                    setting,
                    analytic,
                    {name: rows for name, (rows, _) in found.items() if rows},
                    {name: recipes[name].seeds for name, (rows, _) in found.items() if rows},
                    {name: why for name, (_, why) in found.items() if why},
                    validation_costs(setting, STORE),
                )
            )
        if not comparisons:
            raise ValueError(f"{STORE}: no scenario has been evaluated; the experiment `references` does it")
        runs = {line.name: learned_provenance(line.name, STORE) for one in comparisons for line in one.learned}
        return shown(comparisons, {name: Training.of(recipes[name], runs[name]) for name in runs}, runs, skipped)


def shown(
    comparisons: Sequence[Comparison],
    trainings: dict[str, Training],
    runs: dict[str, dict[str, Any]],
    skipped: Sequence[str],
) -> Page:
    """The page: lead table, pictures, details per setting.

    Args:
        trainings, runs: by recipe.
        skipped: settings that were not evaluated.
    """
    published = [comparison for comparison in comparisons if not comparison.setting.overrides]
    times = read_times(STORE)
    parts = [lead_table(published, trainings)]
    pictures = {OVERVIEW: overview(published), GAPS: gaps(published)}
    drawn = curves(published, runs)
    if drawn is not None:
        pictures[CURVES] = drawn
        parts.append("![Held-out cost while learning](images/results_curves.png)")
    parts.append("![How far schedulers are above the bound](images/results_gaps.png)")
    parts.append("## Details")
    parts += [setting_section(comparison, times) for comparison in comparisons]
    if skipped:
        parts.append(f"Not evaluated yet: {', '.join(f'`{title}`' for title in skipped)}.")
    parts.append(f"## How the learned rows were made\n\n{made_table(comparisons, trainings)}")
    page = "\n\n".join(part.strip() for part in parts)
    sections = {(PAGE, "results"): page, ("README.md", "results"): plain_table(published)}
    return Page(sections, pictures)

"""docs/results.md and the README's table, from the store alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from agents.config import load_config
from experiments.page import BLACK, BLUE, GREEN, GREY, ORANGE, PINK, SKY, VERMILION, Page, error_bars
from experiments.results.store import (
    STORE,
    analytic_rows,
    learned_provenance,
    learned_rows,
    read_times,
    recipe_files,
    settings_of,
    validation_costs,
)
from experiments.results.tables import (
    Comparison,
    Line,
    Training,
    compare_setting,
    lead_table,
    made_table,
    plain_table,
    setting_section,
    shares,
)
from experiments.runner import Experiment

COLUMNS = 3
# Of the picture of all scenarios: marker and colour by role.
ROLES = {
    "bound": ("|", BLACK, "bound: no policy can be left of it"),
    "strongest": ("D", BLUE, "strongest analytic scheduler"),
    "learned": ("o", VERMILION, "learned with Stable-Baselines3"),
}
LEARNED = (VERMILION, GREEN, PINK, ORANGE, SKY)


def overview(comparisons: Sequence[Comparison]) -> Figure:
    """A line per scenario: costs of bound, strongest analytic and best learned scheduler, over the reference's."""
    figure = Figure(figsize=(8.4, 0.8 + 0.34 * len(comparisons)), layout="constrained", dpi=120)
    axes = figure.subplots()
    told = [shares(comparison) for comparison in comparisons]
    for role, (marker, colour, label) in ROLES.items():
        places = [(one[role][1], row) for row, one in enumerate(told) if role in one]
        size = {"|": 160, "D": 34, "o": 40}[marker]
        if places:
            values, rows = zip(*places, strict=True)
            axes.scatter(values, rows, s=size, marker=marker, color=colour, label=label, zorder=3)
    for row, one in enumerate(told):
        axes.plot([one["bound"][1], 1], [row, row], color=GREY, lw=1, zorder=1)
    axes.axvline(1, color=GREY, lw=1, linestyle=":")
    names = [f"{one.setting.title} ({told[row]['reference'][0]} = 1)" for row, one in enumerate(comparisons)]
    axes.set_yticks(range(len(names)), names, fontsize=8)
    axes.invert_yaxis()
    axes.set_xscale("log")
    axes.set_xticks([0.1, 0.2, 0.5, 1, 2], ["0.1", "0.2", "0.5", "1", "2"])
    axes.minorticks_off()
    axes.set_xlabel("cost over the reference's, left is better (held-out episodes)", fontsize=8)
    figure.legend(loc="outside upper center", ncols=len(ROLES), fontsize=8)
    return figure


def gaps(comparisons: Sequence[Comparison], shown: int = 5) -> Figure:
    """A panel per setting: how far its best schedulers are above the bound, learned ones in colour."""
    rows = max(1, -(-len(comparisons) // COLUMNS))
    figure = Figure(figsize=(4.6 * COLUMNS, 2.2 * rows), layout="constrained", dpi=110)
    panels = figure.subplots(rows, COLUMNS, squeeze=False).ravel()
    for axes, comparison in zip(panels, comparisons, strict=False):
        _gap(axes, comparison, shown)
    for axes in panels[len(comparisons) :]:
        axes.axis("off")
    handles = [Patch(color=VERMILION, label="learned"), Patch(color=GREY, label="analytic")]
    figure.legend(handles=handles, loc="outside upper right", ncols=len(handles), fontsize=8)
    return figure


def _gap(axes: Axes, comparison: Comparison, shown: int) -> None:
    schedulers = [(line, line.gap) for line in comparison.lines if line.gap is not None]
    # the cheapest ones, and every learned one
    kept = [pair for index, pair in enumerate(schedulers) if index < shown or pair[0].kind == "learned"]
    colours = [VERMILION if line.kind == "learned" else GREY for line, _ in kept]
    axes.barh([_label(line) for line, _ in kept], [gap.mean for _, gap in kept], color=colours)
    error_bars(axes, [gap for _, gap in kept], range(len(kept)), marker="", linestyle="", color=BLACK, lw=1)
    for position, (_, gap) in enumerate(kept):
        text = f"{gap.mean:,.0f}" if gap.mean >= 100 else f"{gap.mean:.2g}"
        axes.annotate(
            text, (max(gap.high, 0), position), xytext=(4, 0), textcoords="offset points", va="center", fontsize=7
        )
    # one scale for all panels: linear to a tenth of a percent, logarithmic from there
    axes.set_xscale("symlog", linthresh=0.1, linscale=0.5)
    axes.set_xlim(0, 20_000)
    axes.set_xticks([0, 0.1, 1, 10, 100, 1000], ["0", "0.1", "1", "10", "100", "1,000"])
    axes.minorticks_off()
    axes.invert_yaxis()
    axes.tick_params(labelsize=7)
    axes.set_title(comparison.setting.title, fontsize=9)
    axes.set_xlabel(f"% above {comparison.bound.name}", fontsize=8)


def _label(line: Line) -> str:
    return f"{line.name} ({line.seeds} seeds)" if line.seeds else line.name


def curves(comparisons: Sequence[Comparison], runs: Mapping[str, Mapping[str, Any]]) -> Figure | None:
    """Held-out cost against minutes of one core, a panel per setting, analytic schedulers and bound as flat lines.

    Minutes are a run's whole time shared out over its steps; the band is from the least to the largest of the seeds.

    Args:
        comparisons: whose learned rows may have curves.
        runs: provenance by recipe and training seed.
    """
    drawn = [comparison for comparison in comparisons if any(_curves(runs, line) for line in comparison.learned)]
    if not drawn:
        return None
    rows = -(-len(drawn) // COLUMNS)
    figure = Figure(figsize=(4.6 * COLUMNS, 3.0 * rows), layout="constrained", dpi=110)
    panels = figure.subplots(rows, COLUMNS, squeeze=False).ravel()
    for axes, comparison in zip(panels, drawn, strict=False):
        _curve(axes, comparison, runs)
    for axes in panels[len(drawn) :]:
        axes.axis("off")
    return figure


def _curve(axes: Axes, comparison: Comparison, runs: Mapping[str, Mapping[str, Any]]) -> None:
    bound, strongest = comparison.bound.cost.mean, comparison.strongest.cost.mean
    reference = comparison.line(comparison.setting.line_up.reference)
    flat = {
        comparison.bound.name: (bound, "-", BLACK),
        comparison.strongest.name: (strongest, "--", BLUE),
        reference.name: (reference.cost.mean, ":", GREY),
    }
    for label, (cost, style, colour) in flat.items():
        axes.axhline(cost, linestyle=style, color=colour, lw=1, label=label)
    lowest = strongest
    for number, line in enumerate(comparison.learned):
        found = _curves(runs, line)
        if not found:
            continue
        colour = LEARNED[number % len(LEARNED)]
        count = min(len(costs) for _, costs in found)
        minutes = np.mean([minutes[:count] for minutes, _ in found], axis=0)
        costs = np.array([costs[:count] for _, costs in found])
        axes.plot(minutes, costs.mean(0), color=colour, label=line.name)
        axes.fill_between(minutes, costs.min(0), costs.max(0), color=colour, alpha=0.15, lw=0)
        lowest = min(lowest, costs.mean(0)[-1])
    room = max(strongest - bound, strongest - lowest, 1e-3 * strongest)
    axes.set_ylim(min(bound, lowest) - 0.2 * room, strongest + 3 * room)
    axes.set_title(comparison.setting.title, fontsize=9)
    axes.set_xlabel("minutes of one core", fontsize=8)
    axes.set_ylabel("held-out cost", fontsize=8)
    axes.tick_params(labelsize=7)
    axes.grid(alpha=0.3)
    axes.legend(fontsize=6)


def _curves(runs: Mapping[str, Mapping[str, Any]], line: Line) -> list[tuple[np.ndarray, np.ndarray]]:
    """Minutes and costs of every run of a recipe; none if some do not tell, or if they are of other episodes."""
    found = []
    for run in runs.get(line.name, {}).values():
        if run.get("curve") and run.get("cpu_seconds") and run.get("steps"):
            steps, costs = np.array(run["curve"], float).T
            found.append((steps / run["steps"] * run["cpu_seconds"] / 60, costs))
    # a row on fewer episodes than its curve is beside lines that the curve cannot be read against
    ends = [costs[-1] for _, costs in found]
    return found if found and np.isclose(np.mean(ends), line.cost.mean, rtol=1e-4) else []


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

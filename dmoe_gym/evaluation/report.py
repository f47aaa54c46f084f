"""Policies beside the references: rows, table, pictures and TensorBoard by one call, and the report in a folder."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from dmoe_gym.evaluation.run import Row, evaluate_line_up, held_out_seeds
from dmoe_gym.evaluation.statistics import Interval, by_policy
from dmoe_gym.evaluation.table import cells, markdown_table
from dmoe_gym.evaluation.tensorboard import event_writer, landmarks, mean_cost, write_lines
from dmoe_gym.io.extras import needed_for
from dmoe_gym.io.files import write_csv, write_whole
from dmoe_gym.registration import line_up_of
from dmoe_gym.system import LineUp

with needed_for("a report"):
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

OPTIMUM_COLOUR, BASELINE_COLOUR = "#111111", "#9aa5b1"
# one colour per learned run, told apart by the colour-blind too (Okabe and Ito)
LEARNED_COLOURS = ("#d55e00", "#0072b2", "#009e73", "#cc79a7", "#e69f00", "#56b4e9")


def report_beside_references(
    own: Mapping[str, Any],
    env_id: str,
    folder: Path | str,
    *,
    scenario: str | None = None,
    episodes: int = 100,
    names: Sequence[str] | None = None,
    jobs: int = 1,
    **overrides: Any,
) -> list[Row]:
    """Run policies on held-out episodes beside the references and write what they came to.

    In `folder`: `rows.csv`, `report.md` with the table and a picture, and TensorBoard's runs, one per policy of one's
    own and one per landmark (random, the reference, the strongest analytic scheduler, the bound).

    Args:
        own: policies and schedulers by name, as `extra` of `evaluate_line_up`.
        env_id, scenario, overrides: as in `gym.make`.
        episodes: how many, the same for all.
        names: only these references; None for all.
        jobs: processes for the bounds.

    Returns:
        the rows, as `evaluate_line_up`.

    Raises:
        ValueError: for an unknown id, scenario, override or name, or what is no policy.
        ImportError: without matplotlib or TensorBoard.
    """
    event_writer()  # what is missing is said before anything runs
    rows = evaluate_line_up(
        env_id,
        scenario=scenario,
        seeds=held_out_seeds(episodes),
        names=names,
        extra=own,
        jobs=jobs,
        **overrides,
    )
    line_up = line_up_of(env_id, scenario, **overrides)
    called = f"report_beside_references of {env_id}, scenario {scenario or 'default'}"
    write_report(Path(folder), called, called, rows, line_up, own=list(own))
    return rows


def write_report(
    folder: Path,
    title: str,
    command: str,
    rows: Sequence[Row],
    line_up: LineUp,
    *,
    own: Sequence[str] = (),
    curves: Mapping[str, Sequence[Row]] | None = None,
) -> Path:
    """Write `folder/report.md` with its pictures, `rows.csv`, and TensorBoard's lines where there are no curves.

    Args:
        title: heading.
        command: what makes this report again.
        rows: of the line-up and of others on the same held-out episodes.
        line_up: which of the rows are random, reference and optimum.
        own: which of the rows the report is about.
        curves: per learned run, the rows of all its evaluations during training; its TensorBoard run is there already.
    """
    folder.mkdir(parents=True, exist_ok=True)
    write_csv(folder / "rows.csv", rows)
    cost_bars(folder / "costs.png", rows, line_up, [*own, *(curves or ())])
    picture = ""
    if curves:
        learning_curves(folder / "learning_curves.png", curves, rows, line_up)
        picture = "\n![learning curves](learning_curves.png)\n"
    else:
        write_lines(folder, rows, line_up, [*landmarks(rows, line_up), *own])
    episodes = len({row["seed"] for row in rows})
    text = f"""# {title}

Made by `{command}`. Every policy ran the same {episodes} held-out episodes; intervals are 95 % bootstrap
intervals over episodes, differences are paired by episode. Bounds ({", ".join(line_up.bounds) or "none"}) see the
true channel and are no policies. One training seed says nothing about the spread over seeds.

{markdown_table(*cells(rows, line_up.optimum, line_up.reference))}
![cost of every policy](costs.png)
{picture}
The same as curves with flat lines beside them: `tensorboard --logdir {folder}`.
"""
    return write_whole(folder / "report.md", text)


def learning_curves(
    path: Path, curves: Mapping[str, Sequence[Row]], references: Sequence[Row], line_up: LineUp
) -> None:
    """Held-out cost against training steps, with the analytic schedulers and the optimum as flat lines.

    Args:
        curves: per run, the rows of all its evaluations, each with its `step`.
    """
    figure = Figure(figsize=(10, 4.2), layout="constrained", dpi=110)
    whole, near = figure.subplots(1, 2)
    for axes in (whole, near):
        # near the optimum the spread over episodes, which all policies share, would cover everything
        _draw_curves(axes, curves, references, line_up, spread=axes is whole)
        axes.set_xlabel("training steps")
        axes.grid(alpha=0.3, which="both")
    whole.set_yscale("log")
    whole.set_ylabel("cost per round on held-out episodes")
    whole.legend(fontsize=8)
    optimum = mean_cost(references, line_up.optimum)
    lowest = min(np.mean([row["cost"] for row in rows if row["step"] == rows[-1]["step"]]) for rows in curves.values())
    # the strongest analytic scheduler, the last landmark before the optimum
    *_, strongest, _ = ["", line_up.reference, *landmarks(references, line_up)]
    distance = max(mean_cost(references, strongest) - optimum, lowest - optimum, 1e-3 * optimum)
    near.set_ylim(optimum - 0.3 * distance, optimum + 2 * distance)
    near.set_title(f"near the optimum ({line_up.optimum})", fontsize=10)
    figure.savefig(path)


def _draw_curves(
    axes: Axes,
    curves: Mapping[str, Sequence[Row]],
    references: Sequence[Row],
    line_up: LineUp,
    *,
    spread: bool,
) -> None:
    for index, (name, rows) in enumerate(curves.items()):
        steps = sorted({row["step"] for row in rows})
        intervals = [Interval.of([row["cost"] for row in rows if row["step"] == step]) for step in steps]
        colour = LEARNED_COLOURS[index % len(LEARNED_COLOURS)]
        axes.plot(steps, [interval.mean for interval in intervals], color=colour, marker="o", ms=3, label=name)
        if spread:
            axes.fill_between(
                steps, [i.low for i in intervals], [i.high for i in intervals], color=colour, alpha=0.2, lw=0
            )
    for name, style in zip(landmarks(references, line_up), (":", "--", "-.", "-"), strict=False):
        cost = mean_cost(references, name)
        colour = OPTIMUM_COLOUR if name == line_up.optimum else BASELINE_COLOUR
        axes.axhline(cost, linestyle=style, color=colour, label=f"{name} ({cost:.4f})")


def cost_bars(path: Path, rows: Sequence[Row], line_up: LineUp, learned: Sequence[str]) -> None:
    """Every policy's cost with its 95 % interval, dearest first; the optimum is a line through all of them."""
    groups = by_policy(rows)
    names = sorted(groups, key=lambda name: -mean_cost(rows, name))
    figure = Figure(figsize=(7.2, 0.42 * len(names) + 1.2), layout="constrained", dpi=110)
    axes = figure.add_subplot()
    draw_bars(axes, rows, names, "cost", line_up, learned)
    axes.set_xlabel(f"cost per round (bar: 95 % interval; dashed: {line_up.optimum})")
    figure.savefig(path)


def draw_bars(
    axes: Axes, rows: Sequence[Row], names: Sequence[str], metric: str, line_up: LineUp, learned: Sequence[str]
) -> None:
    """A horizontal bar per policy with its 95 % interval, and a dashed line where the optimum is."""
    groups = by_policy(rows)
    intervals = [Interval.of([row[metric] for row in groups[name]]) for name in names]
    means = np.array([interval.mean for interval in intervals])
    errors = np.nan_to_num([[i.mean - i.low for i in intervals], [i.high - i.mean for i in intervals]])
    ends = means + errors[1]
    colours = [
        OPTIMUM_COLOUR if name in line_up.bounds else LEARNED_COLOURS[0] if name in learned else BASELINE_COLOUR
        for name in names
    ]
    axes.barh(names, means, xerr=errors, color=colours, error_kw={"lw": 1, "capsize": 3})
    for position, (mean, end) in enumerate(zip(means, ends, strict=True)):
        axes.annotate(
            f"{mean:#.4g}", (end, position), xytext=(5, 0), textcoords="offset points", va="center", fontsize=8
        )
    if line_up.optimum in groups:
        optimum = float(np.mean([row[metric] for row in groups[line_up.optimum]]))
        axes.axvline(optimum, color=OPTIMUM_COLOUR, lw=1, linestyle="--")
    axes.invert_yaxis()
    axes.set_xlim(right=1.22 * max(ends))  # room for the numbers

"""report.md of a group of runs: what was run, how, and how it stands beside the optimum."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from dmoe_gym.evaluation import Row
from dmoe_gym.evaluation.table import cells, markdown_table
from dmoe_gym.io.files import write_whole
from dmoe_gym.reports.plots import cost_bars, learning_curves
from dmoe_gym.system import LineUp


def write_report(
    folder: Path,
    title: str,
    command: str,
    rows: Sequence[Row],
    curves: Mapping[str, Sequence[Row]],
    line_up: LineUp,
) -> Path:
    """Write `folder/report.md` with its two plots.

    Args:
        title: heading.
        command: what makes this report again.
        rows: of the line-up and the learned runs on the same held-out episodes.
        curves: per learned run, the rows of all its evaluations during training.
        line_up: which of the rows are random, reference and optimum.
    """
    folder.mkdir(parents=True, exist_ok=True)
    cost_bars(folder / "costs.png", rows, line_up, list(curves))
    learning_curves(folder / "learning_curves.png", curves, rows, line_up)
    episodes = len({row["seed"] for row in rows})
    text = f"""# {title}

Made by `{command}`. Every policy ran the same {episodes} held-out episodes; intervals are 95 % bootstrap
intervals over episodes, differences are paired by episode. Bounds ({", ".join(line_up.bounds) or "none"}) see the
true channel and are no policies. One training seed says nothing about the spread over seeds.

{markdown_table(*cells(rows, line_up.optimum, line_up.reference))}
![cost of every policy](costs.png)

![learning curves](learning_curves.png)

The same curves with the optimum as a flat line: `tensorboard --logdir {folder}`.
"""
    return write_whole(folder / "report.md", text)

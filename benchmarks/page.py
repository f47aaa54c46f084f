"""`python -m benchmarks.page`: docs/reports/performance.md's tables and scaling plot from the figures in output/."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import numpy as np
import typer
from matplotlib.ticker import LogLocator, StrMethodFormatter

from benchmarks.scaling import CURVES, SWEEPS
from benchmarks.table import RESULTS, figure, read_rows
from benchmarks.test_scaling import SCALING
from dmoe_gym.io.command_line import one_line_errors
from dmoe_gym.io.files import replace_section

PAGE, PLOT = "docs/reports/performance.md", "docs/images/scaling.png"
# what the page says of all commands at once; threads, where they are set, stay with their row
BEFORE, BEHIND = "python -m pytest 'benchmarks/", "' --benchmark-only"


def line(row: dict[str, Any]) -> str:
    """One row of the page's table."""
    aim = "" if row["aim"] is None else f"{'≥' if row['at_least'] else '≤'} {row['aim']:,g} {row['unit']}"
    cells = [
        row["what"],
        row["against"],
        aim,
        *(figure(row[name], row["unit"]) for name in ("ratio", "ratio_median", "ratio_processor")),
        {True: "yes", False: "**no**", None: ""}[row["met"]],
        f"{row['load']:.1f}",
        f"`{row['command'].replace(BEFORE, '').replace(BEHIND, '')}`",
    ]
    return "| " + " | ".join(cells) + " |"


def table(rows: list[dict[str, Any]]) -> str:
    """Rows as a Markdown table."""
    head = "| what | against | aim | measured | median | processor | met | load | test |\n"
    head += "|---|---|---:|---:|---:|---:|---|---:|---|\n"
    machines = {
        f"{machine['processor']}, {machine['cores']} cores, {machine['threads']} threads, Python {machine['python']}, "
        + ", ".join(f"{name} {number}" for name, number in machine["versions"].items())
        for machine in (row["machine"] for row in rows)
    }
    body = "\n".join(line(row) for row in rows)
    return f"{head}{body}\n\nMeasured on: " + "; ".join(machines) + "."


def draw(records: list[dict[str, Any]], path: str) -> None:
    """One panel per quantity that grows, one line per curve, with the fitted power law dashed."""
    figure_, panels = plt.subplots(1, len(SWEEPS), figsize=(14, 3.6), constrained_layout=True)
    colours = dict(zip(CURVES, ("tab:blue", "tab:orange"), strict=True))
    for panel, (name, (fixed, _, values)) in zip(panels, SWEEPS.items(), strict=True):
        for record in (record for record in records if record["against"] == name):
            microseconds = 1e6 * np.array(record["seconds"])
            colour, power = colours[record["curve"]], record["slope"]
            panel.plot(values, microseconds, "o", color=colour, label=f"{record['curve']}: slope {power:.2f}")
            centre = np.exp(np.log(microseconds).mean() - power * np.log(values).mean())
            panel.plot(values, centre * np.array(values, float) ** power, "--", color=colour, linewidth=1)
        names = {"num_experts": "K", "num_states": "N", "num_subcarriers": "M"}
        others = ", ".join(f"{names[field]} = {value}" for field, value in fixed.items())
        panel.set(xscale="log", yscale="log", xlabel=name, title=others)
        panel.set_ylabel("µs per call" if name == "batch" else "µs per round and environment")
        panel.set_xticks(values, [str(value) for value in values])
        panel.minorticks_off()
        # a decade alone would leave panels that span less with one tick
        panel.yaxis.set_major_locator(LogLocator(subs=(1, 3) if name == "batch" else (1, 2, 5)))
        panel.yaxis.set_major_formatter(StrMethodFormatter("{x:,.0f}"))
        panel.grid(alpha=0.3)
        panel.legend(fontsize=8)
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    figure_.savefig(path, dpi=110)
    plt.close(figure_)


@one_line_errors
def main() -> None:
    """Write the tables and the plot of docs/reports/performance.md from the benchmarks' figures in output/."""
    rows = [row for row in read_rows() if row.get("command")]
    if not rows:
        raise ValueError(f"{RESULTS}: holds no row; `make bench` measures, and the page keeps what it has")
    aims = [row for row in rows if row["aim"] is not None]
    others = [row for row in rows if row["aim"] is None]
    for section, measured in (("aims", aims), ("others", others)):
        if measured:
            replace_section(PAGE, section, table(measured))
    if Path(SCALING).exists():
        draw(json.loads(Path(SCALING).read_text())["records"], PLOT)
        print(f"wrote {PLOT}")
    print(f"wrote {PAGE} from {len(rows)} rows")


if __name__ == "__main__":
    typer.run(main)

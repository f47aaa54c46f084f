"""What an experiment shows: sections of pages, pictures, files; and how they are written, only where told."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from dmoe_gym.evaluation import Interval
from dmoe_gym.io.files import read_section, replace_section, write_whole

# Told apart by the colour-blind too (Okabe and Ito).
BLACK, GREY = "#111111", "#9aa5b1"
VERMILION, BLUE, GREEN, PINK, ORANGE, SKY = "#d55e00", "#0072b2", "#009e73", "#cc79a7", "#e69f00", "#56b4e9"


def error_bars(
    axes: Axes,
    x: Sequence[float] | Sequence[Interval],
    y: Sequence[float] | Sequence[Interval],
    **style: Any,
) -> None:
    """Points whose intervals are drawn in the directions in which they have one."""
    axes.errorbar(
        _means(x), _means(y), xerr=_ends(x), yerr=_ends(y), **{"marker": "o", "markersize": 4, "capsize": 2, **style}
    )


def gate_score_panels(means: np.ndarray, domains: Sequence[str]) -> Figure:
    """Mean gate scores (L, domains, K), a panel per layer: domains down, experts across."""
    layers, _, experts = means.shape
    figure = Figure(figsize=(11, 6.4), layout="constrained", dpi=110)
    panels = figure.subplots(2, -(-layers // 2), squeeze=False)
    top = float(np.ceil(10 * means.max()) / 10)
    for layer, axes in enumerate(panels.flat):
        if layer >= layers:
            axes.set_axis_off()
            continue
        image = axes.imshow(means[layer], vmin=0, vmax=top, cmap="viridis")
        for domain, row in enumerate(means[layer]):
            for expert, value in enumerate(row):
                colour = "black" if value > 0.6 * top else "white"
                axes.text(expert, domain, f"{value:.2f}", ha="center", va="center", fontsize=8, color=colour)
        axes.set_title(f"layer {layer + 1}", fontsize=10)
        axes.set_xticks(range(experts), [f"{expert + 1}" for expert in range(experts)])
        axes.set_yticks(range(len(domains)), list(domains))
        axes.set_xlabel("expert")
    figure.colorbar(image, ax=panels, label="mean gate score")
    return figure


def _means(values: Sequence[Any]) -> list[float]:
    return [value.mean if isinstance(value, Interval) else value for value in values]


def _ends(values: Sequence[Any]) -> list[list[float]] | None:
    """How far ends are below and above means, no less than 0: rounding may put a mean beyond its end."""
    if not all(isinstance(value, Interval) for value in values):
        return None
    return [[max(0.0, v.mean - v.low) for v in values], [max(0.0, v.high - v.mean) for v in values]]


@dataclass(frozen=True)
class Page:
    """What is shown of an experiment; all paths are relative to the checkout.

    Attributes:
        sections: Markdown by page and name, `("docs/reports/wdmoe.md", "wdmoe-comparison")`; the page holds
            `<!-- NAME begins -->` and `<!-- NAME ends -->`.
        pictures: by path.
        files: whole files by path, as data that the package ships.
    """

    sections: Mapping[tuple[str, str], str] = field(default_factory=dict)
    pictures: Mapping[str, Figure] = field(default_factory=dict)
    files: Mapping[str, str | bytes] = field(default_factory=dict)

    def write(self, root: Path) -> list[Path]:
        """Write everything into a checkout; returns what was written."""
        written = [replace_section(root / page, name, text) for (page, name), text in self.sections.items()]
        return [*written, *self._write_others(root)]

    def preview(self, folder: Path) -> list[Path]:
        """Write everything into a folder of its own, every section as a file."""
        written = [
            write_whole(folder / f"{Path(page).stem}-{name}.md", text + "\n")
            for (page, name), text in self.sections.items()
        ]
        return [*written, *self._write_others(folder)]

    def differences(self, root: Path) -> list[str]:
        """The sections and files of a checkout that are not these; pictures are not compared."""
        found = [
            f"{page}, section {name}"
            for (page, name), text in self.sections.items()
            if _bare(read_section(root / page, name)) != _bare(text)
        ]
        for path, content in self.files.items():
            kept = root / path
            if not kept.is_file() or kept.read_bytes() != (content.encode() if isinstance(content, str) else content):
                found.append(path)
        return found

    def _write_others(self, root: Path) -> list[Path]:
        contents = {**{path: png(figure) for path, figure in self.pictures.items()}, **self.files}
        return [write_whole(root / path, content) for path, content in contents.items()]


MADE = "Made by `"


def signed(page: Page, command: str, made: Sequence[Mapping[str, Any]]) -> Page:
    """The page with a line under every section that says which command made it, at which commits."""
    commits = ", ".join(sorted(f"{one['git_commit'][:7]}{' with changes' if one['git_dirty'] else ''}" for one in made))
    line = f"{MADE}{command}`{f' at {commits}' if commits else ''}."
    return Page(
        {place: f"{text.strip()}\n\n{line}" for place, text in page.sections.items()}, page.pictures, page.files
    )


def png(figure: Figure) -> bytes:
    """A figure as a PNG file's content."""
    content = io.BytesIO()
    figure.savefig(content, format="png")
    return content.getvalue()


def _bare(text: str) -> str:
    """Without the line that says how it was made."""
    return "\n".join(line for line in text.strip().splitlines() if not line.startswith(MADE)).strip()

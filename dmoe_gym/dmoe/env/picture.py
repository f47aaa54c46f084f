"""One scene as a picture: four panels on a Matplotlib figure that no global state knows of."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from dmoe_gym.dmoe.env.recorder import Scene
from dmoe_gym.dmoe.env.words import outcome, sizes, title

INCHES, DOTS_PER_INCH = (12.8, 8.0), 100
# The channel panel shows at most this many rows and columns; more are folded, the largest value of each block stays.
MOST_ROWS, MOST_COLUMNS = 72, 128
# A node's cells carry numbers up to this many nodes.
MOST_NUMBERED = 10
MARK = "#ff2d2d"


def draw(scene: Scene) -> np.ndarray:
    """(800, 1280, 3) uint8."""
    figure = Figure(figsize=INCHES, dpi=DOTS_PER_INCH)
    canvas = FigureCanvasAgg(figure)
    grid = figure.add_gridspec(
        2, 2, left=0.065, right=0.985, bottom=0.075, top=0.87, width_ratios=(1, 1.55), height_ratios=(1.35, 1),
        wspace=0.17, hspace=0.36,
    )  # fmt: skip
    _title(figure, scene)
    _gate_scores(figure.add_subplot(grid[0, 0]), scene)
    _channel(figure.add_subplot(grid[0, 1]), scene)
    _schedule(figure.add_subplot(grid[1, 0]), scene)
    _energy(figure.add_subplot(grid[1, 1]), scene)
    canvas.draw()
    return np.asarray(canvas.buffer_rgba())[..., :3].copy()


def _title(figure: Figure, scene: Scene) -> None:
    figure.text(0.065, 0.955, title(scene), size=15, weight="bold")
    figure.text(0.065, 0.922, sizes(scene), size=11)
    figure.text(0.985, 0.955, ", ".join(outcome(scene, digits=4)), size=11, ha="right")


def _gate_scores(axes: Axes, scene: Scene) -> None:
    nodes, states, experts = scene.round.gate_scores.shape
    scores = scene.round.gate_scores.reshape(nodes * states, experts)
    image = axes.imshow(scores, cmap="Blues", vmin=0, vmax=1, aspect="auto", interpolation="nearest")
    axes.figure.colorbar(image, ax=axes, label="gate score", pad=0.02)
    axes.set(
        title="Gate scores (red: selected)",
        xlabel="expert j",
        ylabel="node i" if states == 1 else f"node i, {states} hidden states each",
    )
    _whole_ticks(axes, experts)
    _node_ticks(axes, nodes, states)
    if scene.schedule is not None:
        _mark(axes, scene.schedule.selected.reshape(nodes * states, experts))


def _channel(axes: Axes, scene: Scene) -> None:
    experts, _, subcarriers = scene.efficiency.shape
    links = experts * (experts - 1)
    off_diagonal = ~np.eye(experts, dtype=bool)
    allocated = scene.schedule.allocated if scene.schedule else np.zeros(scene.efficiency.shape, bool)
    width = -(-subcarriers // MOST_COLUMNS)
    if links <= MOST_ROWS:
        shown, marks = scene.efficiency[off_diagonal], allocated[off_diagonal]
        rows, height = "link i→j", 1
    else:
        shown, marks = scene.efficiency.max(1), np.asarray(allocated.any(1))
        height = -(-experts // MOST_ROWS)
        rows = "node i, best of its links" if height == 1 else f"{height} nodes i, best of their links"
    shown, marks = _fold(shown, height, width), _fold(marks, height, width)
    image = axes.imshow(
        shown, cmap="GnBu", vmin=0 if height * width == 1 else None, aspect="auto", interpolation="nearest"
    )
    axes.figure.colorbar(image, ax=axes, label="spectral efficiency [bit/s/Hz]", pad=0.015)
    columns = "subcarrier m" if width == 1 else f"subcarrier m, best of {width} in each column"
    axes.set(title="Channel (red: allocated)", xlabel=columns, ylabel=rows)
    _whole_ticks(axes, shown.shape[1], width)
    if links <= MOST_ROWS:
        names = [f"{i}→{j}" for i, j in np.argwhere(off_diagonal)]
        step = -(-links // 30)
        axes.set_yticks(range(0, links, step), names[::step], size=8 if links > 14 else 9)
    else:
        _whole_ticks(axes, shown.shape[0], height, vertical=True)
    if scene.schedule is not None:
        _mark(axes, marks)


def _schedule(axes: Axes, scene: Scene) -> None:
    config = scene.round.config
    nodes = config.num_experts
    carried = scene.schedule.payload_states if scene.schedule else np.zeros((nodes, nodes), int)
    image = axes.imshow(carried, cmap="Greens", vmin=0, vmax=config.num_states, aspect="auto", interpolation="nearest")
    bar = axes.figure.colorbar(image, ax=axes, label="hidden states on the link", pad=0.02)
    bar.locator = MaxNLocator(integer=True)
    bar.update_ticks()
    numbered = nodes <= MOST_NUMBERED
    axes.set(
        title="Schedule" + (": subcarrier m of each link i → j" if numbered else ""),
        xlabel="expert j",
        ylabel="node i",
    )
    _whole_ticks(axes, nodes)
    _whole_ticks(axes, nodes, vertical=True)
    if not numbered or scene.schedule is None:
        return
    for i, j in np.argwhere(carried):
        subcarriers = np.flatnonzero(scene.schedule.allocated[i, j])
        where = "own" if i == j else "m" + ",".join(map(str, subcarriers)) if len(subcarriers) else "none"
        dark = carried[i, j] > 0.6 * config.num_states
        axes.text(
            j, i, where, ha="center", va="center", size=11 if nodes <= 6 else 9, color="white" if dark else "black"
        )


def _energy(axes: Axes, scene: Scene) -> None:
    own, reference = (1e3 * np.r_[0, np.cumsum(values)] for values in (scene.energies, scene.jesa_energies))
    rounds = np.arange(len(own))
    axes.plot(rounds, reference, "o--", color="tab:orange", ms=6, label=f"JESA, same rounds: {reference[-1]:.4g} mJ")
    axes.plot(rounds, own, "o-", color="tab:blue", ms=4, label=f"this episode: {own[-1]:.4g} mJ")
    axes.set(
        title=f"Energy so far, {len(rounds) - 1} complete round{'s' * (len(rounds) != 2)}",
        xlabel="layer l",
        ylabel="energy [mJ]",
        xlim=(0, scene.round.config.num_layers),
    )
    axes.set_ylim(bottom=0)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.grid(alpha=0.3)
    # the curves rise to the right
    axes.legend(loc="lower right")


def _fold(values: np.ndarray, height: int, width: int) -> np.ndarray:
    """The largest value of every block of `height` x `width`; blocks at the edges may be smaller."""
    rows = np.maximum.reduceat(values, np.arange(0, values.shape[0], height), axis=0)
    return np.maximum.reduceat(rows, np.arange(0, values.shape[1], width), axis=1)


def _mark(axes: Axes, marked: np.ndarray) -> None:
    """A dot on every marked cell, as large as the cells allow."""
    box = axes.get_window_extent()
    cell = min(box.width / marked.shape[1], box.height / marked.shape[0]) * 72 / DOTS_PER_INCH
    rows, columns = np.nonzero(marked)
    size = float(np.clip(0.6 * cell, 4.5 if len(rows) < 80 else 2.5, 11))
    axes.plot(columns, rows, "o", color=MARK, ms=size, mec="white", mew=min(1.0, size / 8))


def _whole_ticks(axes: Axes, count: int, block: int = 1, *, vertical: bool = False) -> None:
    """Ticks at about 16 positions, named by the first index of each block."""
    step = next(step for step in (1, 2, 4, 8, 16, 32, 64, count) if count / step <= 16)
    positions = range(0, count, step)
    (axes.set_yticks if vertical else axes.set_xticks)(positions, [str(position * block) for position in positions])


def _node_ticks(axes: Axes, nodes: int, states: int) -> None:
    """One tick per node in the middle of its hidden states, and lines between nodes."""
    step = -(-nodes // 16)
    axes.set_yticks(
        [node * states + (states - 1) / 2 for node in range(0, nodes, step)],
        [str(node) for node in range(0, nodes, step)],
    )
    if states > 1 and nodes <= 16:
        axes.hlines([node * states - 0.5 for node in range(1, nodes)], *axes.get_xlim(), color="grey", lw=0.6)

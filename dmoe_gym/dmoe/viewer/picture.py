"""One scene as a picture: four panels on a Matplotlib figure that no global state knows of."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from dmoe_gym.canvas import fold, four_panels, head, mark, pixels, running_sums, whole_ticks
from dmoe_gym.dmoe.viewer.scene import Scene, batteries, outcome, sizes, title

# The channel panel shows at most this many rows and columns; more are folded, the largest value of each block stays.
MOST_ROWS, MOST_COLUMNS = 72, 128
# A node's cells carry numbers up to this many nodes.
MOST_NUMBERED = 10


def draw(scene: Scene) -> np.ndarray:
    """(800, 1280, 3) uint8."""
    figure, grid = four_panels()
    head(figure, title(scene), sizes(scene), ", ".join(outcome(scene, digits=4)))
    _gate_scores(figure.add_subplot(grid[0, 0]), scene)
    _channel(figure.add_subplot(grid[0, 1]), scene)
    _schedule(figure.add_subplot(grid[1, 0]), scene)
    running_sums(
        figure.add_subplot(grid[1, 1]),
        1e3 * scene.energies,
        1e3 * scene.jesa_energies,
        "JESA, same rounds",
        what="energy",
        unit="mJ",
        steps=scene.round.config.num_layers,
        step="layer l",
    )
    return pixels(figure)


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
    whole_ticks(axes, experts)
    _node_ticks(axes, nodes, states)
    if scene.schedule is not None:
        mark(axes, scene.schedule.selected.reshape(nodes * states, experts))


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
    shown, marks = fold(shown, height, width), fold(marks, height, width)
    image = axes.imshow(
        shown, cmap="GnBu", vmin=0 if height * width == 1 else None, aspect="auto", interpolation="nearest"
    )
    axes.figure.colorbar(image, ax=axes, label="spectral efficiency [bit/s/Hz]", pad=0.015)
    columns = "subcarrier m" if width == 1 else f"subcarrier m, best of {width} in each column"
    axes.set(title="Channel (red: allocated)", xlabel=columns, ylabel=rows)
    whole_ticks(axes, shown.shape[1], width)
    if links <= MOST_ROWS:
        names = [f"{i}→{j}" for i, j in np.argwhere(off_diagonal)]
        step = -(-links // 30)
        axes.set_yticks(range(0, links, step), names[::step], size=8 if links > 14 else 9)
    else:
        whole_ticks(axes, shown.shape[0], height, vertical=True)
    if scene.schedule is not None:
        mark(axes, marks)


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
    whole_ticks(axes, nodes)
    whole_ticks(axes, nodes, vertical=True)
    if numbered and (left := batteries(scene)):
        # millijoules that arrived are in the text; here a plus has to do
        shares = [share.split("(")[0] + "+" * ("(" in share) for share in left]
        axes.set_yticks(range(nodes), [f"{node}: {share}" for node, share in enumerate(shares)], size=9)
        axes.set(ylabel="", title=axes.get_title() + "; batteries" + ", + filled" * (scene.round.harvested is not None))
    if scene.round.blocked is not None:
        rows, columns = np.nonzero(scene.round.blocked & ~np.eye(nodes, dtype=bool))
        axes.plot(columns, rows, "x", color="black", ms=min(16.0, 160 / nodes), mew=1.5, alpha=0.45)
        axes.set(title=str(axes.get_title()) + " (cross: blocked)")
    if not numbered or scene.schedule is None:
        return
    for i, j in np.argwhere(carried):
        subcarriers = np.flatnonzero(scene.schedule.allocated[i, j])
        where = "own" if i == j else "m" + ",".join(map(str, subcarriers)) if len(subcarriers) else "none"
        dark = carried[i, j] > 0.6 * config.num_states
        axes.text(
            j, i, where, ha="center", va="center", size=11 if nodes <= 6 else 9, color="white" if dark else "black"
        )


def _node_ticks(axes: Axes, nodes: int, states: int) -> None:
    """One tick per node in the middle of its hidden states, and lines between nodes."""
    step = -(-nodes // 16)
    axes.set_yticks(
        [node * states + (states - 1) / 2 for node in range(0, nodes, step)],
        [str(node) for node in range(0, nodes, step)],
    )
    if states > 1 and nodes <= 16:
        axes.hlines([node * states - 0.5 for node in range(1, nodes)], *axes.get_xlim(), color="grey", lw=0.6)

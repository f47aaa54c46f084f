"""One scene as a picture: four panels on a Matplotlib figure that no global state knows of."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes

from dmoe_gym.canvas import MARK, four_panels, head, mark, pixels, running_sums, whole_ticks
from dmoe_gym.wdmoe.physics.latency import latency
from dmoe_gym.wdmoe.viewer.scene import Scene, outcome, sizes, title

# Devices carry numbers of tokens and bandwidths up to this many.
MOST_NUMBERED = 12


def draw(scene: Scene) -> np.ndarray:
    """(800, 1280, 3) uint8."""
    figure, grid = four_panels()
    head(figure, title(scene), sizes(scene), ", ".join(outcome(scene)))
    _gate_weights(figure.add_subplot(grid[0, 0]), scene)
    _device_times(figure.add_subplot(grid[0, 1]), scene)
    _links(figure.add_subplot(grid[1, 0]), scene)
    running_sums(
        figure.add_subplot(grid[1, 1]),
        1e3 * scene.latencies,
        1e3 * scene.greedy_latencies,
        "greedy, same blocks",
        what="latency",
        unit="ms",
        steps=scene.block.config.num_blocks,
        step="block",
    )
    return pixels(figure)


def _gate_weights(axes: Axes, scene: Scene) -> None:
    weights = scene.block.gate_weights
    image = axes.imshow(weights, cmap="Blues", vmin=0, vmax=1, aspect="auto", interpolation="nearest")
    axes.figure.colorbar(image, ax=axes, label="gate weight", pad=0.02)
    axes.set(title="Gate weights (red: selected)", xlabel="device k", ylabel="token j")
    whole_ticks(axes, weights.shape[1])
    whole_ticks(axes, weights.shape[0], vertical=True)
    if scene.allocation is not None:
        mark(axes, scene.allocation.selected)


def _device_times(axes: Axes, scene: Scene) -> None:
    devices = np.arange(scene.block.config.num_devices)
    axes.set(title="Time of every device", xlabel="device k", ylabel="time [ms]", xlim=(-0.6, len(devices) - 0.4))
    whole_ticks(axes, len(devices))
    axes.grid(axis="y", alpha=0.3)
    axes.set_axisbelow(True)
    if scene.allocation is None:
        axes.text(0.5, 0.5, "nothing decided yet", ha="center", transform=axes.transAxes)
        return
    times = latency(scene.block, scene.allocation)
    bottom = np.zeros(len(devices))
    for part, label, color in (
        (times.device_downlink, "downlink", "tab:blue"),
        (times.device_uplink, "uplink", "tab:cyan"),
        (times.device_computation, "computation", "tab:olive"),
    ):
        axes.bar(devices, 1e3 * part, 0.7, bottom=bottom, label=label, color=color)
        bottom += 1e3 * part
    axes.axhline(1e3 * times.total, color=MARK, ls="--", label=f"block latency {1e3 * times.total:.4g} ms")
    # room for the numbers and, above them, the legend
    axes.set_ylim(0, 1e3 * times.total * 1.45)
    axes.legend(loc="upper center", ncols=4)
    if len(devices) > MOST_NUMBERED:
        return
    for k in devices:
        tokens, bandwidth = int(scene.allocation.tokens[k]), scene.allocation.bandwidth[k]
        text = f"{tokens} token{'s' * (tokens != 1)}\n{1e-6 * bandwidth:.3g} MHz" if tokens else "no tokens"
        # on white: some stand on the dashed line
        axes.text(
            float(k), bottom[k] + 0.03e3 * times.total, text, ha="center", va="bottom", size=9,
            bbox={"color": "white", "pad": 1.0},
        )  # fmt: skip


def _links(axes: Axes, scene: Scene) -> None:
    devices = np.arange(scene.block.config.num_devices)
    for offset, values, label, color in (
        (-0.2, scene.efficiency[0], "downlink", "tab:blue"),
        (0.2, scene.efficiency[1], "uplink", "tab:cyan"),
    ):
        axes.bar(devices + offset, values, 0.4, label=label, color=color)
    axes.set(
        title="Links as seen, over an equal share",
        xlabel="device k",
        ylabel="bit/s/Hz",
        xlim=(-0.6, len(devices) - 0.4),
        ylim=(0, 1.3 * float(scene.efficiency.max())),
    )
    whole_ticks(axes, len(devices))
    axes.grid(axis="y", alpha=0.3)
    axes.set_axisbelow(True)
    axes.legend(loc="upper right", ncols=2)

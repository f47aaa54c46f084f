"""One input as text or as a picture: the image, the experts' SNRs with the selected ones, the output."""

from __future__ import annotations

import numpy as np

SHADES = " .:-=+*#%@"


def text(image: np.ndarray, label: int, snr: np.ndarray, selected: np.ndarray, output: np.ndarray | None) -> str:
    """Arguments: image (H, W) from -1 to 1, its label, linear SNRs (K,), selection (K,), output (C,) or None."""
    levels = np.clip((image + 1) / 2 * (len(SHADES) - 1), 0, len(SHADES) - 1).round().astype(int)
    lines = ["".join(2 * SHADES[level] for level in row) for row in levels]
    for k, value in enumerate(10 * np.log10(np.maximum(snr, 1e-12))):
        mark = "selected" if output is not None and selected[k] else ""
        lines.append(f"expert {k}: SNR {value:6.1f} dB {mark}".rstrip())
    if output is None:
        return "\n".join([*lines, f"label {label}, not decided yet"])
    answer = int(output.argmax())
    verdict = "right" if answer == label else "wrong"
    return "\n".join([*lines, f"label {label}, answer {answer} with probability {output[answer]:.2f}: {verdict}"])


def picture(
    image: np.ndarray, label: int, snr: np.ndarray, selected: np.ndarray, output: np.ndarray | None
) -> np.ndarray:
    """(height, width, 3) uint8; arguments as in `text`."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9.0, 3.2), dpi=100, layout="constrained")
    canvas = FigureCanvasAgg(figure)
    left, middle, right = figure.subplots(1, 3, width_ratios=(1, 1.2, 1.4))
    left.imshow(image, cmap="gray_r", vmin=-1, vmax=1)
    left.set_xticks([])
    left.set_yticks([])
    left.set_title(f"input, label {label}", fontsize=10)
    chosen = selected & (output is not None)
    snr_db = np.clip(10 * np.log10(np.maximum(snr, 1e-12)), -30, 30)
    middle.bar(range(len(snr)), snr_db, color=["tab:red" if one else "tab:gray" for one in chosen])
    middle.axhline(0, color="black", linewidth=0.8)
    middle.set_ylim(-30, 30)
    middle.set_xticks(range(len(snr)))
    middle.set_xlabel("expert (selected: red)")
    middle.set_ylabel("SNR [dB]")
    if output is None:
        right.set_title("not decided yet", fontsize=10)
        output = np.zeros(10)
    else:
        verdict = "right" if int(output.argmax()) == label else "wrong"
        right.set_title(f"answer {int(output.argmax())}: {verdict}", fontsize=10)
    right.bar(range(len(output)), output, color=["tab:green" if c == label else "tab:blue" for c in range(len(output))])
    right.set_ylim(0, 1)
    right.set_xticks(range(len(output)))
    right.set_xlabel("class (label: green)")
    right.set_ylabel("probability")
    canvas.draw()
    return np.asarray(canvas.buffer_rgba())[..., :3].copy()

"""Tables and verdicts of a sweep, as markdown; every figure is computed from its rows."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Sequence

import numpy as np

from dmoe_gym.gating.statistics import (
    BEST_SNR,
    BEST_SNR_SAME_EXPERTS,
    CHANNEL_AWARE,
    LABELS,
    NAIVE,
    NAIVE_STAGE_ONE,
    Accuracies,
    Interval,
    interval,
)
from dmoe_gym.gating.sweep import TRANSMISSIONS, Row, SweepConfig

CODING_PAIRS = (
    ("analog_repetition3", "analog"),
    ("digital_repetition3", "digital_uncoded"),
    ("digital_hamming74", "digital_uncoded"),
    ("digital_golay2312", "digital_uncoded"),
)


def to_csv(rows: Iterable[Row]) -> str:
    """The rows with a header line."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(Row._fields)
    writer.writerows(rows)
    return text.getvalue()


def accuracy_tables(accuracies: Accuracies, config: SweepConfig) -> str:
    """One table per transmission: accuracy [%] of every chooser at every spread."""
    parts = []
    for name in accuracies.transmissions:
        uses = TRANSMISSIONS[name].channel_uses(config.networks(name, "channel_aware").feature_size)
        lines = [
            [label, *(_percent(interval(values)) for values in accuracies.of(name, chooser))]
            for chooser, label in LABELS.items()
        ]
        header = ["accuracy [%]", *(f"{spread:g} dB" for spread in accuracies.spreads_db)]
        parts.append(f"**{name}**, {uses:g} channel uses per feature vector\n\n{markdown_table(header, lines)}")
    return "\n\n".join(parts)


def gain_table(accuracies: Accuracies) -> str:
    """Paired differences of the channel-aware gate to other choosers, in points, with the verdict over the sweep."""
    lines = []
    for name in accuracies.transmissions:
        for chooser in (NAIVE, NAIVE_STAGE_ONE, BEST_SNR, BEST_SNR_SAME_EXPERTS):
            gain = accuracies.gain(name, CHANNEL_AWARE, chooser)
            lines.append([name, LABELS[chooser], *_gain_cells(gain)])
    header = [
        "transmission",
        "channel-aware gate minus",
        *(f"{spread:g} dB" for spread in accuracies.spreads_db),
        "mean",
    ]
    return markdown_table([*header, "verdict on the mean"], lines)


def coding_table(accuracies: Accuracies) -> str:
    """Paired gains from coding, and how much more digital repetition brings than analog repetition of the same rate."""
    lines = []
    for chooser in (CHANNEL_AWARE, NAIVE):
        gains = {
            coded: accuracies.coding_gain(coded, plain, chooser)
            for coded, plain in CODING_PAIRS
            if {coded, plain} <= set(accuracies.transmissions)
        }
        lines += [
            [LABELS[chooser], f"{coded} minus {dict(CODING_PAIRS)[coded]}", *_gain_cells(gain)]
            for coded, gain in gains.items()
        ]
        if {"analog_repetition3", "digital_repetition3"} <= set(gains):
            excess = gains["digital_repetition3"] - gains["analog_repetition3"]
            lines.append(
                [LABELS[chooser], "digital repetition gain minus analog repetition gain", *_gain_cells(excess)]
            )
    header = ["gate", "gain", *(f"{spread:g} dB" for spread in accuracies.spreads_db), "mean"]
    return markdown_table([*header, "verdict on the mean"], lines)


def results_markdown(rows: Sequence[Row], config: SweepConfig, command: str) -> str:
    """The whole results section: command, then gains, coding and accuracies for every mean SNR."""
    parts = [
        f"Made by `{command}`. {config.seeds} seeds; ± is half a 95 % interval over seeds (Student's t). Columns are "
        "the standard deviation of the experts' SNRs; gains are paired differences in points of accuracy."
    ]
    for mean_db in config.means_db:
        accuracies = Accuracies(rows, mean_db)
        parts += [
            f"## Mean SNR {mean_db:g} dB",
            "### Channel-aware gate against the others",
            gain_table(accuracies),
            "### Gain from channel coding",
            coding_table(accuracies),
            "### Accuracy",
            accuracy_tables(accuracies, config),
        ]
    return "\n\n".join(parts) + "\n"


def markdown_table(header: Sequence[str], lines: Iterable[Sequence[str]]) -> str:
    """A pipe table."""
    rows = [header, ["---"] * len(header), *lines]
    return "\n".join("| " + " | ".join(row) + " |" for row in rows)


def _gain_cells(gain: np.ndarray) -> list[str]:
    """One cell per spread, the mean over the sweep, and the verdict on that mean; `gain` is (spreads, seeds)."""
    overall = interval(gain.mean(axis=0))
    verdict = {1: "better", 0: "no difference shown", -1: "worse"}[overall.sign]
    return [*(_points(interval(values)) for values in gain), _points(overall), verdict]


def _percent(value: Interval) -> str:
    return f"{100 * value.mean:.1f} ± {100 * value.half_width:.1f}"


def _points(value: Interval) -> str:
    return f"{100 * value.mean:+.1f} ± {100 * value.half_width:.1f}"

"""Tables and verdicts of the experiment, as Markdown; every figure is computed from its rows."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from dmoe_gym.evaluation.statistics import Interval, two_way_mean
from dmoe_gym.evaluation.table import markdown_table
from dmoe_gym.gating.scenarios import TRANSMISSIONS
from experiments.gating.accuracies import (
    BEST_SNR,
    BEST_SNR_SAME_EXPERTS,
    CHANNEL_AWARE,
    LABELS,
    NAIVE,
    NAIVE_STAGE_ONE,
    Accuracies,
    Row,
)

CODING_PAIRS = {
    "analog_repetition3": "analog",
    "digital_repetition3": "digital_uncoded",
    "digital_hamming74": "digital_uncoded",
    "digital_golay2312": "digital_uncoded",
}
OTHERS = (NAIVE, NAIVE_STAGE_ONE, BEST_SNR, BEST_SNR_SAME_EXPERTS)


def results_markdown(
    rows: Sequence[Row],
    means_db: Sequence[float],
    spreads_db: Sequence[float],
    split: str,
    repeats: int,
    feature_size: int,
) -> str:
    """The whole results section: verdicts, gains, coding, and accuracies at the middle mean SNR."""
    sweep = [Accuracies(rows, mean_db) for mean_db in means_db]
    shown = middle(means_db)
    parts = [
        f"{len(sweep[0].seeds)} seeds, {split} images, {repeats} channel draws per image. Brackets hold 95 % intervals "
        "over seeds and images (two-way random effects: the images are the same for all seeds); differences are paired "
        "by seed, image and channel and in points of accuracy. Mean SNRs and spreads: the SNRs of an input's experts "
        f"are normal in dB with mean {_listed(means_db)} dB and standard deviation {_listed(spreads_db)} dB.",
        "**Verdicts**",
        verdicts(sweep),
        "**Channel-aware gate minus another choice**, mean over the spreads. The naive gate has the same two stages of "
        'training; "same experts" hears the answers of the channel-aware gate\'s own experts.',
        gain_table(sweep),
        "**Channel-aware gate minus naive gate by the spread of the SNRs**, mean over the mean SNRs, in points.",
        spread_table(sweep),
        *coding_parts(sweep),
        f"**Accuracy at mean SNR {shown:g} dB** by the standard deviation of the experts' SNRs [%]",
        accuracy_tables(Accuracies(rows, shown), feature_size),
    ]
    return "\n\n".join(part.strip() for part in parts) + "\n"


def verdicts(sweep: Sequence[Accuracies]) -> str:
    """Each claim with the difference that decides it, averaged over all mean SNRs and spreads."""
    names = sweep[0].transmissions
    lines = []
    for name in (name for name in names if name in ("analog", "digital_uncoded")):
        for chooser in (NAIVE, NAIVE_STAGE_ONE):
            gains = [accuracies.gain(name, CHANNEL_AWARE, chooser) for accuracies in sweep]
            overall = overall_interval(gains)
            lines.append(
                f"- The channel-aware gate is above the {LABELS[chooser]}, {_plain(name)}: {_verdict(overall)}, "
                f"{_points(overall)} points; {_cells_above(gains)}."
            )
    if {"analog", "analog_repetition3", "digital_uncoded", "digital_repetition3"} <= set(names):
        for chooser in (CHANNEL_AWARE, NAIVE):
            excess = [
                accuracies.coding_gain("digital_repetition3", "digital_uncoded", chooser)
                - accuracies.coding_gain("analog_repetition3", "analog", chooser)
                for accuracies in sweep
            ]
            overall = overall_interval(excess)
            lines.append(
                f"- Digital transmission is more sensitive to channel coding, {LABELS[chooser]}: {_verdict(overall)}, "
                f"threefold repetition brings digital {_points(overall)} points more than analog; "
                f"{_cells_above(excess)}."
            )
    return "\n".join(lines) or "- The claims need the transmissions analog and digital_uncoded."


def overall_interval(differences: Sequence[np.ndarray]) -> Interval:
    """Of the mean over everything; `differences` are (spreads, seeds, images), one per mean SNR."""
    return two_way_mean(np.mean([part.mean(axis=0) for part in differences], axis=0))


def gain_table(sweep: Sequence[Accuracies]) -> str:
    """Paired differences of the channel-aware gate to other choosers, one line per transmission and mean SNR."""
    others = [chooser for chooser in OTHERS if chooser in sweep[0].choosers]
    headings = ["transmission, mean SNR", *(f"minus {LABELS[chooser]}" for chooser in others)]
    body = [
        [
            f"{_plain(name)}, {accuracies.mean_db:g} dB",
            *(_points(_mean(accuracies.gain(name, CHANNEL_AWARE, chooser))) for chooser in others),
        ]
        for name in sweep[0].transmissions
        for accuracies in sweep
    ]
    return markdown_table(headings, body)


def spread_table(sweep: Sequence[Accuracies]) -> str:
    """Paired differences of the two gates, one line per transmission, one column per spread."""
    body = []
    for name in sweep[0].transmissions:
        gain = np.mean([accuracies.gain(name, CHANNEL_AWARE, NAIVE) for accuracies in sweep], axis=0)
        body.append([_plain(name), *(_points(two_way_mean(values)) for values in gain)])
    return markdown_table(["transmission", *(f"{spread:g} dB" for spread in sweep[0].spreads_db)], body)


def coding_pairs(accuracies: Accuracies) -> dict[str, str]:
    """Coded and plain transmissions of which there are rows of both."""
    known = set(accuracies.transmissions)
    return {coded: plain for coded, plain in CODING_PAIRS.items() if {coded, plain} <= known}


def coding_parts(sweep: Sequence[Accuracies]) -> list[str]:
    """Paired gains from coding, one line per code and gate, one column per mean SNR; nothing without a code."""
    headings = ["code, gate", *(f"{accuracies.mean_db:g} dB" for accuracies in sweep)]
    body = [
        [
            f"{_plain(coded)}, {LABELS[chooser]}",
            *(_points(_mean(accuracies.coding_gain(coded, plain, chooser))) for accuracies in sweep),
        ]
        for coded, plain in coding_pairs(sweep[0]).items()
        for chooser in (CHANNEL_AWARE, NAIVE)
    ]
    about = (
        "**Gain from channel coding**, mean over the spreads, in points. A code of rate r takes 1/r times the channel "
        "uses and the energy."
    )
    return [about, markdown_table(headings, body)] if body else []


def accuracy_tables(accuracies: Accuracies, feature_size: int) -> str:
    """One table per transmission: accuracy [%] of every chooser at every spread."""
    parts = []
    for name in accuracies.transmissions:
        uses = TRANSMISSIONS[name].channel_uses(feature_size)
        body = [
            [label, *(_percent(two_way_mean(values)) for values in accuracies.of(name, chooser))]
            for chooser, label in LABELS.items()
            if chooser in accuracies.choosers
        ]
        headings = [_plain(name), *(f"{spread:g} dB" for spread in accuracies.spreads_db)]
        parts.append(f"{_plain(name)}, {uses:g} channel uses per feature vector:\n\n{markdown_table(headings, body)}")
    return "\n".join(parts)


def middle(values: Sequence[float]) -> float:
    """The middle one of sorted values, the upper of two."""
    return sorted(values)[len(values) // 2]


def _mean(gain: np.ndarray) -> Interval:
    """Over the spreads; `gain` is (spreads, seeds, images)."""
    return two_way_mean(gain.mean(axis=0))


def _cells_above(differences: Sequence[np.ndarray]) -> str:
    signs = [two_way_mean(values).sign for part in differences for values in part]
    return (
        f"of {len(signs)} pairs of mean SNR and spread, {signs.count(1)} intervals lie above 0 and {signs.count(-1)} "
        "below"
    )


def _verdict(interval: Interval) -> str:
    return {1: "**confirmed**", 0: "**not confirmed**", -1: "**contradicted**"}[interval.sign]


def _plain(name: str) -> str:
    return name.replace("_", " ")


def _listed(values: Sequence[float]) -> str:
    return ", ".join(f"{value:g}" for value in values)


def _percent(interval: Interval) -> str:
    return f"{interval * 100:.1f}"


def _points(interval: Interval) -> str:
    return f"{interval * 100:+.1f}"

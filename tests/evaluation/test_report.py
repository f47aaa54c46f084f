"""Pictures of a report show the figures of the rows: read back from the axes, against means and intervals."""

from __future__ import annotations

import numpy as np
import pytest
from matplotlib.figure import Figure

from dmoe_gym.evaluation import Interval, line_up_of, read_rows
from dmoe_gym.evaluation.report import (
    BASELINE_COLOUR,
    LEARNED_COLOURS,
    OPTIMUM_COLOUR,
    draw_bars,
    learning_curves,
    write_report,
)
from dmoe_gym.evaluation.tensorboard import scores

LINE_UP = line_up_of("DMoE-JESA-v0", "small")


def rows_of(policy, costs, **fields):
    return [
        {"policy": policy, "env_id": "DMoE-JESA-v0", "seed": seed, "cost": cost, **fields}
        for seed, cost in enumerate(costs)
    ]


@pytest.fixture
def references():
    generator = np.random.default_rng(0)
    return [
        row
        for name, mean in (("random", 9.0), ("JESA", 2.0), ("exact", 1.0))
        for row in rows_of(name, mean + generator.random(8))
    ]


def test_bars_are_means_and_their_whiskers_the_intervals(references):
    axes = Figure().subplots()
    mine = rows_of("mine", [3.0, 4.0, 6.0])
    names = ["random", "mine", "JESA", "exact"]
    draw_bars(axes, [*references, *mine], names, "cost", LINE_UP, ["mine"])
    costs = {name: [row["cost"] for row in [*references, *mine] if row["policy"] == name] for name in names}
    bars = axes.containers[-1] if len(axes.containers[-1]) == 4 else axes.containers[0]
    whiskers = next(line for line in axes.collections if hasattr(line, "get_segments")).get_segments()
    for bar, whisker, name in zip(bars, whiskers, names, strict=True):
        interval = Interval.of(costs[name])
        assert bar.get_width() == pytest.approx(np.mean(costs[name]))
        np.testing.assert_allclose(np.sort(whisker[:, 0]), [interval.low, interval.high])
    assert [text.get_text() for text in axes.texts] == [f"{np.mean(costs[name]):#.4g}" for name in names]
    colours = [tuple(bar.get_facecolor()) for bar in bars]
    for colour, expected in zip(
        colours, (BASELINE_COLOUR, LEARNED_COLOURS[0], BASELINE_COLOUR, OPTIMUM_COLOUR), strict=True
    ):
        np.testing.assert_allclose(colour, Figure().subplots().bar([0], [1], color=expected)[0].get_facecolor())
    (dashed,) = [line for line in axes.lines if len(set(line.get_xdata())) == 1 and line.get_linestyle() == "--"]
    assert dashed.get_xdata()[0] == pytest.approx(np.mean(costs["exact"]))


def test_one_episode_has_a_bar_without_whiskers(references):
    axes = Figure().subplots()
    draw_bars(axes, [*rows_of("mine", [3.0]), *references], ["mine", "exact"], "cost", LINE_UP, ["mine"])
    assert axes.texts[0].get_text() == "3.000"
    assert axes.texts[0].xy == (3.0, 0)
    assert np.isfinite(axes.get_xlim()).all()


def test_curves_go_through_the_means_of_every_evaluation(references, tmp_path, monkeypatch):
    drawn = []
    monkeypatch.setattr(Figure, "savefig", lambda figure, *_: drawn.append(figure))
    curve = [*rows_of("mine", [8.0, 6.0], step=0), *rows_of("mine", [3.0, 2.0], step=50)]
    learning_curves(tmp_path / "curves.png", {"mine": curve}, references, LINE_UP)
    whole, near = drawn[0].axes
    for axes in (whole, near):
        line = next(line for line in axes.lines if line.get_label() == "mine")
        np.testing.assert_allclose(line.get_xdata(), [0, 50])
        np.testing.assert_allclose(line.get_ydata(), [7.0, 2.5])
        flat = {line.get_label().partition(" ")[0]: line.get_ydata()[0] for line in axes.lines[1:]}
        for name in ("random", "JESA", "exact"):
            assert flat[name] == pytest.approx(np.mean([row["cost"] for row in references if row["policy"] == name]))


def test_scores_in_closed_form():
    assert scores(3.0, 5.0, 2.0) == pytest.approx({"gap_to_optimum": 0.5, "normalized_score": 2 / 3})
    assert scores(1.0, 1.0, 0.0)["gap_to_optimum"] == np.inf


def test_a_report_has_its_table_and_pictures_and_says_what_made_it(references, tmp_path):
    mine = rows_of("mine", [3.0] * 8, step=10)
    file = write_report(tmp_path, "A title", "a command", [*references, *mine], LINE_UP, curves={"mine": mine})
    text = file.read_text()
    assert text.startswith("# A title\n\nMade by `a command`. Every policy ran the same 8 held-out episodes")
    assert "| mine | 3.0000 [3.0000, 3.0000] |" in text
    for picture in ("costs.png", "learning_curves.png"):
        assert f"]({picture})" in text
        assert (tmp_path / picture).stat().st_size > 1000
    assert read_rows(tmp_path / "rows.csv") == [*references, *mine]


def test_near_the_optimum_both_the_strongest_and_the_learned_are_seen(references, tmp_path, monkeypatch):
    drawn = []
    monkeypatch.setattr(Figure, "savefig", lambda figure, *_: drawn.append(figure))
    learning_curves(tmp_path / "curves.png", {"mine": rows_of("mine", [4.0], step=1)}, references, LINE_UP)
    low, high = drawn[0].axes[1].get_ylim()
    means = {name: np.mean([row["cost"] for row in references if row["policy"] == name]) for name in ("JESA", "exact")}
    assert low < means["exact"] < means["JESA"] < 4.0 < high

"""The accuracy experiment: its arithmetic on known accuracies, its pieces, and training one model as a command."""

from __future__ import annotations

import re

import numpy as np
import pytest
from typer.testing import CliRunner

from dmoe_gym.__main__ import app
from dmoe_gym.gating import GatedModel
from experiments.gating.accuracies import CHANNEL_AWARE, NAIVE, Accuracies, GatingNetworks, GatingTuning, Row
from experiments.gating.sweep import Gating, train_and_measure
from experiments.gating.tables import verdicts
from experiments.runner import Runner

QUICK = {"stage_one_epochs": 1, "stage_two_epochs": 1}


def test_differences_are_paired_by_seed():
    right = np.array([0.0, 0.2])
    rows = [Row("analog", "channel_aware", "gate", 5.0, 0.0, seed, 0.7 + 0.01 * seed + right) for seed in range(3)]
    rows += [Row("analog", "naive", "gate", 5.0, 0.0, seed, 0.6 + 0.01 * seed + right) for seed in reversed(range(3))]
    np.testing.assert_allclose(Accuracies(rows, 5.0).gain("analog", CHANNEL_AWARE, NAIVE), np.full((1, 3, 2), 0.1))


@pytest.fixture
def quick() -> Gating:
    return Gating(
        means_db=(0.0,),
        seeds=2,
        repeats=1,
        spreads_db=(0.0, 6.0),
        transmissions=("analog", "digital_uncoded", "digital_hamming74"),
        gating=QUICK,
    )


def test_the_experiment_goes_on_where_it_stopped_and_shows_its_tables(quick, tmp_path):
    runner = Runner(tmp_path)
    assert runner.run(quick, at_most=3) == 13  # of 2 seeds, 4 gates, 2 kinds of transmission
    assert runner.run(quick) == 0
    values = runner.values(quick)
    # naive_stage_one, naive, best_snr, random: one choice each; channel_aware: four
    assert sum(map(len, values)) == 3 * 2 * 2 * (4 + 4)
    assert all(row.accuracy.shape == (360,) and set(row.accuracy) <= {0.0, 1.0} for rows in values for row in rows)
    page = quick.page(values)
    text = page.sections["docs/reports/gating.md", "gating-experiment"]
    assert "digital hamming74, 56 channel uses" in text
    assert "2 seeds, test images, 1 channel draws per image" in text
    assert set(page.pictures) == {"docs/images/gating_accuracy.png", "docs/images/gating_gains.png"}


def test_with_two_gates_the_page_holds_their_rows_alone(quick, tmp_path):
    two = quick.replace(gates=("naive", "channel_aware"), transmissions=("analog",))
    runner = Runner(tmp_path)
    assert runner.run(two) == 0
    assert [piece.key["gate"] for piece in two.pieces()] == ["naive", "channel_aware"] * 2
    text = two.page(runner.values(two)).sections["docs/reports/gating.md", "gating-experiment"]
    assert "| naive gate |" in text
    assert "channel coding" not in text  # one transmission alone
    assert "| random, channel-aware gate's experts |" in text
    assert "| random |" not in text
    assert "minus best SNR |" not in text


def test_pieces_say_what_they_depend_on(quick):
    """More seeds add pieces and change none; other networks, channels or images change all."""
    keys = [str(piece) for piece in quick.pieces()]
    assert [str(piece) for piece in quick.replace(seeds=3).pieces()][: len(keys)] == keys
    for change in ({"repeats": 2}, {"split": "validation"}, {"gating": {}}, {"spreads_db": (6.0,)}):
        assert not set(keys) & {str(piece) for piece in quick.replace(**change).pieces()}


def test_verdicts_follow_the_data():
    """Gains of opposite signs give opposite verdicts, and none where seeds disagree."""
    words = []
    for gains in ((0.05, 0.06, 0.05), (-0.05, -0.06, -0.05), (0.05, -0.06, 0.0)):
        rows = []
        for seed, gain in enumerate(gains):
            for trained_with, accuracy in (("naive", 0.8), ("naive_stage_one", 0.8), ("channel_aware", 0.8 + gain)):
                rows.append(Row("analog", trained_with, "gate", 0.0, 6.0, seed, np.full(4, accuracy)))
        text = verdicts([Accuracies(rows, 0.0)])
        words.append(re.findall(r"\*\*(.*?)\*\*", text))
    assert words == [["confirmed"] * 2, ["contradicted"] * 2, ["not confirmed"] * 2]


def test_rows_of_one_transmission_do_not_depend_on_the_others(quick):
    def of_digital(*transmissions: str) -> list[Row]:
        (key,) = (
            piece.key
            for piece in quick.replace(transmissions=transmissions).pieces()
            if (piece.key["seed"], piece.key["gate"], piece.key["transmissions"][0][:7]) == (1, "naive", "digital")
        )
        return [row for row in train_and_measure(**key) if row.transmission == "digital_uncoded"]

    alone, among = of_digital("digital_uncoded"), of_digital("analog", "digital_uncoded", "digital_golay2312")
    assert len(alone) == len(among) == 4
    for one, other in zip(alone, among, strict=True):
        assert one[:-1] == other[:-1]
        np.testing.assert_array_equal(one.accuracy, other.accuracy)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"transmissions": ("smoke",)}, "transmissions = 'smoke': valid are analog"),
        ({"gating": {"expert": 3}}, "unexpected keyword argument 'expert'"),
        ({"seeds": 1}, "Gating.seeds = 1"),
        ({"dataset": "cifar10"}, "data-root"),
        ({"dataset": "cifar10", "data_root": "/nowhere"}, "no such folder"),
        ({"gates": ["naive", "random"]}, r"gates = \['naive', 'random'\]: channel_aware must be among them"),
        ({"split": "train"}, "Gating.split = 'train'"),
    ],
)
def test_bad_options_are_named(fields, message):
    with pytest.raises((ValueError, OSError), match=message):
        Gating(**fields)


def test_tuning_and_shipped_networks_have_a_piece_for_each():
    assert len(GatingTuning().pieces()) == 2 * 3 * 6 * 2
    assert len(GatingTuning(kinds=("analog",), weight_decays=(0.01,)).pieces()) == 3 * 3 * 2
    text = GatingTuning().page([index / 100 for index in range(72)]).files["output/gating-tuning.md"]
    assert text.count("\n") == 2 + 36
    assert [piece.key["networks"] for piece in GatingNetworks().pieces()] == ["digits_analog", "digits_digital"]


def test_train_command_keeps_weights_and_says_bad_input_in_one_line(tmp_path):
    out = tmp_path / "model.safetensors"
    quick = ["--out", str(out), "--set", "stage_one_epochs=1", "--set", "stage_two_epochs=1", "--gate", "naive"]
    result = CliRunner().invoke(app, ["train-gating", *quick])
    assert result.exit_code == 0, result.output
    assert "validation accuracy" in result.output
    assert GatedModel.load(out).config.gate == "naive"
    assert all(list((tmp_path / f"stage_{stage}").glob("events.out.*")) for stage in (1, 2))
    for arguments, message in (
        (quick, "exists already"),
        (["--dataset", "cifar10"], "--data-root DIR"),
        (["--dataset", "cifar10", "--data-root", "/nowhere"], "no such folder"),
        (["--gate", "smart"], "GatingConfig.gate = 'smart'"),
    ):
        result = CliRunner().invoke(app, ["train-gating", "--out", str(tmp_path / "other"), *arguments])
        assert result.exit_code == 2
        assert message in result.output
        assert result.output.count("\n") == 1

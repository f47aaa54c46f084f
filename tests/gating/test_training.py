"""Two-stage training: gradients, balance, reproducibility, what perfect channels must give."""

from __future__ import annotations

import re
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from dmoe_gym.channel import GaussMarkovConfig
from dmoe_gym.gating import (
    Analog,
    DataSplit,
    Digital,
    GatedModel,
    GatingConfig,
    LabelledImages,
    SNRDistribution,
    evaluate_accuracy,
    networks,
    receive,
    train_two_stage,
)
from dmoe_gym.gating.evaluation import features_of
from dmoe_gym.gating.networks import Experts, mixture
from dmoe_gym.gating.scenarios import SCENARIOS, TUNED, tuned_config
from dmoe_gym.gating.training import hear, load_balance_penalty, loss_terms, train_stage_one
from dmoe_gym.models.reproducible import one_thread


def entropy(load: np.ndarray) -> float:
    """In nats; log K is a perfectly balanced load."""
    present = load[load > 0]
    return float(-(present * np.log(present)).sum())


@pytest.mark.parametrize("transmission", [Analog(), Digital(code="hamming74")], ids=lambda item: item.name)
@pytest.mark.parametrize("gate", ["naive", "channel_aware", "best_snr", "random"])
def test_gradients_reach_every_expert_the_backbone_and_the_gate(digits, gate, transmission):
    torch.manual_seed(0)
    model = GatedModel(GatingConfig(gate=gate))
    generator = np.random.default_rng(0)
    snr = SNRDistribution(spread_db=10.0).draw(generator, 200, 4)
    features = model.features(torch.from_numpy(digits.train.images[:200]))
    answers = model.expert_log_probabilities(hear(features, snr, transmission, generator))
    weights = model.gate_log_weights(features, torch.from_numpy(snr).float())
    loss, penalty = loss_terms(model, weights, answers, torch.from_numpy(digits.train.labels[:200]), generator)
    (loss + penalty).backward()
    for name, parameter in model.named_parameters():
        gradient = parameter.grad.flatten(1) if name.startswith("experts") else parameter.grad.flatten()[None]
        assert torch.isfinite(gradient).all(), name
        assert (gradient.abs().amax(dim=1) > 0).all(), name  # experts are stacked: each row is one expert


def test_output_is_the_weighted_mean_of_the_answers(digits):
    torch.manual_seed(1)
    model = GatedModel(GatingConfig())
    images = torch.from_numpy(digits.train.images[:5])
    with torch.no_grad():
        features = model.features(images)
        weights = model.gate_log_weights(features, torch.full((5, 4), torch.inf)).exp()
        answers = model.expert_log_probabilities(features[:, None].expand(-1, 4, -1)).exp()
        expected = sum(weights[:, k, None] * answers[:, k] for k in range(4))
        torch.testing.assert_close(model(images).exp(), expected)
        torch.testing.assert_close(mixture(weights.log(), answers.log()).exp().sum(dim=1), torch.ones(5))


def test_naive_gate_ignores_the_channel_and_the_channel_aware_gate_does_not():
    features = torch.linspace(-1, 1, 32).reshape(2, 16)
    low, high = torch.full((2, 4), 0.1), torch.tensor([[10.0, 0.1, 0.1, 0.1]] * 2)
    for gate, same in (("naive", True), ("channel_aware", False)):
        torch.manual_seed(2)
        model = GatedModel(GatingConfig(gate=gate))
        assert torch.equal(model.gate_log_weights(features, low), model.gate_log_weights(features, high)) is same


def test_load_balance_penalty_is_the_squared_coefficient_of_variation():
    weights = torch.tensor([[0.7, 0.1, 0.1, 0.1], [0.5, 0.3, 0.1, 0.1]])
    importance = np.array([1.2, 0.4, 0.2, 0.2])
    assert float(load_balance_penalty(weights.log())) == pytest.approx((importance.std() / importance.mean()) ** 2)
    assert float(load_balance_penalty(torch.full((8, 4), 0.25).log())) == pytest.approx(0, abs=1e-12)


def test_same_seed_same_bits_whatever_threads_and_global_generator(digits):
    config = GatingConfig(stage_one_epochs=1, stage_two_epochs=1)
    threads = torch.get_num_threads()
    states = []
    for global_seed, thread_count in ((1, 1), (2, 2)):
        torch.manual_seed(global_seed)
        torch.set_num_threads(thread_count)
        before = torch.random.get_rng_state()
        states.append(train_two_stage(digits, config, seed=5).state_dict())
        assert torch.equal(before, torch.random.get_rng_state())
        assert torch.get_num_threads() == thread_count
    torch.set_num_threads(threads)
    other = train_two_stage(digits, config, seed=6).state_dict()
    for name, tensor in states[0].items():
        assert torch.equal(tensor, states[1][name]), name
    assert not torch.equal(states[0]["backbone.body.1.weight"], other["backbone.body.1.weight"])


def test_perfect_channels_reproduce_the_clean_accuracy(digits, trained):
    """With every expert heard perfectly, accuracy is the networks' own, computed here without the transmission."""
    images, labels = torch.from_numpy(digits.test.images), digits.test.labels
    with torch.no_grad():
        features = trained.features(images)
        weights = trained.gate_log_weights(features, torch.full((len(labels), 4), torch.inf))
        answers = trained.expert_log_probabilities(features[:, None].expand(-1, 4, -1))
        dense = trained(images).argmax(dim=1).numpy()
    top_one = answers[torch.arange(len(labels)), weights.argmax(dim=1)].argmax(dim=1).numpy()
    assert evaluate_accuracy(trained, digits.test, top_k=1) == (top_one == labels).mean()
    assert evaluate_accuracy(trained, digits.test, top_k=4) == (dense == labels).mean()
    very_fine = Digital(bits=16, code="golay2312")
    assert evaluate_accuracy(trained, digits.test, transmission=very_fine) == (top_one == labels).mean()


def test_training_learns_and_noise_costs_accuracy(digits, trained):
    clean = evaluate_accuracy(trained, digits.test)
    noisy = evaluate_accuracy(trained, digits.test, snr=SNRDistribution(mean_db=-10.0, spread_db=0.0))
    assert clean > 0.8  # ten classes: guessing is 0.1
    assert noisy < clean - 0.05


def test_oracle_bounds_every_choice_input_by_input(digits, trained):
    """Its true loss is the smallest of all experts; then hardly a label can be lost by it."""
    reception = receive(trained, digits.test, snr=SNRDistribution(mean_db=-5.0, spread_db=6.0), repeats=2)
    loss = -reception.scores("oracle")
    rows = np.arange(len(loss))
    best = loss[rows, reception.select("oracle").argmax(axis=1)]
    for choice in ("gate", "best_snr", "random"):
        assert (best <= loss[rows, reception.select(choice).argmax(axis=1)]).all()
        assert reception.correct("oracle").mean() >= reception.correct(choice).mean()


def test_choices_select_what_they_say(digits, trained):
    reception = receive(trained, digits.test, snr=SNRDistribution(spread_db=6.0), repeats=20)
    np.testing.assert_array_equal(reception.select("best_snr").argmax(axis=1), reception.snr.argmax(axis=1))
    np.testing.assert_array_equal(reception.select("gate").argmax(axis=1), reception.log_weights.argmax(axis=1))
    assert (reception.select("gate", top_k=3).sum(axis=1) == 3).all()
    counts = reception.select("random").sum(axis=0)
    assert np.abs(counts / counts.sum() - 0.25).max() < 4 * np.sqrt(0.25 * 0.75 / counts.sum())


def test_features_at_hand_change_nothing(digits, trained):
    kwargs = {"snr": SNRDistribution(), "repeats": 2}
    fresh = receive(trained, digits.test, **kwargs)
    again = receive(trained, digits.test, features=features_of(trained, digits.test), **kwargs)
    np.testing.assert_array_equal(fresh.log_answers, again.log_answers)
    none = receive(trained, digits.test, features=torch.zeros(len(digits.test), 16), **kwargs)
    assert not np.array_equal(fresh.log_weights, none.log_weights)


def test_models_meet_the_same_channels(digits, trained, quick_config):
    other = train_two_stage(digits, quick_config.replace(gate="naive", stage_one_epochs=0, stage_two_epochs=0))
    first, second = (receive(model, digits.test, snr=SNRDistribution(), seed=3) for model in (trained, other))
    np.testing.assert_array_equal(first.snr, second.snr)
    np.testing.assert_array_equal(first.ties, second.ties)


def test_tensorboard_scalars(digits, tmp_path):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    train_two_stage(digits, GatingConfig(stage_one_epochs=2, stage_two_epochs=1), log_dir=tmp_path)
    for stage, epochs in ((1, 2), (2, 1)):
        events = EventAccumulator(str(tmp_path / f"stage_{stage}")).Reload()
        assert set(events.Tags()["scalars"]) == {"loss", "accuracy", *(f"gate_load/expert_{k}" for k in range(4))}
        loads = [[event.value for event in events.Scalars(f"gate_load/expert_{k}")] for k in range(4)]
        np.testing.assert_allclose(np.sum(loads, axis=0), np.ones(epochs), atol=1e-6)


def test_bad_input_is_named(digits, trained):
    colour = LabelledImages(np.zeros((4, 3, 8, 8), np.float32), np.zeros(4, np.int64))
    with pytest.raises(ValueError, match=r"images have shape \(3, 8, 8\)"):
        train_two_stage(DataSplit(colour, colour, colour))
    with pytest.raises(ValueError, match=r"label 9, valid is below classes = 5"):
        train_stage_one(digits, GatingConfig(classes=5))
    with pytest.raises(ValueError, match=r"unexpected keyword argument 'expert'.*experts"):
        GatingConfig(expert=3)
    with pytest.raises(ValueError, match=r"training_mean_snr_low_db = 5.0"):
        GatingConfig(training_mean_snr_low_db=5.0, training_mean_snr_high_db=1.0)
    with pytest.raises(ValueError, match=r"choice = 'luck'"):
        evaluate_accuracy(trained, digits.test, choice="luck")
    with pytest.raises(ValueError, match=r"top_k = 5: valid is 1 to 4"):
        evaluate_accuracy(trained, digits.test, top_k=5)
    with pytest.raises(ValueError, match=r"repeats = 0"):
        evaluate_accuracy(trained, digits.test, repeats=0)


def test_load_balance_penalty_prevents_gating_collapse(digits):
    """Load under perfect channels, where nothing but the gate spreads it; log 4 = 1.39 is perfect balance."""
    loads = {}
    for weight in (0.0, 0.1):
        config = GatingConfig(stage_one_epochs=8, stage_two_epochs=8, load_balance_weight=weight)
        models = [train_two_stage(digits, config, seed=seed) for seed in range(3)]
        loads[weight] = [entropy(receive(model, digits.test).load()) for model in models]
    # what a network ends at differs between processors by a few hundredths; 0.9 leaves room on both sides
    assert min(loads[0.0]) < 0.9 < min(loads[0.1])  # not every seed collapses without the penalty, but some do
    assert np.mean(loads[0.1]) > np.mean(loads[0.0]) + 0.2


def test_experts_start_as_torchs_own_layers_do():
    """Uniform within 1 / sqrt(inputs), weights and biases: so say the extremes and the variance of many."""
    experts = Experts(GatingConfig(experts=64, expert_hidden=32, feature_size=16))
    for layer, inputs in ((experts.hidden, 16), (experts.output, 32)):
        bound = inputs**-0.5
        for values in (layer.weight.detach(), layer.bias.detach()):
            assert 0.95 * bound < values.abs().max() <= bound
            assert values.var() == pytest.approx(bound**2 / 3, rel=0.2)


def test_threads_are_put_back():
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        with one_thread():
            assert torch.get_num_threads() == 1
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)


@pytest.mark.parametrize(
    ("dataset", "shape"), [("digits", (8, 1, 10)), ("cifar10", (32, 3, 10)), ("cifar100", (32, 3, 100))]
)
def test_networks_are_tuned_for_digits_and_trained_as_the_page_says_on_cifar(dataset, shape):
    """Fields that are given take precedence, and the random gate has a gate's."""
    config = tuned_config(dataset, "digital_hamming74", "naive")
    assert (config.image_size, config.image_channels, config.classes) == shape
    assert config.gate == "naive"
    said = (Path(__file__).parents[2] / "docs" / "gating.md").read_text()
    epochs = re.search(r"on CIFAR they train (\d+) passes and (\d+) in batches of (\d+)", said)
    trained = (config.stage_one_epochs, config.stage_two_epochs, config.batch_size)
    assert (trained == tuple(map(int, epochs.groups()))) == (dataset != "digits")
    assert (config.learning_rate == TUNED["digital", "naive"]["learning_rate"]) == (dataset == "digits")
    assert tuned_config(dataset, "digital_hamming74", "naive", batch_size=7).batch_size == 7
    one, other = (tuned_config(dataset, "analog", gate) for gate in ("random", "best_snr"))
    assert one == other.replace(gate="random")


def test_scenarios_are_those_of_their_description():
    """`stale`: knowledge is one input old, SNRs differ by the fading alone. The digital ones: 0 dB."""
    stale = SCENARIOS["stale"]
    assert stale.csi.delay_rounds == 1
    assert stale.csi.error_variance == 0
    assert isinstance(stale.channel, GaussMarkovConfig)
    assert (stale.mean_snr_db, stale.snr_spread_db) == (0, 0)
    assert {SCENARIOS[name].mean_snr_db for name in ("digital", "coded")} == {0}
    assert [SCENARIOS[name].transmission.name for name in ("analog", "digital", "coded")] == [
        "analog",
        "digital_uncoded",
        "digital_hamming74",
    ]


@pytest.mark.parametrize("backbone", ["vit", "resnet18"])
def test_backbones_of_torchvision_have_the_documented_sizes(backbone, monkeypatch):
    """8x8 patches, 2 layers of 2 heads, width 64: without torchvision, by what it is asked for."""
    asked = []
    body = torch.nn.Module()
    body.heads = torch.nn.Module()
    body.heads.head = torch.nn.Linear(64, 16)
    torch.nn.init.zeros_(body.heads.head.weight)

    def built(**sizes):
        asked.append(sizes)
        return body

    monkeypatch.setattr(
        networks, "_torchvision", lambda config: SimpleNamespace(VisionTransformer=built, resnet18=built)
    )
    config = GatingConfig(backbone=backbone, image_size=32, image_channels=3, feature_size=16)
    networks.Backbone(config)
    (sizes,) = asked
    assert sizes["num_classes"] == 16
    if backbone == "vit":
        wanted = {"image_size": 32, "patch_size": 8, "num_layers": 2, "num_heads": 2, "hidden_dim": 64}
        assert sizes == {**wanted, "mlp_dim": 128, "num_classes": 16}
        assert body.heads.head.weight.count_nonzero() > 0  # torchvision's start at 0

"""The learned selection: its gradients, its feasibility, its files, and that a price buys what it should."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from dmoe_builders import INFERENCE_JOINT

from agents.importance.classifier import FrozenClassifier, spend
from agents.importance.network import SelectionNetwork, keep_best, link_energies
from agents.importance.policy import LearnedSelection
from agents.importance.report import Run, change_at_equal_accuracy, ratio_change_over_seeds
from agents.importance.storage import load_network, save_network
from agents.importance.training import (
    ImportanceConfig,
    differentiable_inference,
    draw_energies,
    folds_of,
    train_selection,
)
from agents.importance.validation import (
    Questions,
    as_accurate,
    jesa_outcomes,
    out_of_fold_outcomes,
    validation_questions,
)
from dmoe_gym.dmoe.inference import inference_scenario
from dmoe_gym.dmoe.policies import JointPolicy
from dmoe_gym.dmoe.schedulers.rounds import JESA
from dmoe_gym.evaluation import evaluate
from dmoe_gym.models.digits import load_inputs, load_model
from dmoe_gym.models.digits.forward import infer
from dmoe_gym.models.digits.images import DataSplit, LabelledImages, load_digits_split

SYSTEM = inference_scenario("digits")


def network(seed: int = 0, bias: float = 0.0, members: int = 1) -> SelectionNetwork:
    torch.manual_seed(seed)
    made = SelectionNetwork(6, 4, 6, 8, members)
    with torch.no_grad():
        # untrained, its last layer is 0 and the rest has no say
        made.last.normal_(std=0.3)
        made.last_bias += bias
    return made.eval()


def few_questions(count: int) -> Questions:
    """Some of the validation inputs, spread over domains and nodes."""
    every = validation_questions("digits")
    rows = np.linspace(0, len(every.labels) - 1, count).astype(int)
    return Questions(
        every.system,
        every.patches[rows],
        every.labels[rows],
        every.image[rows],
        every.node[rows],
        every.energies[:, rows],
    )


def test_selections_have_at_least_one_and_at_most_d_experts():
    logits = torch.tensor([[-3.0, -2.0, -1.0, -4.0], [1.0, 3.0, 2.0, 4.0], [1.0, -1.0, -1.0, -1.0]])
    expected = torch.tensor([[0, 0, 1, 0], [0, 1, 0, 1], [1, 0, 0, 0]], dtype=torch.bool)
    assert torch.equal(keep_best(logits, 2), expected)


def test_energies_are_those_of_the_physics():
    efficiency = np.full((1, 3, 3), 2.0)
    energies = link_energies(efficiency, np.array([[1.0, 2.0, 3.0]]), 5.0)
    np.testing.assert_allclose(energies[0], [[1, 4.5, 5.5], [3.5, 2, 5.5], [3.5, 4.5, 3]])


def test_links_are_drawn_as_the_best_of_m_rayleigh_subcarriers():
    node = np.random.default_rng(0).integers(6, size=4000)
    energies = draw_energies(SYSTEM, node, np.random.default_rng(1))
    assert energies.shape == (6, 4000, 6)
    # own experts need no radio
    own = energies[0, torch.arange(4000), torch.from_numpy(node)]
    expected = SYSTEM.computation_energy_j[node] / SYSTEM.energy_unit_j
    np.testing.assert_allclose(own.numpy(), expected, rtol=1e-5)
    # the mean of the largest of M exponentials is the harmonic number of M
    remote = energies[:, :, 2].numpy()[:, node != 2] - SYSTEM.computation_energy_j[2] / SYSTEM.energy_unit_j
    transmission = SYSTEM.transmit_power_w * SYSTEM.state_size_bit / SYSTEM.subcarrier_bandwidth_hz
    gains = (2 ** (transmission / SYSTEM.energy_unit_j / remote.astype(float)) - 1) / SYSTEM.mean_snr
    assert gains.mean() == pytest.approx((1 / np.arange(1, 65)).sum(), rel=0.02)


def test_hard_selections_on_the_way_forward_and_gradients_on_the_way_back():
    classifier, made = FrozenClassifier(), network(1, members=2)
    patches = torch.from_numpy(load_inputs("validation").patches[0, :16].copy())
    generator = np.random.default_rng(1)
    node = generator.integers(6, size=16)
    energies = draw_energies(SYSTEM, node, generator)
    price = torch.full((16,), 50.0)
    heard = []

    def recording(layer, states, log_scores, chosen):
        heard.append(chosen.detach())
        return type(classifier).aggregate(classifier, layer, states, log_scores, chosen)

    classifier.aggregate = recording
    class_scores, energy = differentiable_inference(
        classifier, made, patches, SYSTEM, torch.from_numpy(node), energies, price
    )
    selections = torch.stack(heard)
    assert set(selections.round(decimals=5).unique().tolist()) <= {0.0, 1.0}
    rule = selections.round().bool().numpy()
    expected, _ = infer(load_model(), patches.numpy(), lambda layer, scores: rule[layer - 1])
    np.testing.assert_allclose(class_scores.detach().numpy(), expected, atol=1e-3)
    spent = (selections * energies[:, :, None]).sum((0, 2, 3)) / 12
    np.testing.assert_allclose(energy.detach().numpy(), spent.numpy(), rtol=1e-4)
    class_scores.square().sum().backward()
    assert all(parameter.grad[member].abs().sum() > 0 for parameter in made.parameters() for member in range(2))
    assert all(parameter.grad is None for parameter in classifier.parameters())


def test_members_are_networks_of_their_own_and_decide_by_their_mean():
    made, price = network(members=3), torch.full((1, 5), 40.0)
    questions = few_questions(5)
    log_scores = torch.randn(5, 4, 6).log_softmax(-1)
    asked = (questions.node[None], log_scores[None], questions.energies[2][None], price)
    at_once = made(2, *asked)
    alone = torch.cat([made.member(index)(2, *asked) for index in range(3)])
    torch.testing.assert_close(at_once, alone)
    decided = made.decide(2, questions.node, log_scores, questions.energies[2], 40.0, 3)
    assert torch.equal(decided, keep_best(alone.mean(0), 3))


def test_a_short_training_repeats_itself_and_leaves_torch_alone():
    config = ImportanceConfig(steps=2, width=4, folds=2, batch_size=60)
    state = torch.get_rng_state()
    first, again, other = (train_selection(config, seed).state_dict() for seed in (0, 0, 1))
    assert torch.equal(torch.get_rng_state(), state)
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert not all(torch.equal(first[name], other[name]) for name in first)


def test_members_learn_nothing_from_their_own_fold(monkeypatch):
    """Labels and pixels of fold 0 are changed: the member that leaves it out is the same bit for bit."""
    config = ImportanceConfig(steps=2, width=4, folds=2, batch_size=60)
    images = load_digits_split().validation
    fold = folds_of(config, 0, len(images))
    assert sorted(np.bincount(fold)) == [len(images) // 2] * 2
    changed = LabelledImages(
        np.where((fold == 0)[:, None, None, None], -images.images, images.images), np.where(fold == 0, 0, images.labels)
    )
    known = train_selection(config, 0).state_dict()
    monkeypatch.setattr("agents.importance.training.load_digits_split", lambda: DataSplit(images, changed, images))
    other = train_selection(config, 0).state_dict()
    assert all(torch.equal(tensor[0], other[name][0]) for name, tensor in known.items())
    assert not all(torch.equal(tensor[1], other[name][1]) for name, tensor in known.items())


def test_every_validation_input_is_asked_on_every_node_and_by_the_member_that_has_not_seen_it(monkeypatch):
    questions = validation_questions("digits")
    images = len(load_inputs("validation").labels)
    asked = set(zip(questions.image.tolist(), questions.node.tolist(), strict=True))
    assert len(questions.labels) == 36 * images
    assert len(asked) == 6 * images
    config = ImportanceConfig(folds=2, width=8)
    few, fold = few_questions(120), folds_of(config, 3, images)
    made = network(members=2)
    with torch.no_grad():
        # member 0 hears few, member 1 as many as it may
        made.last_bias[0], made.last_bias[1] = -50.0, 50.0
    monkeypatch.setattr("agents.importance.validation.PRICES", (50.0,))
    row = out_of_fold_outcomes(few, config, 3, made)[0]

    def spent(member):
        alone = made.member(member)

        def choose(layer, scores):
            return alone.decide(layer, few.node, scores, few.energies[layer], 50.0, 3)

        return spend(FrozenClassifier(), few.patches, few.energies, choose)[1]

    frugal, lavish = spent(0), spent(1)
    assert frugal.mean() < lavish.mean()
    by_fold = torch.where(torch.from_numpy(fold[few.image] == 0), frugal, lavish)
    assert row["energy_per_answer_mJ"] == pytest.approx(1e3 * SYSTEM.energy_unit_j * float(by_fold.mean()), rel=1e-5)


def test_outcomes_are_the_environments_where_links_do_not_meet():
    """JESA's best on validation inputs: accuracy and energy of `DMoE-Inference-v0`, which adds what crowding costs."""
    questions = few_questions(2160)
    z, gamma = 0.6, 0.9
    row = jesa_outcomes(questions, [(z, gamma)])[0]
    episodes = evaluate(
        JointPolicy(JESA(SYSTEM.replace(threshold=z, importance_factor=gamma))),
        INFERENCE_JOINT,
        seeds=range(80),
        check=False,
        relevance={"kind": "classifier", "inputs": "validation"},
        threshold=z,
        importance_factor=gamma,
    )
    energy = np.mean([each["energy_per_answer_mJ"] for each in episodes])
    accuracy = np.mean([each["accuracy"] for each in episodes])
    cost = np.mean([each["cost"] for each in episodes])
    assert row["energy_per_answer_mJ"] == pytest.approx(energy, rel=0.03)
    assert row["accuracy"] == pytest.approx(accuracy, abs=0.05)
    assert row["cost"] == pytest.approx(cost, abs=50 * 0.05 / 6 + 0.05)


def test_schedules_are_feasible_and_selections_are_the_networks():
    policy = JointPolicy(LearnedSelection(SYSTEM, network(bias=5.0, members=2), 50.0))
    for scenario in ("digits", "digits-scarce"):
        rows = evaluate(policy, INFERENCE_JOINT, scenario=scenario, seeds=range(3))
        assert all(row["violations"] == 0 for row in rows)
    frugal = JointPolicy(LearnedSelection(SYSTEM, network(bias=-50.0), 50.0))
    lavish, least = (evaluate(each, INFERENCE_JOINT, seeds=range(3)) for each in (policy, frugal))
    for one, other in zip(lavish, least, strict=True):
        assert one["energy_per_answer_mJ"] > other["energy_per_answer_mJ"]
        assert one["repairs"] == other["repairs"] == 0


def test_batch_size_changes_no_bit():
    policy = JointPolicy(LearnedSelection(SYSTEM, network(members=2), 50.0))
    results = [evaluate(policy, INFERENCE_JOINT, seeds=range(5), batch=batch) for batch in (1, 5)]
    for one, other in zip(*results, strict=True):
        assert one["cost"] == other["cost"]


def test_files_read_back_and_damaged_ones_are_refused(tmp_path):
    config = ImportanceConfig(width=8, folds=3)
    path = tmp_path / "selection.safetensors"
    with pytest.raises(FileNotFoundError, match="no such file"):
        load_network(path)
    made = network(members=3)
    save_network(path, config, made)
    recipe, read = load_network(path)
    assert recipe == config
    assert all(torch.equal(tensor, read.state_dict()[name]) for name, tensor in made.state_dict().items())
    save_network(path, config.replace(width=9), made)
    with pytest.raises(ValueError, match="size mismatch"):
        load_network(path)
    path.write_bytes(b"nothing of the kind")
    with pytest.raises(ValueError, match="path = "):
        load_network(path)


def test_prices_are_the_cheapest_that_are_as_accurate():
    rows = [
        {"price": 1.0, "energy_per_answer_mJ": 5.0, "accuracy": 0.8},
        {"price": 2.0, "energy_per_answer_mJ": 6.0, "accuracy": 0.9},
        {"price": 3.0, "energy_per_answer_mJ": 7.0, "accuracy": 0.95},
    ]
    assert as_accurate(rows, 0.85) == 2.0
    assert as_accurate(rows, 0.96) is None
    run = Run("a", network(), rows)
    assert run.price({"policy": "JESA", "accuracy": 0.9}) == 2.0
    with pytest.raises(ValueError, match="at no price as accurate as JESA"):
        run.price({"policy": "JESA", "accuracy": 0.96})


def test_change_of_energy_is_that_of_the_means():
    generator = np.random.default_rng(0)
    base = generator.uniform(5, 15, 200)
    values = 0.8 * base * generator.uniform(0.95, 1.05, (5, 200))
    change = ratio_change_over_seeds(values, base)
    assert change.mean == pytest.approx(100 * (values.mean() / base.mean() - 1))
    assert change.low < -20 < change.high
    # a factor on all episodes is known exactly, however they differ
    exact = ratio_change_over_seeds(0.8 * base[None], base)
    assert exact.high - exact.low < 1e-9


def test_energy_at_equal_accuracy_is_read_off_the_curves():
    """Known curves: accuracy 0.5 + 0.1 k at energy 4 + k, k = 0..4, the base's 0.75 at 10 lies halfway, at 6.5."""
    steps = np.arange(5.0)[None, :, None]
    accuracy, energy = np.broadcast_to(0.5 + 0.1 * steps, (3, 5, 40)), np.broadcast_to(4 + steps, (3, 5, 40))
    base = np.full(40, 0.75), np.full(40, 10.0)
    change = change_at_equal_accuracy(accuracy, energy, *base)
    assert (change.mean, change.low, change.high) == pytest.approx((-35, -35, -35))
    # 0.5, 0.8, 0.5, 0.8, 0.9 is levelled to 0.5, 0.65, 0.65, 0.8, 0.9: no early crossing, 2/3 of the way from 6 to 7
    wavy = accuracy.copy()
    wavy[:, 1] += 0.2
    wavy[:, 2] -= 0.2
    assert change_at_equal_accuracy(wavy, energy, *base).mean == pytest.approx(-100 / 3)
    # noise that all schedulers share per episode cancels out
    shared = np.random.default_rng(0).normal(size=40)
    moved = change_at_equal_accuracy(accuracy + shared, energy, base[0] + shared, base[1])
    assert (moved.low, moved.high) == pytest.approx((-35, -35))
    # below the curve its first price counts, above it nothing does
    assert change_at_equal_accuracy(accuracy, energy, np.full(40, 0.3), base[1]).mean == pytest.approx(-60)
    assert change_at_equal_accuracy(accuracy, energy, np.full(40, 0.95), base[1]).mean == np.inf
    # seeds that differ make it wide
    apart = change_at_equal_accuracy(accuracy, energy * np.array([0.8, 1.0, 1.2])[:, None, None], *base)
    assert apart.mean == pytest.approx(-35)
    assert apart.low < -43
    assert apart.high > -27


def test_the_recipe_is_a_valid_configuration():
    recipe = Path(__file__).parents[2] / "configs" / "importance" / "digits.yaml"
    assert ImportanceConfig(**yaml.safe_load(recipe.read_text())).folds == 5
    with pytest.raises(ValueError, match="unknown field 'step'"):
        ImportanceConfig(step=3)

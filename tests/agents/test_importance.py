"""The learned selection: its gradients, its feasibility, its files, and that a price buys what it should."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from dmoe_builders import INFERENCE_JOINT

from agents.importance.network import SelectionNetwork, keep_best, link_energies
from agents.importance.policy import LearnedSelection
from agents.importance.report import chosen
from agents.importance.storage import load_network, save_network
from agents.importance.training import (
    ImportanceConfig,
    differentiable_inference,
    draw_links,
    frozen_classifier,
    train_selection,
)
from dmoe_gym.dmoe.inference import inference_scenario
from dmoe_gym.dmoe.policies.policies import JointPolicy
from dmoe_gym.evaluation import evaluate
from dmoe_gym.inference import load_inputs, load_model
from dmoe_gym.inference.forward import infer

SYSTEM = inference_scenario("digits")


def network(seed: int = 0, bias: float = 0.0) -> SelectionNetwork:
    torch.manual_seed(seed)
    made = SelectionNetwork(6, 4, 6, 8)
    with torch.no_grad():
        # untrained, its last layer is 0 and the rest has no say
        made.body[-1].weight.normal_(std=0.3)
        made.body[-1].bias += bias
    return made.eval()


def test_selections_have_at_least_one_and_at_most_d_experts():
    logits = torch.tensor([[-3.0, -2.0, -1.0, -4.0], [1.0, 3.0, 2.0, 4.0], [1.0, -1.0, -1.0, -1.0]])
    expected = torch.tensor([[0, 0, 1, 0], [0, 1, 0, 1], [1, 0, 0, 0]], dtype=torch.bool)
    assert torch.equal(keep_best(logits, 2), expected)


def test_energies_are_those_of_the_physics():
    efficiency = np.full((1, 3, 3), 2.0)
    energies = link_energies(efficiency, np.array([[1.0, 2.0, 3.0]]), 5.0)
    np.testing.assert_allclose(energies[0], [[1, 4.5, 5.5], [3.5, 2, 5.5], [3.5, 4.5, 3]])


def test_links_are_drawn_as_the_best_of_m_rayleigh_subcarriers():
    generator = np.random.default_rng(0)
    node, energies, price = draw_links(SYSTEM, 4000, generator)
    assert energies.shape == (6, 4000, 6)
    assert price.min() >= 5
    # own experts need no radio
    own = energies[0, torch.arange(4000), node]
    expected = SYSTEM.computation_energy_j[node.numpy()] / SYSTEM.energy_unit_j
    np.testing.assert_allclose(own.numpy(), expected, rtol=1e-5)
    # the mean of the largest of M exponentials is the harmonic number of M
    remote = energies[:, :, 2][:, node != 2] - SYSTEM.computation_energy_j[2] / SYSTEM.energy_unit_j
    transmission = SYSTEM.transmit_power_w * SYSTEM.state_size_bit / SYSTEM.subcarrier_bandwidth_hz
    gains = (2 ** (transmission / SYSTEM.energy_unit_j / remote.double().numpy()) - 1) / SYSTEM.mean_snr
    assert gains.mean() == pytest.approx((1 / np.arange(1, 65)).sum(), rel=0.02)


def test_hard_selections_on_the_way_forward_and_gradients_on_the_way_back():
    classifier, made = frozen_classifier(), network(1)
    patches = torch.from_numpy(load_inputs("validation").patches[0, :16].copy())
    node, energies, price = draw_links(SYSTEM, 16, np.random.default_rng(1))
    heard = []

    def recording(layer, states, log_scores, chosen):
        heard.append(chosen.detach())
        return type(classifier).aggregate(classifier, layer, states, log_scores, chosen)

    classifier.aggregate = recording
    class_scores, energy = differentiable_inference(classifier, made, patches, SYSTEM, node, energies, price)
    selections = torch.stack(heard)
    assert set(selections.round(decimals=5).unique().tolist()) <= {0.0, 1.0}
    rule = selections.round().bool().numpy()
    expected, _ = infer(load_model(), patches.numpy(), lambda layer, scores: rule[layer - 1])
    np.testing.assert_allclose(class_scores.detach().numpy(), expected, atol=1e-3)
    spent = (selections * energies[:, :, None]).sum((0, 2, 3)) / 12
    np.testing.assert_allclose(energy.detach().numpy(), spent.numpy(), rtol=1e-4)
    class_scores.square().sum().backward()
    assert all(parameter.grad.abs().sum() > 0 for parameter in made.parameters())
    assert all(parameter.grad is None for parameter in classifier.parameters())


def test_a_short_training_repeats_itself_and_leaves_torch_alone():
    config = ImportanceConfig(epochs=1, width=4, inputs="validation", batch_size=1080)
    state = torch.get_rng_state()
    first, again, other = (train_selection(config, seed).state_dict() for seed in (0, 0, 1))
    assert torch.equal(torch.get_rng_state(), state)
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert not all(torch.equal(first[name], other[name]) for name in first)


def test_schedules_are_feasible_and_selections_are_the_networks():
    policy = JointPolicy(LearnedSelection(SYSTEM, network(bias=5.0), 50.0))
    for scenario in ("digits", "digits-scarce"):
        rows = evaluate(policy, INFERENCE_JOINT, scenario=scenario, seeds=range(3))
        assert all(row["violations"] == 0 for row in rows)
    frugal = JointPolicy(LearnedSelection(SYSTEM, network(bias=-50.0), 50.0))
    lavish, least = (evaluate(each, INFERENCE_JOINT, seeds=range(3)) for each in (policy, frugal))
    for one, other in zip(lavish, least, strict=True):
        assert one["energy_per_answer_mJ"] > other["energy_per_answer_mJ"]
        assert one["repairs"] == other["repairs"] == 0


def test_batch_size_changes_no_bit():
    policy = JointPolicy(LearnedSelection(SYSTEM, network(), 50.0))
    results = [evaluate(policy, INFERENCE_JOINT, seeds=range(5), batch=batch) for batch in (1, 5)]
    for one, other in zip(*results, strict=True):
        assert one["cost"] == other["cost"]


def test_files_read_back_and_damaged_ones_are_refused(tmp_path):
    config = ImportanceConfig(width=8)
    path = tmp_path / "selection.safetensors"
    with pytest.raises(FileNotFoundError, match="no such file"):
        load_network(path)
    made = network()
    save_network(path, config, made)
    read = load_network(path)
    assert all(torch.equal(tensor, read.state_dict()[name]) for name, tensor in made.state_dict().items())
    save_network(path, config.replace(width=9), made)
    with pytest.raises(ValueError, match="size mismatch"):
        load_network(path)
    path.write_bytes(b"nothing of the kind")
    with pytest.raises(ValueError, match="path = "):
        load_network(path)


def test_prices_are_chosen_on_validation_inputs_alone():
    def row(price, energy, accuracy, inputs):
        return {
            "policy": f"a price={price}", "run": "a", "family": "learned", "inputs": inputs, "seed": 0,
            "energy_per_answer_mJ": energy, "accuracy": accuracy,
        }  # fmt: skip

    rows = [row(1, 5.0, 0.8, "validation"), row(2, 6.0, 0.9, "validation")]
    rows += [row(1, 5.0, 0.99, "test"), row(2, 6.0, 0.1, "test")]
    assert chosen(rows, 0.85) == ["a price=2"]
    assert chosen(rows, 0.95) == []


def test_the_recipe_is_a_valid_configuration():
    recipe = Path(__file__).parents[2] / "configs" / "importance" / "digits.yaml"
    assert ImportanceConfig(**yaml.safe_load(recipe.read_text())).inputs == "train"
    with pytest.raises(ValueError, match="unknown field 'epoch'"):
        ImportanceConfig(epoch=3)

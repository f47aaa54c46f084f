"""The classifier: training repeats itself, torch and compiled formulas agree, files are read safely."""

from __future__ import annotations

import json
from itertools import product

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors.numpy import save

from dmoe_gym.models.digits import DOMAINS, ClassifierConfig, InferenceModel, load_inputs, load_model
from dmoe_gym.models.digits.data import LabelledImages, in_every_domain, load_digits_split, patches
from dmoe_gym.models.digits.model import best_experts, every_expert, infer
from dmoe_gym.models.digits.training import Classifier, ExpertDropping, specialisation_penalty, train
from dmoe_gym.models.digits.weights import FORMAT, SHIPPED, checked_weights, read_weights, to_bytes

SMALL = ClassifierConfig(layers=2, width=8, hidden=8, epochs=2, batch_size=64)


@pytest.fixture(scope="module")
def few() -> LabelledImages:
    images = load_digits_split().train
    return LabelledImages(images.images[:60], images.labels[:60])


def network_and_model(config: ClassifierConfig, seed: int = 0) -> tuple[Classifier, InferenceModel]:
    torch.manual_seed(seed)
    network = Classifier(config)
    arrays = {name: tensor.detach().numpy().copy() for name, tensor in network.named_parameters()}
    return network, InferenceModel(config, checked_weights(config, arrays, "test"))


# --- training


def test_shifted_images_are_moved_by_two_pixels_along_a_diagonal():
    """Into each of four directions about equally often, what enters is background: every image for itself."""
    generator = np.random.default_rng(3)
    images = generator.uniform(-1, 1, (200, 8, 8)).astype(np.float32)
    directions = {}
    for image, moved in zip(images, DOMAINS["shifted"](images, generator), strict=True):
        for down, right in product((-2, 2), repeat=2):
            expected = np.full((12, 12), -1.0, np.float32)
            expected[2 + down : 10 + down, 2 + right : 10 + right] = image
            if np.array_equal(moved, expected[2:10, 2:10]):
                directions[down, right] = directions.get((down, right), 0) + 1
    assert sum(directions.values()) == 200
    assert min(directions.values()) > 25
    assert len(directions) == 4


def test_who_is_heard_may_be_said_by_factors_on_the_gate_scores():
    """Weights are gate scores times the factors, renormalised; factors of 0 and 1 are who is heard and who is not."""
    network, _ = network_and_model(SMALL)
    generator = torch.Generator().manual_seed(1)
    states, scores = (
        torch.randn(3, 4, 8, generator=generator),
        torch.randn(3, 4, 6, generator=generator).log_softmax(-1),
    )
    alone = []
    with torch.no_grad():
        for expert in range(6):
            heard = torch.zeros(3, 4, 6, dtype=torch.bool)
            heard[..., expert] = True
            alone.append(network.aggregate(1, states, scores, heard) - states)
        some = torch.rand(3, 4, 6, generator=generator) < 0.6
        some[..., 0] = True
        for factors in (some, some.float(), torch.rand(3, 4, 6, generator=generator)):
            weights = scores.exp() * factors
            weights = weights / weights.sum(-1, keepdim=True)
            expected = states + (weights[..., None] * torch.stack(alone, 2)).sum(2)
            torch.testing.assert_close(network.aggregate(1, states, scores, factors), expected)


def test_the_same_seed_gives_the_same_bits(few):
    first = train(SMALL, images=few)
    torch.manual_seed(5)
    state = torch.get_rng_state()
    again = train(SMALL, images=few)
    assert to_bytes(SMALL, first) == to_bytes(SMALL, again)
    assert torch.equal(torch.get_rng_state(), state), "training must leave torch's global generator alone"


def test_another_seed_gives_other_weights(few):
    assert not np.array_equal(train(SMALL, images=few).gate, train(SMALL.replace(seed=1), images=few).gate)


@pytest.mark.slow
def test_the_shipped_file_is_what_training_makes():
    """Bit for bit on the machine and torch version that made it; elsewhere the last bits of sums may differ."""
    config = ClassifierConfig()
    made = train(config)
    shipped_config, shipped = read_weights()
    assert shipped_config == config
    if to_bytes(config, made) == SHIPPED.read_bytes():
        return
    # rounding differences grow over thousands of steps: answers are compared instead of weights
    inputs = load_inputs("test")
    for rule in (best_experts(1), best_experts(2), every_expert):
        shares = [
            float((infer(InferenceModel(config, weights), inputs.patches, rule)[0].argmax(-1) == inputs.labels).mean())
            for weights in (made, shipped)
        ]
        assert shares[0] == pytest.approx(shares[1], abs=0.03)


def test_every_expert_and_gate_gets_a_gradient():
    network, _ = network_and_model(SMALL)
    generator = np.random.default_rng(0)
    seen = torch.from_numpy(generator.standard_normal((32, 4, 16)).astype(np.float32))
    class_scores, _ = network(seen, ExpertDropping(SMALL, 32, generator))
    class_scores.logsumexp(-1).sum().backward()
    for name in ("inner", "outer"):
        gradients = getattr(network, name).grad
        assert (gradients.abs().amax((2, 3)) > 0).all(), name
    assert (network.gate.grad.abs().amax(1) > 0).all()


def test_dropping_leaves_at_least_one_expert_and_follows_its_rules():
    config = SMALL.replace(full_share=0.4)
    generator = np.random.default_rng(1)
    drop = ExpertDropping(config, 2000, generator)
    scores = torch.from_numpy(generator.standard_normal((2000, 4, 6)).astype(np.float32))
    heard = drop(0, scores)
    counts = heard.sum(-1)
    assert counts.min() >= 1
    full = (counts == 6).all(1)
    assert 0.35 < full.float().mean() < 0.5
    # every rank is dropped sometimes, for some images hear a random subset
    ranks = scores.argsort(dim=-1, descending=True)
    assert (~heard.gather(-1, ranks)[..., 0]).any()


def test_the_penalty_is_least_at_its_target():
    config = SMALL
    domains = torch.tensor([0, 3])
    target = torch.full((2, 6), (1 - config.domain_share) / 5)
    target[torch.arange(2), domains] = config.domain_share
    best = specialisation_penalty(config, [target.log()[:, None].expand(2, 4, 6)] * 2, domains)
    uniform = specialisation_penalty(config, [torch.full((2, 4, 6), 1 / 6).log()] * 2, domains)
    # layers weigh 1/2 and 1, so the mean weight is 3/4
    assert float(uniform) == pytest.approx(0.75 * np.log(6), rel=1e-5)
    assert float(best) < float(uniform)


def test_experts_must_be_as_many_as_domains():
    with pytest.raises(ValueError, match="experts = 4: valid is 6"):
        train(ClassifierConfig(experts=4))


# --- the compiled model


def test_torch_and_compiled_formulas_agree():
    network, model = network_and_model(ClassifierConfig())
    generator = np.random.default_rng(2)
    images = generator.standard_normal((20, 4, 16)).astype(np.float32)
    heard = generator.random((6, 20, 4, 6)) < 0.5
    heard[..., 1] = True
    with torch.no_grad():
        expected, log_scores = network(torch.from_numpy(images), lambda layer, _: torch.from_numpy(heard[layer]))
    found, scores = infer(model, images, lambda layer, _: heard[layer - 1])
    np.testing.assert_allclose(found, expected.numpy(), atol=2e-5)
    np.testing.assert_allclose(scores, torch.stack(log_scores).exp().numpy(), atol=1e-5)


@given(size=st.integers(1, 40), position=st.integers(0, 39))
def test_an_images_answer_does_not_depend_on_the_batch(size, position):
    inputs = load_inputs("validation").patches.reshape(-1, 4, 16)[: 40 * 13 : 13]
    model = load_model()
    start = min(position, 40 - size)
    whole, _ = infer(model, inputs, best_experts(2))
    part, _ = infer(model, inputs[start : start + size], best_experts(2))
    np.testing.assert_array_equal(part, whole[start : start + size])


def test_gate_scores_are_renormalised_over_the_heard():
    _, model = network_and_model(ClassifierConfig())
    states = np.random.default_rng(3).standard_normal((5, 4, model.config.width)).astype(np.float32)
    scores = np.full((5, 4, 6), 1 / 6, np.float32)
    alone = [
        model.close_layer(1, states, scores, np.arange(6) == np.full((5, 4, 1), expert)) - states for expert in range(6)
    ]
    pair = model.close_layer(1, states, scores, (np.arange(6) < 2) & np.ones((5, 4, 1), bool)) - states
    np.testing.assert_allclose(pair, (alone[0] + alone[1]) / 2, atol=1e-5)
    nobody = model.close_layer(1, states, scores, np.zeros((5, 4, 6), bool))
    np.testing.assert_array_equal(nobody, states)


def test_wrong_arguments_are_named():
    model = load_model()
    states = np.zeros((2, 4, model.config.width), np.float32)
    with pytest.raises(ValueError, match="layer = 0: valid are whole numbers from 1 to 6"):
        model.open_layer(0, states)
    with pytest.raises(ValueError, match="states: has shape"):
        model.open_layer(1, states[..., :3])
    with pytest.raises(ValueError, match="heard"):
        model.close_layer(1, states, np.zeros((2, 4, 6)), np.zeros((2, 4, 5), bool))
    with pytest.raises(ValueError, match="part = 'tset': valid are train, validation, test"):
        load_inputs("tset")


# --- the trained model


def test_relevance_matters_and_nothing_is_saturated():
    """On validation inputs, so that the test part stays untouched by choices."""
    inputs = load_inputs("validation")
    shares = {}
    for name, rule in {"top-1": best_experts(1), "top-2": best_experts(2), "all": every_expert}.items():
        scores, _ = infer(load_model(), inputs.patches, rule)
        shares[name] = (scores.argmax(-1) == inputs.labels).mean()
    assert shares["top-1"] + 0.01 < shares["top-2"] < shares["all"] + 0.01
    assert 0.7 < shares["all"] < 0.98


def test_experts_specialise_in_domains():
    _, scores = infer(load_model(), load_inputs("validation").patches, best_experts(2))
    means = scores.mean((2, 3))
    # in the last layer no domain gives an expert more than the expert's own does, and early layers are more general
    assert (means[-1].argmax(0) == np.arange(len(DOMAINS))).all()
    own = [np.trace(layer) / len(layer) for layer in means]
    assert own[-1] > 0.4 > own[0]


# --- inputs


def test_parts_share_no_image_and_every_domain_shows_the_same_digits():
    split = load_digits_split()
    seen = [{image.tobytes() for image in part.images} for part in (split.train, split.validation, split.test)]
    # the digits hold a few duplicates of their own; the parts are disjoint by index
    assert sum(map(len, seen)) >= len(set().union(*seen))
    inputs = load_inputs("test")
    assert inputs.patches.shape == (6, len(split.test), 4, 16)
    assert not inputs.patches.flags.writeable


def test_patches_are_the_quadrants():
    image = np.arange(64, dtype=np.float32).reshape(8, 8)
    np.testing.assert_array_equal(patches(image)[2], image[4:, :4].ravel())
    np.testing.assert_array_equal(patches(image)[1], image[:4, 4:].ravel())


def test_domains_are_what_their_names_say():
    image = np.full((1, 8, 8), -1, np.float32)
    image[0, 2:6, 2:4] = 1
    noiseless = in_every_domain(image, _NoNoise(np.random.PCG64(0)))
    views = noiseless.reshape(6, 2, 2, 4, 4).swapaxes(2, 3).reshape(6, 8, 8)
    by_name = dict(zip(DOMAINS, views, strict=True))
    np.testing.assert_array_equal(by_name["clean"], image[0])
    np.testing.assert_array_equal(by_name["rotated"], np.rot90(image[0]))
    np.testing.assert_array_equal(by_name["inverted"], -image[0])
    np.testing.assert_array_equal(by_name["mirrored"], image[0, :, ::-1])
    assert by_name["shifted"].sum() == image.sum()
    assert not np.array_equal(by_name["shifted"], image[0])


class _NoNoise(np.random.Generator):
    def standard_normal(self, size=None, dtype=np.float64, out=None):
        return np.zeros(size, dtype)


# --- files


def test_a_model_file_reads_back(tmp_path, few):
    weights = train(SMALL, images=few)
    path = tmp_path / "model.safetensors"
    path.write_bytes(to_bytes(SMALL, weights))
    config, read = read_weights(path)
    assert config == SMALL
    for one, other in zip(weights, read, strict=True):
        np.testing.assert_array_equal(one, other)
    assert SHIPPED.stat().st_size <= 2e6


def test_damaged_and_foreign_files_are_refused(tmp_path):
    path = tmp_path / "model.safetensors"
    with pytest.raises(FileNotFoundError, match="no such file"):
        read_weights(path)
    path.write_bytes(SHIPPED.read_bytes()[:-10])
    with pytest.raises(ValueError, match="damaged"):
        read_weights(path)
    path.write_bytes(save({"x": np.zeros(2, np.float32)}, metadata={"model": '{"format": "something"}'}))
    with pytest.raises(ValueError, match="format is 'something'"):
        read_weights(path)
    config, weights = read_weights()
    header = {"model": json.dumps({"format": FORMAT, "config": config.model_dump()})}
    arrays = weights._asdict()
    for name, changed, complaint in (
        ("gate", arrays["gate"][:-1], "gate is float32"),
        ("head", np.full_like(arrays["head"], np.nan), "not finite"),
        ("head", arrays["head"].astype(np.float64), "head is float64"),
        ("other", arrays["head"], "'other' is missing or unknown"),
    ):
        path.write_bytes(save({**arrays, name: np.ascontiguousarray(changed)}, metadata=header))
        with pytest.raises(ValueError, match=complaint):
            read_weights(path)
    path.write_bytes(save(arrays, metadata={"model": json.dumps({"format": FORMAT, "config": {"layers": 0}})}))
    with pytest.raises(ValueError, match="layers"):
        read_weights(path)

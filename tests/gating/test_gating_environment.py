"""`ChannelAwareGating-v0` against networks run by hand, enumeration, and the experiment's own evaluation."""

from __future__ import annotations

from copy import deepcopy
from itertools import product
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
import torch

from dmoe_gym.evaluation import evaluate, evaluate_bound, evaluate_line_up, line_up_of
from dmoe_gym.facades.stable_baselines import BatchedVecEnv
from dmoe_gym.gating import GatedModel, SNRDistribution, evaluate_accuracy, load_digits_split
from dmoe_gym.gating.env import GatingCore
from dmoe_gym.gating.frozen import SHIPPED, WEIGHTS, load_frozen, observed_snr, weights_path
from dmoe_gym.gating.scenarios import SCENARIOS, GatingSystemConfig

ENV_ID = "ChannelAwareGating-v0"
PERFECT: dict[str, Any] = {"mean_snr_db": 100.0, "snr_spread_db": 0.0}


def all_inputs(**overrides: Any) -> GatingCore:
    """A batch in which environment i is asked about image i."""
    part = load_digits_split(0)
    count = len(getattr(part, overrides.get("inputs", "test")))
    core = GatingCore(count, SCENARIOS["analog"].replace(num_inputs=1, **overrides))
    core.seed(core.all_rows, [(0, int(row)) for row in core.all_rows])
    core.start(core.all_rows)
    core.image[:] = core.all_rows
    core._observe_round(core.all_rows)
    return core


@pytest.mark.parametrize("top_k", [1, 4])
@pytest.mark.parametrize("inputs", ["test", "validation"])
def test_with_every_expert_heard_perfectly_accuracy_is_the_networks_own(inputs, top_k):
    """Expected: the shipped model run by torch on the images, with no transmission at all."""
    core = all_inputs(inputs=inputs, top_k=top_k, **PERFECT)
    model = GatedModel.load(WEIGHTS / "digits_analog.safetensors")
    data = getattr(load_digits_split(0), inputs)
    images, labels = torch.from_numpy(data.images), torch.from_numpy(data.labels)
    with torch.no_grad():
        features = model.features(images)
        weights = model.gate_log_weights(features, torch.full((len(labels), 4), torch.inf))
        answers = model.expert_log_probabilities(features[:, None].expand(-1, 4, -1))
        output = model(images) if top_k == 4 else answers[torch.arange(len(labels)), weights.argmax(dim=1)]
    actions = np.ones((len(labels), 4), np.int64) if top_k == 4 else weights.argmax(dim=1).numpy()
    core.step(actions, core.all_rows)
    np.testing.assert_array_equal(core.terms["accuracy"], (output.argmax(dim=1) == labels).double().numpy())
    expected = -output[torch.arange(len(labels)), labels].numpy()
    np.testing.assert_allclose(core.terms["cross_entropy_nat"], expected, atol=2e-4)
    if top_k == 1:
        policy = line_up_of(ENV_ID, "analog", **PERFECT).policies["channel-aware-gate"]
        np.testing.assert_array_equal(policy.predict(core.observations)[0], actions)
        assert core.terms["accuracy"].mean() == evaluate_accuracy(model, data)


@pytest.mark.parametrize(("name", "choice"), [("SNR-greedy", "best_snr"), ("channel-aware-gate", "gate")])
@pytest.mark.parametrize("scenario", ["analog", "digital"])
def test_accuracy_is_the_experiments_under_the_same_channels(scenario, name, choice):
    """Two simulations of one law: they agree within four standard errors."""
    config = SCENARIOS[scenario]
    model = GatedModel.load(weights_path(config.networks))
    expected = evaluate_accuracy(
        model,
        load_digits_split(0).test,
        choice=choice,
        transmission=config.transmission,
        snr=SNRDistribution(mean_db=config.mean_snr_db, spread_db=config.snr_spread_db),
        repeats=20,
    )
    policy = line_up_of(ENV_ID, scenario).policies[name]
    rows = evaluate(policy, ENV_ID, scenario=scenario, seeds=range(100), check=False)
    accuracy = np.mean([row["accuracy"] for row in rows])
    deviation = np.sqrt(expected * (1 - expected) * (1 / (100 * 32) + 1 / (20 * 360)))
    assert abs(accuracy - expected) < 4 * deviation


@pytest.mark.parametrize("size", [1, 2, 3, 7, 16, 33, 64, 250])
@pytest.mark.parametrize("threads", [1, 2])
def test_a_row_of_a_forward_is_the_same_bits_in_any_batch(size, threads):
    generator = np.random.default_rng(0)
    features = generator.uniform(-1, 1, (250, 16)).astype(np.float32)
    snr = generator.uniform(-3, 3, (250, 4)).astype(np.float32)
    heard = generator.normal(size=(250, 4, 16))
    networks = load_frozen(str(weights_path("digits_analog")))
    before = torch.get_num_threads()

    def forward(step: int) -> list[np.ndarray]:
        cuts = range(0, 250, step)
        weights = [networks.gate_log_weights(features[cut : cut + step], snr[cut : cut + step]) for cut in cuts]
        answers = [networks.expert_log_probabilities(heard[cut : cut + step]) for cut in cuts]
        return [np.concatenate(weights), np.concatenate(answers)]

    alone = forward(1)
    try:
        torch.set_num_threads(threads)
        batched = forward(size)
    finally:
        torch.set_num_threads(before)
    for one, other in zip(alone, batched, strict=True):
        np.testing.assert_array_equal(one, other)
    # and they are the networks' own forwards up to rounding
    with torch.no_grad():
        answers = networks.model.expert_log_probabilities(torch.from_numpy(heard).float()).numpy()
    np.testing.assert_allclose(alone[1], answers, atol=2e-5)


@pytest.mark.parametrize(
    "options",
    [
        {"scenario": "analog"},
        {"scenario": "digital", "top_k": 3, "reward": "cross_entropy"},
        {"scenario": "stale"},
    ],
    ids=lambda options: options["scenario"],
)
def test_a_large_batch_equals_singles_bit_for_bit(options):
    envs = gym.make_vec(ENV_ID, num_envs=100, num_inputs=3, **options)
    stable = BatchedVecEnv(ENV_ID, 100, num_inputs=3, **options)
    singles = [gym.make(ENV_ID, num_inputs=3, **options).unwrapped for _ in range(100)]
    batch, _ = envs.reset(seed=4)
    stable.seed(4)
    stable.reset()
    ones = [env.reset(seed=4, options={"environment_index": row})[0] for row, env in enumerate(singles)]
    envs.action_space.seed(4)
    for _ in range(2):
        for key, values in batch.items():
            np.testing.assert_array_equal(values, np.stack([one[key] for one in ones]))
        actions = envs.action_space.sample()
        batch, rewards, _, _, infos = envs.step(actions)
        steps = [env.step(action) for env, action in zip(singles, actions, strict=True)]
        ones = [step[0] for step in steps]
        np.testing.assert_array_equal(rewards, [step[1] for step in steps])
        np.testing.assert_array_equal(stable.step(actions)[1], rewards.astype(np.float32))
        for name in envs.core.terms:
            np.testing.assert_array_equal(infos[name], [step[4][name] for step in steps])


@pytest.mark.parametrize("reward", ["correctness", "cross_entropy"])
def test_the_reward_is_minus_the_named_cost(reward):
    env = gym.make(ENV_ID, reward=reward)
    env.reset(seed=0)
    for _ in range(10):
        _, value, _, _, info = env.step(env.action_space.sample())
        expected = 1 - info["accuracy"] if reward == "correctness" else info["cross_entropy_nat"]
        assert value == -info["cost"] == -expected
        assert info["experts"] == 1
        assert info["repairs"] == 0


def test_every_bit_pattern_is_accepted_and_repaired_as_stated():
    """All 16 patterns of 4 experts with top_k = 2; expected from the gate's weights by the rule's own words."""
    env = gym.make(ENV_ID, top_k=2).unwrapped
    env.reset(seed=3)
    for bits in product((0, 1), repeat=4):
        copy = deepcopy(env)
        weights = copy.round.log_weights
        _, _, _, _, info = copy.step(np.array(bits, np.int8))
        wished = [k for k in range(4) if bits[k]]
        expected = sorted(wished or range(4), key=lambda k: -weights[k])[: 2 if wished else 1]
        assert np.flatnonzero(copy.schedule).tolist() == sorted(expected)
        assert info["repairs"] == float(sorted(expected) != wished)
        assert info["experts"] == len(expected)
        if not info["repairs"]:
            np.testing.assert_array_equal(copy.encode(copy.schedule), bits)
            assert copy.core.check(copy.round, copy.schedule) == []
    assert copy.core.check(copy.round, np.ones(4, bool)) == ["4 experts are selected, valid is 1 to 2"]
    assert copy.core.check(copy.round, np.zeros(4, bool)) == ["0 experts are selected, valid is 1 to 2"]


@pytest.mark.parametrize(("top_k", "reward"), [(1, "correctness"), (2, "correctness"), (2, "cross_entropy")])
def test_the_oracle_is_the_best_of_all_actions(top_k, reward):
    env = gym.make(ENV_ID, top_k=top_k, reward=reward, num_inputs=1).unwrapped
    actions = range(4) if top_k == 1 else [np.array(bits) for bits in product((0, 1), repeat=4) if 1 <= sum(bits) <= 2]
    for seed in range(30):
        env.reset(seed=seed)
        costs = [deepcopy(env).step(action)[4]["cost"] for action in actions]
        (row,) = evaluate_bound("oracle", ENV_ID, seeds=[seed], top_k=top_k, reward=reward, num_inputs=1)
        assert row["cost"] == pytest.approx(min(costs), abs=1e-12)


def test_the_line_up_acts_on_observations_and_stays_above_the_oracle():
    rows = evaluate_line_up(ENV_ID, scenario="analog", seeds=range(60), num_inputs=8)
    costs: dict[str, list[float]] = {}
    for row in rows:
        costs.setdefault(row["policy"], []).append(row["cost"])
        assert row.get("violations", 0) == 0
    assert list(costs) == ["random", "SNR-greedy", "naive-gate", "channel-aware-gate", "oracle"]
    for name, values in costs.items():
        assert (np.array(values) >= np.array(costs["oracle"])).all(), name
    assert np.mean(costs["channel-aware-gate"]) < np.mean(costs["random"])


@pytest.mark.parametrize("top_k", [1, 2])
def test_policies_choose_what_they_say(top_k):
    policies = line_up_of(ENV_ID, top_k=top_k).policies
    generator = np.random.default_rng(0)
    observation = {
        "features": generator.uniform(-1, 1, (4000, 16)).astype(np.float32),
        "snr_bel": generator.uniform(-3, 3, (4000, 4)).astype(np.float32),
    }
    other = {**observation, "snr_bel": observation["snr_bel"][:, ::-1].copy()}
    chosen = {name: policy.predict(observation)[0] for name, policy in policies.items()}
    assert all(len(actions) == 4000 for actions in chosen.values())
    np.testing.assert_array_equal(policies["naive-gate"].predict(other)[0], chosen["naive-gate"])
    assert not np.array_equal(policies["channel-aware-gate"].predict(other)[0], chosen["channel-aware-gate"])
    best = np.argsort(-observation["snr_bel"], axis=1)[:, :top_k]
    if top_k == 1:
        np.testing.assert_array_equal(chosen["SNR-greedy"], best[:, 0])
        counts = np.bincount(chosen["random"], minlength=4)
    else:
        np.testing.assert_array_equal(np.sort(best), np.argsort(-chosen["SNR-greedy"], kind="stable")[:, :2])
        counts = chosen["random"].sum(axis=0)
        assert (chosen["random"].sum(axis=1) == 2).all()
    share = top_k / 4
    assert np.abs(counts / 4000 - share).max() < 4 * np.sqrt(share * (1 - share) / 4000)
    single = {key: values[7] for key, values in observation.items()}
    np.testing.assert_array_equal(policies["naive-gate"].predict(single)[0], chosen["naive-gate"][7])


def test_stale_knowledge_shows_the_fading_before_and_perfect_knowledge_the_present():
    for delay in (0, 1):
        env = gym.make(ENV_ID, scenario="stale", csi={"delay_rounds": delay}).unwrapped
        observation, _ = env.reset(seed=5)
        seen, true = [observation["snr_bel"]], [observed_snr(env.round.snr)]
        for _ in range(6):
            seen.append(env.step(0)[0]["snr_bel"])
            true.append(observed_snr(env.round.snr))
        lagged = true if delay == 0 else [true[0], *true[:-1]]
        np.testing.assert_array_equal(np.stack(seen), np.stack(lagged))
        assert not np.array_equal(true[0], true[1])


def test_the_three_parts_of_the_data_share_no_image():
    parts = {
        name: GatingCore(1, SCENARIOS["analog"].replace(inputs=name)).images for name in ("train", "validation", "test")
    }
    known = [image.tobytes() for images in parts.values() for image in images]
    assert len(known) == 1797
    # scikit-learn's data hold no image twice, so any overlap would show
    assert len(set(known)) == len(known)


@pytest.mark.parametrize("name", SHIPPED)
def test_shipped_networks_are_small_and_share_their_experts(name):
    own, naive = (weights_path(name, gate) for gate in ("channel_aware", "naive"))
    assert own.stat().st_size + naive.stat().st_size < 1e6
    first, second = GatedModel.load(own), GatedModel.load(naive)
    assert (first.config.gate, second.config.gate) == ("channel_aware", "naive")
    for part in ("backbone", "experts"):
        states = [getattr(model, part).state_dict() for model in (first, second)]
        assert all(torch.equal(tensor, states[1][key]) for key, tensor in states[0].items())


@pytest.mark.parametrize("mode", ["ansi", "rgb_array"])
def test_pictures_show_the_last_step(mode):
    env = gym.make(ENV_ID, render_mode=mode).unwrapped
    env.reset(seed=6)
    first = env.render()
    _, _, _, _, info = env.step(2)
    second = env.render()
    if mode == "ansi":
        assert "not decided yet" in first
        assert second.count("selected") == 1
        assert ("right" if info["accuracy"] else "wrong") in second
    else:
        assert second.shape == first.shape
        assert second.dtype == np.uint8
        assert not np.array_equal(first, second)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"scenario": "analogue"}, ["scenario", "'analogue'", "analog, digital, coded, stale"]),
        ({"top": 2}, ["unexpected keyword argument 'top'", "top_k"]),
        ({"top_k": 5}, ["top_k = 5", "1 to 4"]),
        ({"inputs": "tests"}, ["inputs", "'tests'"]),
        ({"networks": "nowhere"}, ["networks = 'nowhere'", "digits_analog"]),
        ({"reward": "luck"}, ["reward", "'luck'"]),
        ({"transmission": {"kind": "digital", "bit": 3}}, ["bit"]),
        ({"dataset": "cifar10"}, ["data_root", "--data-root"]),
        ({"dataset": "cifar10", "data_root": "x" * 5000}, ["data_root = 'xxx", "no such folder"]),
        ({"dataset": "cifar10", "data_root": "a\0b"}, ["data_root = 'a", "no such folder"]),
        ({"data_root": "anywhere"}, ["data_root = 'anywhere'", "valid with dataset = 'digits' is None"]),
        ({"channel": {"kind": "large_scale"}}, ["large_scale"]),
    ],
)
def test_bad_construction_is_one_clear_line(options, words):
    with pytest.raises(ValueError) as error:
        gym.make(ENV_ID, **options)
    for word in words:
        assert word in str(error.value)
    assert "\n" not in str(error.value)


def test_own_networks_by_path(tmp_path, trained):
    path = tmp_path / "mine.safetensors"
    trained.save(path)
    assert list(line_up_of(ENV_ID, networks=str(path)).policies) == ["random", "SNR-greedy", "channel-aware-gate"]
    env = gym.make(ENV_ID, networks=str(path))
    env.reset(seed=0)
    env.step(1)
    assert GatingSystemConfig(networks=str(path)).top_k == 1


def test_networks_that_replace_others_are_read_anew(tmp_path, trained):
    """The same file by another name, or as it was at first, is the same object; copies keep what they had."""
    path = tmp_path / "mine.safetensors"
    trained.save(path)
    first = gym.make(ENV_ID, networks=str(path)).unwrapped.core
    assert load_frozen(str(path.parent / "." / path.name)) is first.networks
    path.write_bytes((WEIGHTS / "digits_analog.safetensors").read_bytes())
    second = gym.make(ENV_ID, networks=str(path)).unwrapped.core
    shipped = gym.make(ENV_ID).unwrapped.core
    image = first.images[:1].copy()
    np.testing.assert_array_equal(second.networks.features(image), shipped.networks.features(image))
    assert (first.networks.features(image) != shipped.networks.features(image)).any()
    assert deepcopy(first).networks is first.networks

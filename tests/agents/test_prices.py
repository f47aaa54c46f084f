"""Scheduling at learned prices: symmetry, limits and prefixes that hold for any weights, and the learner around it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

from agents.__main__ import app
from agents.config import TrainingConfig
from agents.learners import build_env, build_learner
from agents.policy import as_policy, load_run
from agents.prices import PriceEvolution, PriceScheduler
from agents.prices.imitation import squared_error, targets, torch_outputs
from agents.prices.kernels import INPUTS, Blocks, candidate_latencies, shared_outputs
from agents.prices.scheduler import network
from dmoe_gym.evaluation import evaluate, line_up_of
from dmoe_gym.wdmoe import Allocation, WDMoEConfig, check
from dmoe_gym.wdmoe.env.discount import DiscountCore
from dmoe_gym.wdmoe.env.joint import JointCore
from dmoe_gym.wdmoe.policies import Observed, Priced

SMALL = WDMoEConfig(num_devices=5, num_tokens=9, num_blocks=2)
SEEDS = st.integers(0, 2**32 - 1)


def _observed(config: WDMoEConfig, batch: int, seed: int) -> tuple[JointCore, Observed]:
    core = JointCore(batch, config)
    core.seed(core.all_rows, [(seed, row) for row in range(batch)])
    core.start(core.all_rows)
    return core, Observed.of(config, core.observations)


def _weights(width: int, seed: int) -> np.ndarray:
    return 0.3 * np.random.default_rng(seed).standard_normal(network(width).size)


def _part(blocks: Observed, **changes: np.ndarray) -> Observed:
    fields = {name: getattr(blocks, name) for name in Blocks._fields}
    return Observed(changes.pop("config", blocks.config), **{**fields, **changes})  # type: ignore[arg-type]


@given(SEEDS, st.integers(0, 4), st.integers(1, 6))
def test_three_forms_of_the_network_agree(seed: int, width: int, devices: int) -> None:
    generator = np.random.default_rng(seed)
    shared = network(width)
    parameters, inputs = generator.standard_normal(shared.size), generator.standard_normal((devices, INPUTS))
    wanted = shared(parameters[None], inputs[None, None])[0, 0, :, 0]
    outputs = np.empty(devices)
    shared_outputs(parameters, inputs, width, np.empty(width), outputs)
    np.testing.assert_allclose(outputs, wanted, atol=1e-10)
    told = torch_outputs(shared, torch.as_tensor(parameters), torch.as_tensor(inputs[None]))[0].numpy()
    np.testing.assert_allclose(told, wanted, atol=1e-10)


@settings(max_examples=30)
@given(SEEDS, st.booleans())
def test_devices_and_tokens_have_no_names(seed: int, polish: bool) -> None:
    generator = np.random.default_rng(seed)
    _, blocks = _observed(SMALL, 3, seed)
    scheduler = PriceScheduler(SMALL, _weights(3, seed), width=3, polish=polish)
    selected, bandwidth = scheduler.schedule(blocks)
    devices, tokens = generator.permutation(5), generator.permutation(9)
    moved = _part(
        blocks,
        gate_weights=np.ascontiguousarray(blocks.gate_weights[:, tokens][:, :, devices]),
        **{name: getattr(blocks, name)[:, devices] for name in ("downlink_cn0", "uplink_cn0", "computation_time")},
    )
    again, shares = scheduler.schedule(moved)
    np.testing.assert_array_equal(again, selected[:, tokens][:, :, devices])
    np.testing.assert_allclose(shares, bandwidth[:, devices], rtol=1e-6)


@settings(max_examples=30)
@given(SEEDS, st.floats(0.01, 100), st.floats(0.01, 100))
def test_units_of_time_and_bandwidth_do_not_matter(seed: int, time: float, band: float) -> None:
    _, blocks = _observed(SMALL, 3, seed)
    weights = _weights(3, seed)
    selected, bandwidth, latency, *_ = PriceScheduler(SMALL, weights, width=3).traced(blocks)
    # `time` as much to transmit and to compute, and `band` times the spectrum, which shortens transmission
    scaled = SMALL.replace(bandwidth_hz=SMALL.bandwidth_hz * band)
    other = PriceScheduler(scaled, weights, width=3)
    other.settings = other.settings._replace(payload=SMALL.payload_bit * time * band)
    stretched = _part(
        blocks,
        downlink_cn0=blocks.downlink_cn0 * band,
        uplink_cn0=blocks.uplink_cn0 * band,
        computation_time=blocks.computation_time * time,
    )
    again, shares, longer, *_ = other.traced(stretched)
    np.testing.assert_array_equal(again, selected)
    np.testing.assert_allclose(shares, bandwidth * band, rtol=1e-6)
    np.testing.assert_allclose(longer, latency * time, rtol=1e-6)


@pytest.mark.parametrize("rounds", [1, 3])
def test_a_silent_network_is_the_analytic_scheduler(rounds: int) -> None:
    _, blocks = _observed(SMALL, 8, 1)
    analytic = Priced(SMALL, pricings=rounds).schedule(blocks)
    silent = PriceScheduler(SMALL, network(4).initial(np.random.default_rng(0)), rounds=rounds, width=4)
    for one, other in zip(analytic, silent.schedule(blocks), strict=True):
        np.testing.assert_array_equal(one, other)


def test_one_pricing_is_an_action_of_the_discount_environment() -> None:
    """Discounts in proportion to the prices, decoded by `WDMoE-v0`, choose the same experts."""
    core = DiscountCore(6, SMALL)
    core.seed(core.all_rows, [(2, row) for row in range(6)])
    core.start(core.all_rows)
    blocks = Observed.of(SMALL, core.observations)
    selected, _, latency, _, prices = PriceScheduler(SMALL, _weights(2, 5), rounds=1, polish=False, width=2).traced(
        blocks
    )
    discounts = np.exp(prices[:, 0] - prices[:, 0].max(1, keepdims=True))
    actions = np.concatenate([np.zeros((6, 5)), discounts], 1).astype(np.float32)
    core.step(actions, core.all_rows)
    charged = core.terms["latency_s"]
    np.testing.assert_array_equal(core.selected, selected)
    np.testing.assert_allclose(charged, latency, rtol=1e-5)


@settings(max_examples=20)
@given(SEEDS)
def test_schedules_are_valid_and_more_pricings_never_slower(seed: int) -> None:
    core, blocks = _observed(SMALL, 3, seed)
    weights = _weights(2, seed)
    last = np.inf
    for rounds in (1, 2, 4):
        scheduler = PriceScheduler(SMALL, weights, rounds=rounds, width=2)
        selected, bandwidth, latency, *_ = scheduler.traced(blocks)
        assert (latency <= last).all()
        last = latency
        np.testing.assert_allclose(blocks.latency(selected, bandwidth), latency, rtol=1e-9)
        for row in range(3):
            assert check(core.round(row), Allocation(selected[row], bandwidth[row])) == []
    once = [
        PriceScheduler(SMALL, weights, rounds=1, width=2, polish=polish).traced(blocks)[2] for polish in (False, True)
    ]
    assert (once[1] <= once[0] * (1 + 1e-12)).all()


def test_a_block_gets_the_same_bits_in_every_batch() -> None:
    _, blocks = _observed(SMALL, 40, 3)
    weights = _weights(3, 0)
    scheduler = PriceScheduler(SMALL, weights, width=3)
    whole = scheduler.traced(blocks)
    for row in (0, 17, 39):
        fields = {name: getattr(blocks, name)[row : row + 1] for name in Blocks._fields}
        for one, all_rows in zip(scheduler.traced(Observed(SMALL, **fields)), whole, strict=True):
            np.testing.assert_array_equal(one[0], all_rows[row])
    candidates = candidate_latencies(np.stack([weights, weights * 0, weights]), Blocks.of(blocks), scheduler.settings)
    np.testing.assert_array_equal(candidates[0], whole[2])
    np.testing.assert_array_equal(candidates[2], whole[2])
    np.testing.assert_array_equal(candidates[1], PriceScheduler(SMALL).traced(blocks)[2])


def _recipe(**changes: Any) -> TrainingConfig:
    fields: dict[str, Any] = {
        "algorithm": "evolution",
        "env_id": "WDMoE-Joint-v0",
        "scenario": "testbed",
        "overrides": {"num_blocks": 2},
        "group": "short",
        "num_envs": 4,
        "total_timesteps": 96,
        "network": {"kind": "prices", "rounds": 1, "width": 2},
        "hyperparameters": {"pairs": 2, "imitation": {"blocks": 32, "epochs": 4, "passes": 2, "batch_size": 16}},
    }
    return TrainingConfig(**{**fields, **changes})


def _learner(config: TrainingConfig) -> PriceEvolution:
    learner = build_learner(config, build_env(config, 0), 0)
    assert isinstance(learner, PriceEvolution)
    return learner


def test_imitation_lowers_the_error_to_converged_prices() -> None:
    config = _recipe(hyperparameters={"imitation": {"blocks": 256, "epochs": 20}}, total_timesteps=256)
    learner = _learner(config)
    blocks = learner.record()
    wanted = targets(blocks, 12)
    *_, inputs, _ = learner.policy.scheduler().traced(blocks)
    x, y = torch.as_tensor(inputs[:, 0]), torch.as_tensor(wanted - inputs[:, 0, :, 0])
    errors = [float(squared_error(learner.policy.network, learner.policy.parameters_vector.detach(), x, y))]
    np.testing.assert_allclose(errors[0], np.square(y.numpy()).mean(), rtol=1e-9)
    learner.learn(256)
    assert learner.num_timesteps == 256
    errors.append(float(squared_error(learner.policy.network, learner.policy.parameters_vector.detach(), x, y)))
    assert errors[1] < 0.6 * errors[0]


def test_candidates_are_charged_what_the_environment_charges() -> None:
    learner = _learner(_recipe(num_envs=3))
    rows = evaluate(as_policy(learner), "WDMoE-Joint-v0", scenario="testbed", seeds=[5], num_blocks=2)
    core = JointCore(1, learner.core.config)
    core.seed(core.all_rows, [(5, 0)])
    learner.env.core = core  # type: ignore[union-attr]
    blocks = learner.record()
    costs = learner.costs(blocks, [], learner.policy.parameters_vector.detach().numpy()[None])
    assert costs.shape == (1, 2)
    assert rows[0]["cost"] == pytest.approx(costs.mean(), rel=1e-5)


def test_train_load_and_act_elsewhere(tmp_path: Path) -> None:
    file = tmp_path / "short.yaml"
    fields = _recipe().model_dump(mode="json")
    fields["evaluation"] = {"episodes": 3, "every": 64, "references": ["top-2-optimal", "greedy-optimal"]}
    file.write_text(yaml.safe_dump(fields))
    result = CliRunner().invoke(app, ["train", str(file), "--runs", str(tmp_path / "runs"), "--jobs", "1"])
    assert result.exit_code == 0, result.output
    folder = tmp_path / "runs/short/short-seed0"
    content = torch.load(folder / "checkpoint.pt", weights_only=True)
    assert content["num_timesteps"] == 96
    trained = content["parameters"]["policy"]["parameters_vector"]
    _, policy = load_run(folder)
    assert torch.equal(policy.model.policy.parameters_vector, trained)  # type: ignore[attr-defined]
    config, elsewhere = load_run(folder, "mixtral", {"num_blocks": 1})
    assert elsewhere.model.policy.config.num_devices == 8  # type: ignore[attr-defined]
    costs = []
    for each in (elsewhere, line_up_of("WDMoE-Joint-v0", "mixtral").policies["top-2-optimal"]):
        rows = evaluate(each, config.env_id, scenario="mixtral", seeds=range(900_000, 900_004), num_blocks=1)
        costs.append(np.mean([row["cost"] for row in rows]))
        assert all(row["shortfall"] == 0 for row in rows)
    assert costs[0] < costs[1]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"env_id": "WDMoE-v0"}, "prices with evolution in WDMoE-Joint-v0"),
        ({"algorithm": "ppo", "hyperparameters": {}}, "prices with evolution"),
        ({"network": {"kind": "prices", "rounds": 0}}, "rounds"),
        ({"hyperparameters": {"imitation": {"teacher": 1}}}, "imitation.teacher"),
        ({"hyperparameters": {"noise": 0}}, "noise = 0"),
    ],
)
def test_bad_recipes_are_refused(change: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        _learner(_recipe(**change))


def test_bad_schedulers_are_refused() -> None:
    with pytest.raises(ValueError, match="rounds = 0"):
        PriceScheduler(SMALL, rounds=0)
    with pytest.raises(ValueError, match="parameters: have shape"):
        PriceScheduler(SMALL, np.zeros(3))

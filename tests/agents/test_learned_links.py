"""Learned prices of links: the compiled network is the shared one, follows names, is valued as the environment does."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agents.config import TrainingConfig
from agents.learners import build_env, build_learner
from agents.networks.shared import SharedNetwork
from agents.replay import ReplayCore, record
from agents.residual import OneShotResidual, ResidualEvolution, ResidualPolicy
from agents.residual.priced_links import INPUTS, LEAST_FACTOR, MOST_FACTOR, OUTPUTS, judge, look, new_pad
from dmoe_gym.dmoe import DMoEConfig, check, scenario
from dmoe_gym.dmoe.env.joint import JointCore, encode_joint
from dmoe_gym.dmoe.solvers.single_pass import new_scene, survey

TINY = {"num_experts": 4, "num_states": 2, "num_subcarriers": 4, "num_layers": 2}
WIDTH = 3


def _started(config: DMoEConfig, batch: int, seed: int = 5) -> JointCore:
    core = JointCore(batch, config)
    core.seed(core.all_rows, [(seed, row) for row in range(batch)])
    core.start(core.all_rows)
    return core


def _network(residual: OneShotResidual) -> SharedNetwork:
    return SharedNetwork(residual.inputs, residual.outputs, WIDTH, residual.softsign)


@settings(max_examples=20)
@given(st.integers(0, 2**32 - 1))
def test_the_compiled_network_is_the_shared_one(seed: int) -> None:
    """Items are the links i != j; the mean is over them."""
    config = scenario("scarce").replace(**TINY)
    core, residual = _started(config, 1, seed), OneShotResidual(config)
    scene, pad = new_scene(4, 2, 4, 2), new_pad(4)
    selected = np.empty((4, 2, 4), np.bool_)
    scores = core.observations["gate_scores"][0]
    efficiency = core.observations["spectral_efficiency"][0]
    active, _ = survey(scores, efficiency, 0.5, residual.constants, scene, selected)
    look(scores, residual.constants, active, scene, pad)
    network = _network(residual)
    weights = np.random.default_rng(seed).standard_normal(network.size)
    judge(weights, WIDTH, 4, pad)
    links = ~np.eye(4, dtype=bool).ravel()
    inputs = pad[0].T[links]
    assert np.isfinite(inputs).all()
    assert inputs.shape == (12, INPUTS)
    expected = network(weights[None], inputs[None, None])[0, 0]
    factor, bonus = pad[-2].ravel()[links], pad[-1].ravel()[links]
    np.testing.assert_allclose(factor, np.clip(1 + expected[:, 0], LEAST_FACTOR, MOST_FACTOR), atol=1e-9)
    np.testing.assert_allclose(bonus, expected[:, 1], atol=1e-9)
    assert expected.shape[1] == OUTPUTS


@pytest.mark.parametrize("name", ["scarce", "small"])
def test_names_of_nodes_have_no_influence_under_any_weights(name: str) -> None:
    config = scenario(name).replace(**TINY, computation_energy_range=(1.0, 1.0))
    core, residual = _started(config, 60), OneShotResidual(config)
    network = _network(residual)
    generator = np.random.default_rng(0)
    weights = 0.5 * generator.standard_normal((1, network.size))
    order = generator.permutation(4)
    renamed = {key: values.copy() for key, values in core.observations.items()}
    renamed["gate_scores"] = renamed["gate_scores"][:, order][..., order]
    renamed["spectral_efficiency"] = renamed["spectral_efficiency"][:, order][:, :, order]
    one = residual.decide(network, core.observations, {}, weights)
    other = residual.decide(network, renamed, {}, weights)
    np.testing.assert_array_equal(other[0], one[0][:, order][..., order])
    # the assignment may be another one of the same energy only where links are equal, which these are not
    np.testing.assert_array_equal(other[1], one[1][:, order][:, :, order])


@pytest.mark.parametrize(("name", "hard"), [("scarce", 0), ("scarce", 1), ("small", 0), ("small", 1)])
def test_schedules_are_feasible_and_valued_as_the_environment_charges_them(name: str, hard: int) -> None:
    """Under any weights, without repairs, for several candidates at once."""
    config = scenario(name).replace(**TINY)
    residual = OneShotResidual(config, candidates=2, hard=hard)
    network = _network(residual)
    core = JointCore(40, config)
    core.seed(core.all_rows, [(3, row) for row in range(40)])
    recording = record(core)
    weights = np.random.default_rng(1).standard_normal((3, network.size))
    replay = ReplayCore(config, recording, 3)
    replay.start(replay.all_rows)
    single = ReplayCore(config, recording, 1)
    single.start(single.all_rows)
    while not replay.terminated.all():
        seen = residual.see(single.observations, {})
        costs = residual.costs(network, seen, weights)
        tiled = {key: np.concatenate([values] * 3) for key, values in seen.items()}
        selected, subcarrier = residual.decide(network, tiled, {}, weights)
        rounds = [replay.round(row) for row in range(120)]
        replay.step(encode_joint(selected, subcarrier), replay.all_rows)
        np.testing.assert_allclose(-replay.rewards.reshape(3, 40), costs, rtol=1e-5)
        assert not replay.terms["repairs"].any()
        for row in range(0, 120, 7):
            assert check(rounds[row], replay.schedule(row)) == []
        single.skip_round(single.all_rows)


def test_one_observation_gets_what_it_gets_in_a_batch() -> None:
    config = scenario("scarce").replace(**TINY)
    policy = ResidualPolicy(OneShotResidual(config), WIDTH, 0, 0.01)
    policy.parameters_vector.data += 0.3
    core = _started(config, 70)
    actions, state = policy.predict(core.observations)
    assert state is None
    for row in (0, 31, 32, 69):
        alone, _ = policy.predict({key: values[row] for key, values in core.observations.items()})
        np.testing.assert_array_equal(alone, actions[row])


def test_training_lowers_the_cost_of_training_episodes() -> None:
    """With two links per node to look at, which ones matters, and that can be learned."""
    fields: dict[str, Any] = {
        "algorithm": "evolution",
        "env_id": "DMoE-JESA-v0",
        "group": "short",
        "total_timesteps": 1,
        "scenario": "selective",
        "overrides": {"num_layers": 2},
        "num_envs": 100,
        "network": {"kind": "residual", "underneath": "one-shot", "parameters": {"candidates": 2}, "width": WIDTH},
        "hyperparameters": {"pairs": 16, "noise": 0.05, "learning_rate": 0.02},
    }
    config = TrainingConfig(**fields)
    learner = build_learner(config, build_env(config, 0), 0)
    assert isinstance(learner, ResidualEvolution)
    core = JointCore(100, learner.core.config)
    core.seed(core.all_rows, [(0, row) for row in range(100)])
    recording = record(core)
    looks = learner.looks(recording)
    before = learner.policy.parameters_vector.detach().numpy()[None].copy()
    for _ in range(15):
        learner._generation(recording, looks)
    after = learner.policy.parameters_vector.detach().numpy()[None]
    untrained, trained = (float(learner.costs(recording, looks, each).mean()) for each in (before, after))
    assert trained < 0.95 * untrained


def test_what_it_cannot_know_is_refused() -> None:
    with pytest.raises(ValueError, match="valid for learned prices of links is perfect knowledge"):
        OneShotResidual(scenario("scarce").replace(csi={"delay_rounds": 0, "error_variance": 0.1}))
    with pytest.raises(ValueError, match="without slot"):
        OneShotResidual(scenario("mobile"))

"""What the observations mean, and the laws that episodes are drawn from."""

from __future__ import annotations

import numpy as np
import pytest
from dmoe_builders import DES, ENV_IDS, JOINT, SCENARIOS, SEQUENTIAL, make
from dmoe_reference import link_energy
from rollouts import batch_digest

from dmoe_gym.compiled import draws
from dmoe_gym.dmoe.env.batch import write_efficiency

# spacing of 32-bit numbers at 1
ULP = np.finfo(np.float32).eps


@pytest.mark.parametrize("env_id", ENV_IDS)
@pytest.mark.parametrize("scenario", SCENARIOS)
def test_observations_lie_in_their_spaces(env_id, scenario):
    env = make(env_id, **SCENARIOS[scenario])
    env.action_space.seed(1)
    observation, _ = env.reset(seed=1)
    for _ in range(20):
        assert env.observation_space.contains(observation)
        values = observation.values() if isinstance(observation, dict) else [observation]
        assert {value.dtype for value in values} == {np.dtype(np.float32)}
        observation, _, terminated, _, _ = env.step(env.action_space.sample())
        if terminated:
            assert env.observation_space.contains(observation)
            observation, _ = env.reset()


@pytest.mark.parametrize("env_id", [env_id for env_id in ENV_IDS if env_id != DES and "Residual" not in env_id])
@pytest.mark.parametrize("scenario", SCENARIOS)
def test_a_round_is_observed_as_it_is(env_id, scenario):
    env = make(env_id, **SCENARIOS[scenario])
    config = env.config
    env.action_space.seed(2)
    observation, _ = env.reset(seed=2)
    layer, before, terminated = 1, None, False
    while not terminated and layer <= 4:
        round = env.round
        np.testing.assert_array_equal(observation["gate_scores"], round.gate_scores.astype(np.float32))
        np.testing.assert_allclose(
            observation["spectral_efficiency"], round.spectral_efficiency, rtol=2 * ULP, atol=2 * ULP
        )
        assert not observation["spectral_efficiency"][np.diag_indices(config.num_experts)].any()
        threshold = config.threshold * config.importance_factor**layer
        assert observation["threshold"] == np.float32(threshold)
        assert round.threshold == observation["threshold"]
        assert observation["progress"] == pytest.approx(layer / config.num_layers)
        unit = config.reference_energy_j / (config.num_experts * config.num_states * config.max_experts)
        np.testing.assert_allclose(observation["computation_energy"], config.computation_energy_j / unit, rtol=ULP)
        before = observation
        while not terminated and observation["progress"] == before["progress"]:
            observation, _, terminated, _, _ = env.step(env.action_space.sample())
        layer += 1
    if terminated:  # the last observation repeats the last round's
        for key in ("gate_scores", "spectral_efficiency", "threshold", "progress"):
            np.testing.assert_array_equal(observation[key], before[key])


def test_spectral_efficiency_is_accurate_over_all_signal_to_noise_ratios():
    """From 1e-8 to 1e12: within two units in the last place, or of 2^-24 of SNR where 1 + SNR rounds."""
    snr = np.logspace(-8, 12, 4 * 500, dtype=np.float32).reshape(1, 2, 2, 500)
    efficiency = np.full((1, 2, 2, 500), 7, np.float32)
    write_efficiency(snr[0], np.float32(1), efficiency[0])
    expected = np.log2(1 + snr.astype(float))
    links = ~np.eye(2, dtype=bool)
    np.testing.assert_allclose(efficiency[0, links], expected[0, links], rtol=2 * ULP, atol=2 * ULP)
    assert not efficiency[0, [0, 1], [0, 1]].any()
    # exact where the answer is a whole number
    gains = np.broadcast_to((2.0 ** np.arange(30) - 1).astype(np.float32), (1, 2, 2, 30)).copy()
    found = np.zeros_like(gains)
    write_efficiency(gains[0], np.float32(1), found[0])
    np.testing.assert_array_equal(found[0, 0, 1, :24], np.arange(24))


def test_the_des_observation_shows_states_node_after_node():
    """Scores, energies relative to E_ref / (K N D) over JESA's provisional subcarriers, the round's threshold."""
    env = make(DES, scenario="small", num_states=3, num_layers=2)
    config = env.config
    unit = config.reference_energy_j / (config.num_experts * config.num_states * config.max_experts)
    observation, _ = env.reset(seed=3)
    for turn in range(2 * 12):
        round, (i, n) = env.round, divmod(turn % 12, 3)
        held = env.schedule.allocated
        assert (held.sum((0, 1)) <= 1).all()
        joules = [
            link_energy(round, i, j, tuple(np.flatnonzero(held[i, j]))) + config.computation_energy_j[j]
            for j in range(config.num_experts)
        ]
        np.testing.assert_array_equal(observation["gate_scores"], round.gate_scores[i, n].astype(np.float32))
        np.testing.assert_allclose(observation["energy"], np.array(joules) / unit, rtol=2 * ULP)
        assert observation["threshold"] == np.float32(0.5)
        observation, *_ = env.step(np.eye(4, dtype=np.int8)[i])


def test_an_expert_out_of_reach_is_shown_as_such_and_never_charged():
    """Without any gain (put there by hand: fading never is exactly zero), energies are infinite."""
    env = make(DES, scenario="small")
    env.reset(seed=4)
    env.core.channel.gains[:] = 0
    env.core._observe_round(np.array([0]))
    observation, _, _, _, info = env.step(np.array([0, 1, 1, 0], np.int8))
    assert np.isfinite(info["cost"])
    assert info["repairs"] >= 2
    assert env.observation_space.contains(observation)
    assert observation["energy"][[0, 2, 3]] == pytest.approx(1e6)


def test_the_sequential_observation_shows_the_partial_schedule():
    env = make(SEQUENTIAL, scenario="small", num_states=2, threshold=1.0)
    observation, _ = env.reset(seed=5)
    assert not observation["selected"].any()
    assert not observation["allocated"].any()
    assert np.flatnonzero(observation["turn"]).tolist() == [0]
    # state (0, 0) picks the best other expert over subcarrier 5, then its own expert if that is next best
    best, second = np.argsort(-observation["gate_scores"][0, 0])[:2]
    for expert, m in ((best, 5), (second, 6)):
        observation, *_ = env.step(expert * 16 + (m if expert != 0 else 0))
    assert np.flatnonzero(observation["selected"][0, 0]).tolist() == sorted([best, second])
    links = [[0, int(expert), m] for expert, m in ((best, 5), (second, 6)) if expert != 0]
    assert np.argwhere(observation["allocated"]).tolist() == sorted(links)
    assert np.flatnonzero(observation["turn"]).tolist() == [1]


# --- the laws of an episode


def episodes(count: int, **options):
    """gate scores (count, L, K, N, K) and gains (count, L, K, K, M) of many episodes."""
    env = make(JOINT, **options)
    idle = np.zeros(env.action_space.shape, int)
    scores, gains = [], []
    for episode in range(count):
        env.reset(seed=6 if episode == 0 else None)
        scores.append([env.round.gate_scores])
        gains.append([env.round.gains])
        while not env.step(idle)[2]:
            scores[-1].append(env.round.gate_scores)
            gains[-1].append(env.round.gains)
    return np.array(scores), np.array(gains)


def test_gate_scores_follow_the_dirichlet_law_of_the_nodes_domain():
    """Parameter 0.5, and 1.5 for the expert of the domain, which a node keeps for an episode."""
    scores, _ = episodes(40, scenario="small", num_states=8, num_layers=20)
    np.testing.assert_allclose(scores.sum(-1), 1, atol=1e-6)
    mean = scores.mean((1, 3))  # (episodes, nodes, experts)
    ordered = np.sort(mean, axis=-1)
    total = 4 * 0.5 + 1.0
    assert ordered[..., -1].mean() == pytest.approx(1.5 / total, abs=0.01)
    assert ordered[..., :-1].mean() == pytest.approx(0.5 / total, abs=0.01)
    # it stands out in every episode and node, and every expert is favoured equally often
    domains = mean.argmax(-1)
    assert (ordered[..., -1] - ordered[..., -2]).min() > 0.1
    counts = np.bincount(domains.ravel(), minlength=4)
    assert np.abs(counts - 40).max() < 4 * np.sqrt(40)
    # variance of a Dirichlet component: mean (1 - mean) / (total + 1)
    variance = np.take_along_axis(scores.var((1, 3)), domains[..., None], -1).mean()
    assert variance == pytest.approx(0.5 * 0.5 / (total + 1), rel=0.05)


@pytest.mark.parametrize("channel", ["rayleigh", "gauss_markov"])
def test_gains_are_exponential_of_mean_one_in_every_round(channel):
    _, gains = episodes(30, scenario="small", channel=channel)
    for layer in range(8):
        sample = gains[:, layer].ravel()
        error = 5 / np.sqrt(len(sample))
        assert sample.mean() == pytest.approx(1, abs=error)
        assert (sample > np.log(2)).mean() == pytest.approx(0.5, abs=error)
    successive = np.corrcoef(gains[:, 0].ravel(), gains[:, 1].ravel())[0, 1]
    if channel == "rayleigh":
        assert abs(successive) < 0.05
    else:  # |h|^2 of a Gauss-Markov amplitude: correlation rho^2, with rho = J0(2 pi 0.1) = 0.9037
        assert successive == pytest.approx(0.9037**2, abs=0.05)


@pytest.mark.parametrize("scenario", ["small", "budget", "battery"])
def test_rounds_begun_in_one_pass_are_those_drawn_process_by_process(monkeypatch, scenario):
    """Across an episode's end: where numpy's C functions are missing, every process draws on its own."""
    fused = batch_digest(JOINT, 3, 18, scenario=scenario)
    monkeypatch.setattr(draws, "EXPORTED", False)
    assert batch_digest(JOINT, 3, 18, scenario=scenario) == fused

"""Expected energy given delivery against numerical integration of the law, and the informed bound as a theorem."""

from __future__ import annotations

import itertools
from functools import cache

import numpy as np
import pytest
from scipy import integrate, stats
from scipy.special import j0

from dmoe_gym.channel import CSIConfig, GaussMarkovConfig
from dmoe_gym.dmoe import DMoEConfig, Round
from dmoe_gym.dmoe.physics import Constants
from dmoe_gym.dmoe.solvers.delivery import ChannelLaw, delivery, duration_table, expect, expect_exactly, longer
from dmoe_gym.dmoe.solvers.informed import informed_bound

ERROR_VARIANCE = 0.05
CORRELATION = float(j0(2 * np.pi * 4.0 * 0.04))


def config_of(**options) -> DMoEConfig:
    return DMoEConfig(
        **{
            "num_experts": 2,
            "num_states": 1,
            "num_subcarriers": 2,
            "slot_duration_s": 0.03,
            "channel": GaussMarkovConfig(doppler_hz=4.0, round_duration_s=0.04),
            "csi": CSIConfig(delay_rounds=1, error_variance=ERROR_VARIANCE),
            **options,
        }
    )


@cache
def integrated_link(config: DMoEConfig, gain: float, payload: int) -> tuple[float, float]:
    """Success probability and mean energy [J], by adaptive integration over the present gain given the observed one."""
    variance = 1 - CORRELATION**2 * (1 - ERROR_VARIANCE)
    law = stats.ncx2(2, 2 * CORRELATION**2 * gain / variance, scale=variance / 2)
    width = config.subcarrier_bandwidth_hz
    least = (2 ** (payload * config.state_size_bit / width / config.slot_duration_s) - 1) / config.mean_snr

    def spent(gain: float) -> float:
        seconds = payload * config.state_size_bit / width / np.log2(1 + config.mean_snr * gain)
        return config.transmit_power_w * seconds * law.pdf(gain)

    chance = float(law.sf(least))
    edges = least * np.geomspace(1, 200 / least, 12)
    delivered = sum(integrate.quad(spent, *pair, epsrel=1e-10)[0] for pair in itertools.pairwise(edges))
    return chance, delivered + (1 - chance) * config.transmit_power_w * config.slot_duration_s


def least_expected_cost(round: Round) -> float:
    """By enumeration of every selection, every assignment of subcarriers and every outcome, for K = 2."""
    config = round.config
    computation, unit, limit = config.computation_energy_j, config.reference_energy_j, config.max_experts
    hidden = [(i, n) for i in range(2) for n in range(config.num_states)]
    sets = [(0,), (1,)] + ([(0, 1)] if limit == 2 else [])
    best = np.inf
    for choice in itertools.product(sets, repeat=len(hidden)):
        chosen = dict(zip(hidden, choice, strict=True))
        payload = [sum(1 - i in chosen[i, n] for n in range(config.num_states)) for i in range(2)]
        links = [i for i in range(2) if payload[i]]
        for used in itertools.permutations(range(config.num_subcarriers), len(links)):
            total = 2 * config.round_energy_j / unit
            chance = [1.0, 1.0]
            for i, m in zip(links, used, strict=True):
                chance[i], spent = integrated_link(config, float(round.gains[i, 1 - i, m]), payload[i])
                total += spent / unit
            for (i, n), experts in chosen.items():
                scores = round.gate_scores[i, n]
                target = min(round.threshold, np.sort(scores)[-limit:].sum())
                without = tuple(j for j in experts if j == i) or (i,)
                for probability, served in ((chance[i], experts), (1 - chance[i], without)):
                    shortfall = max(0.0, target - scores[list(served)].sum()) / len(hidden)
                    total += probability * (computation[list(served)].sum() / unit + config.shortfall_price * shortfall)
            best = min(best, total)
    return best


@pytest.mark.parametrize(
    "options",
    [
        {"shortfall_price": 2.0, "num_subcarriers": 1},
        {"shortfall_price": 2.0, "slot_duration_s": 0.015},
        {"shortfall_price": 5.0, "num_states": 2},
        {"shortfall_price": 100.0, "slot_duration_s": 0.015, "num_states": 2, "round_energy_j": 1e-4},
        {"shortfall_price": 5.0, "max_experts": 1, "num_subcarriers": 3},
    ],
)
def test_the_informed_bound_is_the_least_expected_cost_where_no_link_stands_in_anothers_way(options):
    """And below it elsewhere. Equal gains and equal scores are among the rounds."""
    config = config_of(**options)
    rng = np.random.default_rng(0)
    ties = 0
    for trial in range(6):
        scores = rng.dirichlet([0.5, 0.5], (2, config.num_states))
        gains = rng.exponential(0.95, (2, 2, config.num_subcarriers))
        if trial == 0:
            gains[:], scores[:] = 0.8, 0.5
        round = Round(scores, gains, config.threshold, config)
        bound, least = informed_bound(round, 1), least_expected_cost(round)
        assert bound <= least * (1 + 1e-8)
        if gains[0, 1].argmax() != gains[1, 0].argmax():
            assert bound == pytest.approx(least, rel=1e-8)
            ties += 1
    assert ties or config.num_subcarriers == 1


def test_without_chance_left_it_is_the_enumerated_cost_at_any_size_of_the_price():
    """In the first round without an error the gains are known, so that expectation is the cost itself."""
    config = config_of(csi=CSIConfig(delay_rounds=1), num_states=2, num_subcarriers=3)
    rng = np.random.default_rng(1)
    round = Round(rng.dirichlet([1, 1], (2, 2)), rng.exponential(size=(2, 2, 3)), config.threshold, config)
    success, energy = expect_exactly(round.gains, Constants.of(config), ChannelLaw.of(config, 0), 2)
    rate = np.log2(1 + config.mean_snr * round.gains[0, 1])
    assert success[0, 1, :, 1].tolist() == (config.slot_states * rate >= 2).astype(float).tolist()
    np.testing.assert_allclose(
        energy[0, 1, :, 1], Constants.of(config).transmission * np.minimum(2 / rate, config.slot_states)
    )


def test_energy_given_delivery_is_integrated():
    """Against adaptive quadrature over the present gain."""
    config = config_of(num_states=2)
    gains = np.array([0.01, 0.3, 1.0, 6.0])[None, None, :] * np.ones((2, 2, 1))
    constants = Constants.of(config)
    success, energy = expect_exactly(gains, constants, ChannelLaw.of(config, 1), 2)
    for m in range(4):
        for payload in (1, 2):
            chance, spent = integrated_link(config, float(gains[0, 1, m]), payload)
            assert success[0, 1, m, payload - 1] == pytest.approx(chance, abs=1e-9)
            assert energy[0, 1, m, payload - 1] == pytest.approx(spent / config.energy_unit_j, rel=1e-8)


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("slot", [1e-12, 1e-6, 1e-4])
def test_a_slot_in_which_nothing_arrives_leaves_every_node_to_itself(slot):
    """What must be reached overflows, the probability is 0: whoever sends pays for the slot in vain."""
    for scale in (0.01, 3.0):
        assert delivery(scale, np.array([0.5, 39.0]), np.array([1e100, np.inf])) == (pytest.approx([0, 0]),) * 2
    config = config_of(slot_duration_s=slot, shortfall_price=1e9)
    rng = np.random.default_rng(3)
    round = Round(rng.dirichlet([1, 1], (2, 1)), rng.exponential(size=(2, 2, 2)), config.threshold, config)
    success, energy = expect_exactly(round.gains, Constants.of(config), ChannelLaw.of(config, 1), 1)
    assert (success == 0).all()
    np.testing.assert_allclose(energy[0, 1], config.transmit_power_w * slot / config.energy_unit_j)
    assert informed_bound(round, 1) == pytest.approx(
        sum(
            config.computation_energy_j[i] / config.reference_energy_j
            + 1e9 * max(0, min(config.threshold, round.gate_scores[i, 0].max()) - round.gate_scores[i, 0, i]) / 2
            for i in range(2)
        )
    )


def test_the_table_follows_the_integral():
    """Where the observed gain stands for much and for little, and for links of any mean gain."""
    rng = np.random.default_rng(0)
    every, one = duration_table(0.3, 2, None), duration_table(0.3, 2, 3.0)
    errors = []
    for table, scale in [(every, scale) for scale in np.exp(rng.uniform(-4, 8, 200))] + [(one, 3.0)] * 50:
        root, payload = rng.uniform(0, 39), int(rng.integers(1, 3))
        success, duration = delivery(scale, np.array(root), np.sqrt(np.expm1(payload / 0.3 * np.log(2)) / scale))
        if success > 1e-3:
            exact = duration / success * np.log2(1 + scale * (root**2 + 2))
            errors.append(abs(longer(table[payload - 1], 2 * scale, root**2 / 2, 1.0) / exact - 1) * success)
    assert len(errors) > 100
    assert max(errors) < 0.01
    assert np.mean(errors) < 1e-3


def test_what_the_rule_expects_is_what_the_bound_integrates():
    config = config_of(num_experts=3, num_states=2, num_subcarriers=8)
    gains = np.random.default_rng(2).exponential(0.95, (3, 3, 8))
    constants, law = Constants.of(config), ChannelLaw.of(config, 1)
    success, energy = np.empty((3, 3, 8, 2)), np.empty((3, 3, 8, 2))
    expect(
        np.log2(1 + config.mean_snr * gains),
        constants,
        law,
        np.ones(3),
        np.ones(3),
        2,
        np.empty((3, 3, 8)),
        success,
        energy,
    )
    exact_success, exact_energy = expect_exactly(gains, constants, law, 2)
    np.testing.assert_allclose(success, exact_success, atol=2e-3)
    remote = ~np.eye(3, dtype=bool)
    np.testing.assert_allclose(energy[remote], exact_energy[remote], rtol=5e-3)

"""Blockage: the law of its chains, what it leaves of gains, and that nothing else of an episode depends on it."""

from __future__ import annotations

import numpy as np
import pytest
from channel_statistics import SEED, SIGMAS, generators

from dmoe_gym.channel import BlockageConfig, RayleighConfig

ROWS, LINKS = 200, (20, 20)


def drawn(config: BlockageConfig, rounds: int):
    """(rounds, rows, links) blocked, and the process."""
    process, rows, states = config.build(ROWS, LINKS, 1), np.arange(ROWS), []
    for round in range(rounds):
        (process.start if round == 0 else process.advance)(rows, GENERATORS[: len(rows)])
        states.append(process.blocked.copy())
    return np.array(states), process


GENERATORS = generators(ROWS)


def test_a_chain_is_stationary_and_its_correlation_falls_geometrically():
    """Equal rates on every link: a share of a / (a + b), and (1 - a - b)^d over d rounds."""
    config = BlockageConfig(clear_rounds=(10.0, 10.0), blocked_rounds=(4.0, 4.0))
    states, _ = drawn(config, 9)
    a, b, count = 1 / 10, 1 / 4, ROWS * LINKS[0] * LINKS[1]
    share = a / (a + b)
    assert np.abs(states.mean((1, 2, 3)) - share).max() < SIGMAS * np.sqrt(share * (1 - share) / count)
    flat = states.reshape(len(states), -1)
    for lag in (1, 3, 8):
        correlation = np.corrcoef(flat[0], flat[lag])[0, 1]
        assert correlation == pytest.approx((1 - a - b) ** lag, abs=SIGMAS * 2 / np.sqrt(count))


def test_mean_stays_are_log_uniform_in_their_ranges_and_last_an_episode():
    config = BlockageConfig(clear_rounds=(4.0, 64.0), blocked_rounds=(2.0, 32.0))
    _, process = drawn(config, 1)
    kept = process.rates.copy()
    process.advance(np.arange(ROWS), GENERATORS)
    np.testing.assert_array_equal(process.rates, kept)
    for rates, (low, high) in zip(kept.swapaxes(0, 1), (config.clear_rounds, config.blocked_rounds), strict=True):
        place = (np.log(1 / rates) - np.log(low)) / np.log(high / low)
        assert place.min() >= 0
        assert place.max() <= 1
        assert place.mean() == pytest.approx(0.5, abs=SIGMAS / np.sqrt(12 * place.size))
        assert place.std() == pytest.approx(np.sqrt(1 / 12), rel=0.01)


def test_chances_are_the_law_of_the_states():
    """Given the chance that the process tells, a state is a coin of it: in every bin of chances."""
    config = BlockageConfig()
    _, process = drawn(config, 4)
    process.advance(np.arange(ROWS), GENERATORS)
    for low in np.arange(0, 1, 0.1):
        inside = (process.chance >= low) & (process.chance < low + 0.1)
        if inside.sum() > 200:
            expected, share = process.chance[inside].mean(), process.blocked[inside].mean()
            assert share == pytest.approx(expected, abs=SIGMAS * 0.5 / np.sqrt(inside.sum()))


def test_blocked_links_are_as_deep_as_said_and_fading_goes_on():
    config = BlockageConfig(small_scale=RayleighConfig(), depth_db=13.0, clear_rounds=(2, 2), blocked_rounds=(2, 2))
    process, plain = config.build(2, (3, 3), 4), config.small_scale.build(2, (3, 3), 4)
    for round in range(5):
        (process.start if round == 0 else process.advance)(np.arange(2), generators(2, SEED + round))
        (plain.start if round == 0 else plain.advance)(np.arange(2), generators(2, SEED + round))
        factor = np.where(process.blocked, np.float32(10**-1.3), np.float32(1))[..., None]
        np.testing.assert_array_equal(process.gains, plain.gains * factor)
        np.testing.assert_array_equal(process.mean_gains, factor)
    assert config.law(1, 0.0) is None


def test_bad_ranges_are_named():
    with pytest.raises(ValueError, match=r"clear_rounds = \(8.0, 4.0\): valid are two numbers"):
        BlockageConfig(clear_rounds=(8, 4))
    with pytest.raises(ValueError, match="blocked_rounds"):
        BlockageConfig(blocked_rounds=(0.5, 4))
    with pytest.raises(ValueError, match="depth_db"):
        BlockageConfig(depth_db=0)

"""Frequency correlation against the Fourier transform of the power delay profile; the tables of TR 38.901."""

from __future__ import annotations

import json
from importlib import metadata

import numpy as np
import pytest
from channel_statistics import LINKS, SEED, amplitudes, assert_correlated, generators

from dmoe_gym.channel import GaussMarkovConfig, JakesConfig, RicianConfig, TappedDelayLineConfig
from dmoe_gym.channel.tapped_delay_line import exponential_taps, tr38901_taps
from dmoe_gym.dmoe import scenario

PROFILES = ["exponential", "TDL-A", "TDL-B", "TDL-C"]


@pytest.mark.parametrize("profile", PROFILES)
def test_frequency_correlation_is_the_transform_of_the_profile(profile):
    config, subcarriers = TappedDelayLineConfig(profile=profile), 16
    process = config.build(1, LINKS, subcarriers)
    process.start([0], generators())
    response = amplitudes(process)
    for apart in (1, 2, 5, 15):
        theory = config.taps(subcarriers).frequency_correlation(apart * config.subcarrier_spacing_hz)
        assert_correlated(response[..., apart], response[..., 0], theory)
        assert_correlated(response[..., subcarriers - 1], response[..., subcarriers - 1 - apart], theory)


@pytest.mark.parametrize("profile", ["exponential", "TDL-C"])
@pytest.mark.parametrize("evolution", [GaussMarkovConfig(), JakesConfig(rounds=8)], ids=str)
def test_correlation_over_rounds_and_subcarriers_is_the_product(profile, evolution):
    config = TappedDelayLineConfig(profile=profile, evolution=evolution)
    process, rngs = config.build(1, LINKS, 8), generators()
    process.start([0], rngs)
    first = amplitudes(process)
    for _ in range(3):
        process.advance([0], rngs)
    over_frequency = config.taps(8).frequency_correlation(3e6)
    assert_correlated(amplitudes(process)[..., 3], first[..., 0], config.lag_correlation(3) * over_frequency)


def test_the_fast_transform_is_the_sum_over_taps():
    """H[m] = sum_l sqrt(p_l) a_l exp(-2 pi j m spacing tau_l), of the taps' own amplitudes."""
    config, subcarriers = TappedDelayLineConfig(), 12
    process = config.build_amplitude(1, (3, 3), subcarriers)
    rngs = generators()
    process.start_amplitude(0, rngs[0])
    process.advance_amplitude(0, rngs[0])
    taps, of_taps = config.taps(subcarriers), config.evolution.amplitude_process(1, (3, 3), 2 * subcarriers)
    again = generators()[0]
    of_taps.start_amplitude(0, again)
    of_taps.advance_amplitude(0, again)
    real, imaginary = of_taps.amplitude[0].astype(float)
    turns = config.subcarrier_spacing_hz * np.outer(taps.delays_s, np.arange(subcarriers))
    expected = ((real + 1j * imaginary) * np.sqrt(taps.powers)) @ np.exp(-2j * np.pi * turns)
    np.testing.assert_allclose(process.amplitude[0, 0], expected.real, atol=1e-5)
    np.testing.assert_allclose(process.amplitude[0, 1], expected.imag, atol=1e-5)


def test_links_are_independent():
    process = TappedDelayLineConfig().build(1, LINKS, 4)
    process.start([0], generators())
    response = amplitudes(process)
    assert_correlated(response[:50], response[50:], 0)
    assert_correlated(response[:, :500], response[:, 500:], 0)


@pytest.mark.parametrize("name", PROFILES[1:])
def test_tables_have_unit_delay_spread_and_the_tables_count_of_taps(name):
    """TR 38.901 normalises the delays to a root-mean-square delay spread of 1: a check of all values at once."""
    taps = tr38901_taps(name, 1.0)
    assert len(taps.delays_s) == len(taps.powers) == {"TDL-A": 23, "TDL-B": 23, "TDL-C": 24}[name]
    assert taps.powers.sum() == pytest.approx(1)
    assert taps.delay_spread_s == pytest.approx(1, abs=1e-4)


@pytest.mark.parametrize("subcarriers", [1, 16, 64])
@pytest.mark.parametrize("delay_spread_s", [3e-8, 1e-7, 1e-6])
def test_exponential_profile_against_its_closed_form(subcarriers, delay_spread_s):
    taps = exponential_taps(delay_spread_s, subcarriers, 1e6)
    ratio = delay_spread_s * 2 * subcarriers * 1e6
    q = ((np.sqrt(1 + 4 * ratio**2) - 1) / (2 * ratio)) ** 2
    assert np.sqrt(q) / (1 - q) == pytest.approx(ratio)  # the delay spread of the profile without an end
    apart = np.arange(subcarriers)
    theory = (1 - q) / (1 - q * np.exp(-1j * np.pi * apart / subcarriers))
    np.testing.assert_allclose(taps.frequency_correlation(apart * 1e6), theory, atol=1e-8)
    # the documented distance to the profile without a grid
    if ratio >= 1:
        np.testing.assert_allclose(theory, continuous(apart, delay_spread_s), atol=0.6 / ratio)


def continuous(apart: np.ndarray, delay_spread_s: float) -> np.ndarray:
    """The correlation of an exponential profile without a grid, over subcarriers of 1 MHz."""
    return 1 / (1 + 2j * np.pi * apart * 1e6 * delay_spread_s)


def test_the_shipped_scenario_has_the_correlation_of_its_grid():
    """`selective`: closed form by hand from q, against draws, and what the documentation says of the difference."""
    config, apart = scenario("selective").channel, np.arange(10)
    q = ((np.sqrt(5) - 1) / 2) ** 2  # taps as far apart as the delay spread is long
    theory = (1 - q) / (1 - q * np.exp(-1j * np.pi * apart / 10))
    process = config.build(1, LINKS, 10)
    process.start([0], generators())
    response = amplitudes(process)
    for distance in (1, 3, 9):
        assert_correlated(response[..., distance], response[..., 0], theory[distance])
    smooth = continuous(apart, config.delay_spread_s)
    assert abs(theory - smooth).max() == pytest.approx(0.44, abs=0.005)
    assert abs(abs(theory) - abs(smooth)).max() == pytest.approx(0.12, abs=0.005)


@pytest.mark.parametrize("profile", PROFILES)
def test_no_delay_spread_is_flat_and_large_delay_spread_decorrelates(profile):
    flat = TappedDelayLineConfig(profile=profile, delay_spread_s=0.0).build(1, (3, 3), 8)
    flat.start([0], generators())
    np.testing.assert_allclose(flat.gains, np.broadcast_to(flat.gains[..., :1], flat.gains.shape), rtol=1e-4)
    selective = TappedDelayLineConfig(profile=profile, delay_spread_s=3.3e-6).build(1, LINKS, 2)
    selective.start([0], generators())
    taps = TappedDelayLineConfig(profile=profile, delay_spread_s=3.3e-6).taps(2)
    response = amplitudes(selective)
    assert_correlated(response[..., 1], response[..., 0], taps.frequency_correlation(1e6))
    # one subcarrier apart is then beyond the coherence bandwidth, where the correlation is down to one half
    assert abs(taps.frequency_correlation(1e6)) < 0.5


def test_line_of_sight_is_flat_over_subcarriers():
    config = RicianConfig(k_factor=3.0, scattered=TappedDelayLineConfig(profile="TDL-A"))
    process = config.build(1, LINKS, 8)
    process.start([0], generators())
    scattered = (amplitudes(process) - np.sqrt(0.75)) / np.sqrt(0.25)
    taps = config.scattered.taps(8)
    assert_correlated(scattered[..., 5], scattered[..., 0], taps.frequency_correlation(5e6))


def test_subcarrier_spacing_and_delay_spread_only_enter_through_their_product():
    first = TappedDelayLineConfig(delay_spread_s=1e-7, subcarrier_spacing_hz=1e6).build(1, (2, 2), 8)
    second = TappedDelayLineConfig(delay_spread_s=1e-6, subcarrier_spacing_hz=1e5).build(1, (2, 2), 8)
    first.start([0], generators())
    second.start([0], generators())
    np.testing.assert_allclose(first.gains, second.gains, rtol=1e-5)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"profile": "TDL-D"}, r"profile = 'TDL-D': .*'exponential', 'TDL-A', 'TDL-B' or 'TDL-C'"),
        ({"delay_spread_s": -1e-9}, r"delay_spread_s = -1e-09"),
        ({"subcarrier_spacing_hz": 0.0}, r"subcarrier_spacing_hz = 0.0"),
        ({"evolution": {"kind": "rician"}}, r"evolution.*'gauss_markov', 'jakes', 'rayleigh' or"),
        ({"evolution": {"kind": "jakes", "taps": 3}}, r"unexpected keyword argument 'taps'"),
    ],
)
def test_bad_configurations_are_named(fields, message):
    with pytest.raises(ValueError, match=message):
        TappedDelayLineConfig(**fields)


@pytest.mark.parametrize("version", ["v16_1", "v19_2"])
@pytest.mark.parametrize("letter", ["A", "B", "C"])
def test_tables_equal_those_of_sionna(letter, version):
    """An independent copy of the tables, where `pip install sionna-no-rt` has put one; it is not a dependency."""
    try:
        packaged = metadata.files("sionna-no-rt") or []
    except metadata.PackageNotFoundError:
        pytest.skip("sionna-no-rt is not installed")
    (path,) = [path for path in packaged if path.match(f"tr38901/models/{version}/TDL-{letter}.json")]
    theirs = json.loads(path.locate().read_text(encoding="utf-8"))
    taps = tr38901_taps(f"TDL-{letter}", 1.0)
    np.testing.assert_array_equal(taps.delays_s, theirs["delays"])
    powers = 10 ** (np.array(theirs["powers"]) / 10)
    np.testing.assert_allclose(taps.powers, powers / powers.sum(), rtol=1e-12)


def test_sionna_draws_have_our_correlations_over_subcarriers_and_rounds():
    """Sionna's own generator of TDL-A (torch, sums of sinusoids) as an oracle of both transforms; not a dependency."""
    tr38901 = pytest.importorskip("sionna.phy.channel.tr38901")
    torch = pytest.importorskip("torch")
    from sionna.phy import config as sionna_config
    from sionna.phy.channel import cir_to_ofdm_channel

    sionna_config.seed = SEED
    doppler_hz, carrier_hz, links = 20.0, 3.5e9, 10_000
    speed = doppler_hz * 299_792_458 / carrier_hz
    coefficients, delays = tr38901.TDL("A", 1e-7, carrier_hz, min_speed=speed, max_speed=speed)(links, 3, 100.0)
    response = cir_to_ofdm_channel(torch.arange(16) * 1e6, coefficients, delays, normalize=False)
    response = response.cpu().numpy().reshape(links, 3, 16)
    config = TappedDelayLineConfig(profile="TDL-A", evolution=JakesConfig(doppler_hz=doppler_hz))
    for apart in (1, 3, 15):
        theory = config.taps(16).frequency_correlation(apart * 1e6)
        assert_correlated(response[:, 0, apart], response[:, 0, 0], theory)
    for rounds in (1, 2):
        assert_correlated(response[:, rounds, 5], response[:, 0, 5], config.lag_correlation(rounds))

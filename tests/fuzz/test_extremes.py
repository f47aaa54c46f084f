"""The ends of configurations: what lies beyond is refused before memory or time is taken, what lies inside works."""

from __future__ import annotations

import re
from pathlib import Path

import gymnasium as gym
import numpy as np
import pytest

from dmoe_gym.channel import LargeScaleConfig
from dmoe_gym.dmoe import DMoEConfig, Round, Schedule, check, scenario
from dmoe_gym.evaluation import evaluate_line_up
from dmoe_gym.wdmoe import WDMoEConfig

BEYOND = [
    ("DMoE-JESA-v0", {"subcarrier_bandwidth_hz": 5e-324}, "subcarrier_bandwidth_hz = 5e-324"),
    ("DMoE-JESA-v0", {"transmit_power_w": 1.1e12}, "transmit_power_w = 1100000000000.0"),
    ("DMoE-JESA-v0", {"transmit_power_w": 0.9e-12}, "transmit_power_w = 9e-13"),
    ("WDMoE-v0", {"device_speed_range_flops": (1.1e24, 1.0)}, r"device_speed_range_flops.* = 1.1e\+24"),
    ("DMoE-JESA-v0", {"shortfall_price": 1e300}, r"shortfall_price = 1e\+300"),
    ("DMoE-JESA-v0", {"num_experts": 1000, "num_subcarriers": 60_000}, "num_subcarriers = 60000.*GiB"),
    ("DMoE-JESA-v0", {"csi": {"delay_rounds": 60_000}, "num_subcarriers": 60_000}, "num_subcarriers = 60000.*GiB"),
    ("DMoE-JESA-v0", {"channel": {"kind": "jakes", "rounds": 10**9}}, "rounds = 1000000000"),
    ("DMoE-JESA-v0", {"channel": {1: 2}}, "DMoEConfig.channel is {1: 2}"),
    ("DMoE-JESA-v0", {"scenario": []}, r"scenario = \[\]"),
    ("WDMoE-v0", {"scenario": []}, r"scenario = \[\]"),
    ("WDMoE-v0", {"carrier_hz": 3.5}, "carrier_hz = 3.5"),
    ("WDMoE-v0", {"distance_range_m": (0.01, 1.0), "base_station_power_w": 1e6}, "bit/s/Hz.*at most 64"),
    ("WDMoE-v0", {"scenario": "mixtral", "num_tokens": 65_000, "num_devices": 65_000}, "num_tokens = 65000.*GiB"),
    ("WDMoE-v0", {"distance_range_m": []}, "distance_range_m"),
    ("WDMoE-v0", {"device_speeds_flops": ()}, "device_speeds_flops"),
    ("ChannelAwareGating-v0", {"num_inputs": 10**12}, "num_inputs"),
]


@pytest.mark.parametrize(("env_id", "fields", "words"), BEYOND)
def test_what_lies_beyond_is_refused_by_name(env_id, fields, words):
    with pytest.raises(ValueError, match=words) as error:
        gym.make(env_id, **fields)
    assert "\n" not in str(error.value)


# the smallest systems, in which no two fields stand in each other's way, by the page that says the limits of fields
SMALLEST = {
    "dmoe.md": DMoEConfig(num_experts=2, num_subcarriers=1, num_layers=1, max_experts=1),
    "wdmoe.md": WDMoEConfig(
        num_devices=2,
        num_tokens=1,
        num_blocks=1,
        max_experts=1,
        noise_dbm_per_hz=0.0,
        base_station_power_w=1e-9,
        device_power_w=1e-9,
        distance_range_m=(1e6, 1e6),
    ),
}


def limits(page: str) -> list[tuple[str, str, float, float]]:
    """(page, field, lowest, highest) of the page's sentence "Limits, ...: `field`, `field` LOWEST to HIGHEST; ..."."""
    said = (Path(__file__).parents[2] / "docs" / page).read_text().partition("Limits, ")[2].partition("\n\n")[0]
    found = []
    for names, *ends in re.findall(r"((?:`\w+`,?\s+)+)(-?[\de.,-]+)\s+to\s+(-?[\de.,-]*\d)", said):
        low, high = (float(end.replace(",", "")) for end in ends)
        found += [(page, name, low, high) for name in re.findall(r"`(\w+)`", names)]
    return found


@pytest.mark.parametrize(("page", "field", "low", "high"), [each for page in SMALLEST for each in limits(page)])
def test_limits_are_those_of_the_manual(page, field, low, high):
    """Both ends are valid, a little more is not and is named."""
    config = SMALLEST[page]
    default = getattr(config, field)
    for end, beyond in ((low, low - max(abs(low) / 100, 1e-6)), (high, high * 1.01 + (high == 0))):
        if isinstance(default, int):
            end, beyond = int(end), int(end) + (1 if end == high else -1)
        pair = isinstance(default, tuple)
        config.replace(**{field: (end, end) if pair else end})
        with pytest.raises(
            ValueError, match=rf"{field}.* = {re.escape(str(beyond))}.* (greater|less) than or equal to"
        ):
            config.replace(**{field: (beyond, beyond) if pair else beyond})


def test_the_manual_says_the_limits_of_every_number():
    for page, config in SMALLEST.items():
        known = {field for _, field, _, _ in limits(page)}
        numbers = {name for name in type(config).model_fields if isinstance(getattr(config, name), int | float)}
        assert numbers - known == {"max_experts"} | {
            name for name in numbers if isinstance(getattr(config, name), bool)
        }


@pytest.mark.parametrize("env_id", ["DMoE-JESA-v0", "WDMoE-v0", "ChannelAwareGating-v0"])
def test_batches_are_refused_before_their_memory_is_taken(env_id):
    with pytest.raises(ValueError, match=r"num_envs = 1000000000: would take about .* GiB, valid are at most 4 GiB"):
        gym.make_vec(env_id, num_envs=10**9, vectorization_mode="vector_entry_point")


def test_every_bound_is_inside_of_double_precision():
    """Units and references of the extreme corners are positive and finite."""
    for low in (True, False):
        dmoe = DMoEConfig(
            subcarrier_bandwidth_hz=1.0 if low else 1e12,
            transmit_power_w=1e-12 if low else 1e12,
            state_size_bit=1e12 if low else 1.0,
            mean_snr_db=-50.0 if low else 100.0,
            computation_energy_range=(0.0, 0.0) if low else (1e9, 1e9),
        )
        assert 0 < dmoe.energy_unit_j < np.inf
        assert 0 < dmoe.reference_energy_j < np.inf
    config = WDMoEConfig(bandwidth_hz=1e12, noise_dbm_per_hz=0.0, device_power_w=1e-9, distance_range_m=(1e6, 1e6))
    assert config.numbers() > 0


def test_scheduled_rounds_pass_the_check_at_low_snr_and_high_price():
    """Where a 32-bit SNR has few digits left, a decision is judged by what it could have seen."""
    for price in (1e3, 1e9):
        rows = evaluate_line_up(
            "DMoE-JESA-v0",
            seeds=range(4),
            names=("random", "top-2", "DES", "JESA", "value-greedy"),
            mean_snr_db=-50.0,
            shortfall_price=price,
        )
        assert len(rows) == 20
        assert [row for row in rows if row["violations"]] == []
        assert all(np.isfinite(row["cost"]) for row in rows)


def test_the_check_still_sees_a_cure_that_32_bit_show():
    """At the same low SNR: a link of a tenth of the others' energy is a cure, at any rounding."""
    config = scenario("small").replace(mean_snr_db=-50.0, shortfall_price=1e9, num_experts=2, max_experts=1)
    scores = np.array([[[0.2, 0.8]], [[0.0, 1.0]]])
    gains = np.ones((2, 2, config.num_subcarriers))
    selected = np.zeros((2, 1, 2), bool)
    selected[0, 0, 0] = selected[1, 0, 1] = True
    schedule = Schedule(selected, np.zeros(gains.shape, bool))
    assert "C1" in check(Round(scores, gains, 0.5, config), schedule)[0]


def test_efficiency_near_a_node_stays_in_its_space():
    channel = LargeScaleConfig(
        area_m=0.001, path_loss_exponent=10.0, minimum_distance_m=0.001, reference_distance_m=1e6, shadowing_std_db=30.0
    )
    env = gym.make("DMoE-JESA-v0", channel=channel, mean_snr_db=100.0, disable_env_checker=True)
    for seed in range(5):
        observation, _ = env.reset(seed=seed)
        assert env.observation_space.contains(observation)
        # 60 dB over gain 1 and 100 dB of SNR, faded by less than 40 dB either way
        away = observation["spectral_efficiency"][~np.eye(4, dtype=bool)]
        assert np.log2(1e12) < away.max() < np.log2(1e20)

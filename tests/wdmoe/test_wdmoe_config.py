"""Configuration and scenarios: strict, and what follows from the fields by hand."""

from __future__ import annotations

import numpy as np
import pytest

from dmoe_gym.wdmoe import SCENARIOS, WDMoEConfig, scenario


def test_scenarios_have_the_sizes_of_the_design():
    assert scenario("testbed").num_devices == 4
    assert len(set(scenario("testbed").device_speeds)) == 4
    assert (scenario("mixtral").num_devices, scenario("mixtral").num_blocks) == (8, 32)
    assert scenario("crowd").num_devices == 64


def test_unknown_scenario_lists_the_valid_ones():
    with pytest.raises(ValueError, match=r"'jetson'.*testbed, mixtral, crowd"):
        scenario("jetson")


def test_numbers_that_follow_from_mixtral_sizes():
    config = scenario("mixtral")
    assert config.payload_bit == 65536
    assert config.token_flops == 6 * 4096 * 14336 + 2 * 14336
    assert config.noise_density == pytest.approx(3.981e-21, rel=1e-4)
    assert config.device_speeds[[0, -1]].tolist() == [20e12, 2e12]


@pytest.mark.parametrize(
    ("overrides", "words"),
    [
        ({"max_experts": 9}, "max_experts = 9.*num_devices = 8"),
        ({"distance_range_m": (200.0, 20.0)}, "distance_range_m"),
        ({"device_speeds_flops": (1e12,)}, "device_speeds_flops has 1 entries.*8"),
        ({"bandwidth_hz": 0.0}, "bandwidth_hz = 0.0"),
        ({"relevance_share": 1.1}, "relevance_share = 1.1"),
        ({"bandwidth": 1e6}, "unexpected keyword argument 'bandwidth'.*bandwidth_hz"),
        ({"channel": "sunshine"}, "channel"),
    ],
)
def test_bad_fields_are_named(overrides, words):
    with pytest.raises(ValueError, match=words):
        scenario("mixtral").replace(**overrides)


def test_lists_and_arrays_are_accepted_for_speeds():
    speeds = np.array([1e12, 2e12])
    from_array = WDMoEConfig(num_devices=2, device_speeds_flops=speeds)
    assert from_array == WDMoEConfig(num_devices=2, device_speeds_flops=speeds.tolist())
    assert from_array.device_speeds.tolist() == speeds.tolist()


def test_presets_cannot_be_changed():
    with pytest.raises(TypeError):
        SCENARIOS["mixtral"] = scenario("crowd")
    with pytest.raises(ValueError, match="read-only"):
        scenario("crowd").device_speeds[0] = 1.0

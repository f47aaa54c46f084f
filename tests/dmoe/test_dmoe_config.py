"""The configuration: what it refuses and in which words, and what the scenarios are."""

from __future__ import annotations

import pickle
import re
from pathlib import Path

import numpy as np
import pytest

from dmoe_gym.channel import GaussMarkovConfig, RayleighConfig
from dmoe_gym.dmoe import SCENARIOS, DMoEConfig, scenario
from dmoe_gym.dmoe.config import NodesConfig

# field, a value that it must refuse, and what the message must hold besides the field
BAD = [
    ("num_experts", 1, ["1", "2"]),
    ("num_experts", 4.0, ["4.0", "integer"]),
    ("num_experts", True, ["True", "integer"]),
    ("num_states", 0, ["0", "1"]),
    ("num_subcarriers", 0, ["0", "1"]),
    ("num_subcarriers", -3, ["-3", "1"]),
    ("num_layers", 0, ["0", "1"]),
    ("num_layers", "8", ["'8'", "integer"]),
    ("max_experts", 0, ["0", "1"]),
    ("max_experts", 5, ["5", "num_experts = 4"]),
    ("threshold", -0.1, ["-0.1", "0"]),
    ("threshold", 1.1, ["1.1", "1"]),
    ("threshold", float("nan"), ["nan", "finite"]),
    ("threshold", None, ["None", "number"]),
    ("importance_factor", 0.0, ["0.0", "greater than or equal to"]),
    ("importance_factor", 1.01, ["1.01", "1"]),
    ("shortfall_price", -1.0, ["-1.0", "0"]),
    ("shortfall_price", float("inf"), ["inf", "finite"]),
    ("subcarrier_bandwidth_hz", 0.0, ["0.0", "greater than or equal to"]),
    ("transmit_power_w", -0.01, ["-0.01", "greater than or equal to"]),
    ("state_size_bit", 0, ["0", "greater than or equal to"]),
    ("mean_snr_db", "10 dB", ["'10 dB'", "number"]),
    ("mean_snr_db", 1000.0, ["1000.0", "100"]),
    ("computation_energy_range", (0.5, -1.0), ["-1.0", "0"]),
    ("computation_energy_range", (0.5,), ["required"]),
    ("round_energy_j", -1e-3, ["-0.001", "0"]),
    ("channel", "fog", ["fog", "rayleigh", "gauss_markov"]),
    ("channel", {"kind": "gauss_markov", "doppler_hz": -1.0}, ["doppler_hz", "-1.0", "0"]),
    ("channel", {"kind": "rayleigh", "speed": 3}, ["speed", "valid fields", "kind"]),
    ("relevance", {"kind": "dirichlet", "concentration": 0.0}, ["concentration", "0.0", "greater than or equal to"]),
    ("no_such_field", 1, ["unexpected keyword argument", "num_experts", "threshold"]),
]


@pytest.mark.parametrize(("field", "value", "words"), BAD)
def test_bad_values_are_refused_in_one_line_that_names_them(field, value, words):
    for build in (lambda: DMoEConfig(**{field: value}), lambda: DMoEConfig().replace(**{field: value})):
        with pytest.raises(ValueError) as error:
            build()
        message = str(error.value)
        assert "\n" not in message
        # a bad field inside the channel's own configuration is named as that
        assert field in message or words[0] in message
        for word in words:
            assert word in message


@pytest.mark.parametrize("name", ["Small", "", "tiny", None, 5, ["small"]])
def test_unknown_scenario_names_the_valid_ones(name):
    with pytest.raises(ValueError, match="scenario") as error:
        scenario(name)
    for valid in SCENARIOS:
        assert valid in str(error.value)


def test_scenarios_have_the_designed_sizes():
    sizes = {
        name: (config.num_experts, config.num_states, config.num_subcarriers, config.num_layers)
        for name, config in SCENARIOS.items()
    }
    designed = {"small": (4, 1, 16, 8), "paper": (8, 4, 64, 32), "scarce": (6, 2, 8, 8), "large": (32, 4, 1024, 8)}
    assert {name: sizes[name] for name in designed} == designed
    for name in designed:
        config = SCENARIOS[name]
        assert scenario(name) is config
        links = config.num_experts * (config.num_experts - 1)
        assert (config.num_subcarriers < links) == (name == "scarce")
        assert (config.subcarrier_bandwidth_hz, config.transmit_power_w, config.state_size_bit) == (1e6, 0.01, 65536)
        assert (config.mean_snr_db, config.threshold, config.max_experts, config.round_energy_j) == (10, 0.5, 2, 0)
        assert config.importance_factor == (0.98 if name == "paper" else 1.0)


def test_replace_makes_a_validated_copy_and_configurations_are_frozen():
    config = scenario("small")
    changed = config.replace(threshold=0.25, channel="gauss_markov")
    assert changed.threshold == 0.25
    assert changed.channel == GaussMarkovConfig()
    assert config.threshold == 0.5
    assert config.channel == RayleighConfig()
    with pytest.raises(ValueError, match="frozen"):
        config.threshold = 0.3


def test_numpy_scalars_and_lists_are_welcome():
    config = DMoEConfig(num_experts=np.int64(5), threshold=np.float32(0.5), computation_energy_range=[1, 2])
    assert config == DMoEConfig(num_experts=5, threshold=0.5, computation_energy_range=(1.0, 2.0))


def test_equality_and_hash_are_those_of_the_fields():
    """Whatever has been computed from one of them since."""
    one, other = DMoEConfig(threshold=0.25), DMoEConfig(threshold=0.25)
    assert one.computation_energy_j.shape == (4,)
    assert one == other
    assert other.computation_energy_j is not one.computation_energy_j
    assert one == other
    assert hash(one) == hash(other)
    assert one != other.replace(channel="gauss_markov")
    assert one != RayleighConfig()
    believing = [one.replace(residual={"believes": {"mean_snr_db": value}}) for value in (3.0, 3.0, 4.0)]
    assert hash(believing[0]) == hash(believing[1])
    assert len(set(believing)) == 2  # mappings are compared by what they say
    assert pickle.loads(pickle.dumps(one)) == one


def test_defaults_are_those_of_the_manual():
    """docs/dmoe.md says them as SYMBOL NUMBER UNIT."""
    page = (Path(__file__).parents[2] / "docs" / "dmoe.md").read_text()
    said = " ".join(page.partition("Defaults (assumed): ")[2].partition("\n\n")[0].split())
    units = {"MHz": 1e6, "mW": 1e-3}
    config = DMoEConfig()
    for symbol, value in {
        "K": config.num_experts,
        "N": config.num_states,
        "M": config.num_subcarriers,
        "L": config.num_layers,
        "B0": config.subcarrier_bandwidth_hz,
        "P0": config.transmit_power_w,
        "s0": config.state_size_bit,
        "mean SNR": config.mean_snr_db,
        "z": config.threshold,
        "gamma": config.importance_factor,
        "D": config.max_experts,
        "V": config.shortfall_price,
        "b": config.round_energy_j,
    }.items():
        found = re.search(rf"\b{symbol} ([\d.,]*\d) ?(\w*)", said)
        assert found, symbol
        assert float(found[1].replace(",", "")) * units.get(found[2], 1) == pytest.approx(value), symbol
    low, high = config.computation_energy_range
    assert f"from {low} to {high:g} times the mean link's energy" in said
    assert f"Dirichlet({config.relevance.concentration}, plus {config.relevance.domain_bonus:g}" in said


def test_nodes_that_share_a_budget_share_their_reward():
    assert NodesConfig(reward="team", relevance_budget=0.5).relevance_budget == 0.5
    assert NodesConfig(reward="own").relevance_budget is None
    with pytest.raises(ValueError, match=r"reward = 'own': valid under a relevance budget.* is 'team'"):
        NodesConfig(reward="own", relevance_budget=0.5)

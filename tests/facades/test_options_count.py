"""What is asked for counts, or is refused by name: options that one environment has and its neighbour does not."""

from __future__ import annotations

import gymnasium as gym
import numpy as np
import pytest

from dmoe_gym.evaluation import compare, evaluate_line_up
from dmoe_gym.wdmoe.inference import WDMoEInferenceConfig

REFUSED = [
    ("DMoE-Nodes-Residual-v0", {"observe": "neighbours"}, "observe = 'neighbours': valid .* 'own'"),
    ("DMoE-Nodes-Residual-v0", {"residual": {"underneath": "JESA"}}, r"residual\.underneath = 'JESA': valid .* None"),
    ("DMoE-Nodes-Residual-v0", {"residual": {"believes": {"mean_snr_db": 3.0}}}, r"residual\.believes"),
    ("DMoE-Inference-Residual-v0", {"residual": {"reward": "saving"}}, r"residual\.reward = 'saving': valid .* 'cost'"),
    ("WDMoE-v0", {"scenario": "mixtral", "num_devices": 2, "channel": "large_scale"}, "channel = .*one base station"),
    ("ChannelAwareGating-v0", {"channel": "large_scale"}, "channel = .*one server"),
    ("ChannelAwareGating-v0", {"csi": {"delay_rounds": 3}}, "csi = .*without a channel"),
    (
        "ChannelAwareGating-v0",
        {"num_envs": 20_000, "channel": "rayleigh", "csi": {"delay_rounds": 65_536}},
        "num_envs = 20000.*GiB",
    ),
]


@pytest.mark.parametrize(("env_id", "options", "words"), REFUSED)
def test_an_option_that_would_change_nothing_is_refused(env_id, options, words):
    with pytest.raises(ValueError, match=words) as error:
        gym.make_vec(env_id, vectorization_mode="vector_entry_point", **{"num_envs": 1, **options})
    assert "\n" not in str(error.value)


def test_a_range_of_speeds_takes_the_place_of_a_scenario_s_speeds():
    env = gym.make("WDMoE-v0", device_speed_range_flops=(1e9, 1e9)).unwrapped
    assert (env.config.device_speeds == 1e9).all()


def test_a_number_of_numpy_s_is_that_number():
    for states in (8, np.int64(8)):
        assert WDMoEInferenceConfig(query_states=states).num_tokens == 32
        # a prompt is four queries where their number is not given
        assert gym.make("WDMoE-Inference-v0", query_states=states).unwrapped.config.num_tokens == 32


def test_options_that_decide_others_go_together():
    given = {"query_states": 8, "device_speed_range_flops": (1e9, 1e9)}
    config = gym.make("WDMoE-Inference-v0", **given).unwrapped.config
    assert config.num_tokens == 32
    assert (config.device_speeds == 1e9).all()
    assert config.replace(num_tokens=16, query_states=4).num_tokens == 16


def test_what_is_seen_of_a_round_is_what_schedulers_see():
    env = gym.make("WDMoE-v0", csi={"delay_rounds": 1, "error_variance": 0.3}).unwrapped
    env.reset(seed=0)
    observation, *_ = env.step(np.zeros(8, np.float32))
    share = env.config.bandwidth_hz / env.config.num_devices
    seen = np.log2(1 + env.observed_round.downlink_cn0 / share)
    np.testing.assert_allclose(seen, observation["downlink_efficiency"], rtol=1e-5)
    assert (env.round.downlink_cn0 != env.observed_round.downlink_cn0).any()
    gating = gym.make("ChannelAwareGating-v0", scenario="stale").unwrapped
    gating.reset(seed=0)
    observation, *_ = gating.step(0)
    np.testing.assert_allclose(np.log10(gating.observed_round.snr), observation["snr_bel"], rtol=1e-5)
    assert (gating.observed_round.snr != gating.round.snr).all()


@pytest.mark.parametrize("env_id", ["WDMoE-Residual-v0", "WDMoE-Inference-Residual-v0", "DMoE-Nodes-Residual-v0"])
def test_what_corrects_a_schedule_encodes_none(env_id):
    env = gym.make(env_id).unwrapped
    env.reset(seed=0)
    with pytest.raises(NotImplementedError, match="cannot name a whole schedule"):
        env.encode(env.schedule)
    assert len(env.feature_names) == env.observation_space.shape[0]


def test_search_ends_where_computation_dwarfs_transmission():
    """Both a change and its undoing freed bandwidth there, by rounding."""
    env = gym.make(
        "WDMoE-Residual-v0",
        scenario="mixtral",
        num_tokens=8,
        expert_hidden_size=10**9,
        device_speed_range_flops=(1e4, 1e4),
    )
    env.reset(seed=0)
    for _ in range(32):
        *_, terminated, _, info = env.step(np.zeros(16, np.float32))
        assert np.isfinite(info["latency_s"])
    assert terminated


def test_comparisons_leave_out_what_has_no_such_metric():
    rows = evaluate_line_up("WDMoE-v0", seeds=(seed for seed in (0, 1)), names=("top-2-equal", "lower-bound"))
    assert [each.policy for each in compare(rows, "top-2-equal", metric="relevance")] == ["top-2-equal"]
    assert len(compare(rows, "top-2-equal")) == 2
    with pytest.raises(ValueError, match="names = 'exact': valid are names in a list"):
        evaluate_line_up("WDMoE-v0", seeds=[0], names="exact")

"""The single environment: its construction, resets, and what may be asked of it."""

from __future__ import annotations

import gymnasium as gym
import numpy as np
import pytest
from dmoe_builders import ENV_IDS, JOINT, SEQUENTIAL, make
from rollouts import assert_equal

from dmoe_gym.dmoe import Round, Schedule
from dmoe_gym.facades.manual import short
from dmoe_gym.registration import system_of


@pytest.mark.parametrize("env_id", ENV_IDS)
def test_scenarios_and_overrides_reach_the_configuration(env_id):
    configuration = system_of(env_id).configuration
    assert make(env_id).config == configuration("small")
    env = make(env_id, scenario="scarce", threshold=0.25, channel={"kind": "gauss_markov", "doppler_hz": 5.0})
    assert env.config == configuration("scarce").replace(threshold=0.25, channel=env.config.channel)
    assert env.config.channel.doppler_hz == 5


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"scenario": "smal"}, ["scenario", "'smal'", "small, paper, scarce, large"]),
        ({"scenario": ["small"]}, ["scenario", "['small']", "small, paper, scarce, large"]),
        ({"num_layer": 3}, ["unexpected keyword argument", "num_layer", "num_layers"]),
        ({"num_envs": 3}, ["unexpected keyword argument", "num_envs", "num_layers"]),
        ({"threshold": 1.5}, ["threshold", "1.5"]),
        ({"threshold": float("nan")}, ["threshold", "nan"]),
        ({"max_experts": 5}, ["max_experts", "5", "num_experts = 4"]),
        ({"num_subcarriers": 0}, ["num_subcarriers", "0"]),
        ({"channel": {"kind": "rayleigh", "speed": 3}}, ["speed", "kind"]),
    ],
)
@pytest.mark.parametrize("env_id", [JOINT, SEQUENTIAL])
def test_bad_construction_is_refused(env_id, options, words):
    with pytest.raises(ValueError) as error:
        gym.make(env_id, **options)
    for word in words:
        assert word in str(error.value)


def test_an_unknown_render_mode_is_refused():
    with pytest.raises(ValueError, match=r"render_mode = 'holo'.*rgb_array"), pytest.warns(UserWarning, match="holo"):
        gym.make(JOINT, render_mode="holo")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"options": {"speed": 1}}, ["options", "speed", "environment_index"]),
        ({"seed": 1, "options": {"environment_index": -1}}, ["environment_index", "-1", "at least 0"]),
        ({"seed": 1, "options": {"environment_index": 0.5}}, ["environment_index", "0.5", "whole"]),
        ({"options": {"environment_index": 1}}, ["environment_index", "1", "seed"]),
    ],
)
def test_bad_resets_are_refused(arguments, words):
    with pytest.raises(ValueError) as error:
        make(JOINT).reset(**arguments)
    for word in words:
        assert word in str(error.value)


def test_steps_need_a_reset_first_and_after_the_end():
    env = gym.make(JOINT, num_layers=1)
    with pytest.raises(gym.error.ResetNeeded):
        env.step(env.action_space.sample())
    with pytest.raises(RuntimeError, match="reset"):
        env.unwrapped.step(env.action_space.sample())
    env.reset(seed=1)
    assert env.step(env.action_space.sample())[2]
    with pytest.raises(RuntimeError, match="reset"):
        env.step(env.action_space.sample())
    env.reset()
    env.step(env.action_space.sample())


@pytest.mark.parametrize("env_id", ENV_IDS)
def test_round_and_schedule_are_snapshots(env_id):
    """What was handed out stays as it was when the environment goes on."""
    env = make(env_id, scenario="small")
    env.reset(seed=2)
    round = env.round
    assert isinstance(round, Round)
    scores, gains = round.gate_scores.copy(), round.gains.copy()
    env.action_space.seed(2)
    env.step(env.action_space.sample())
    schedule = env.schedule
    assert isinstance(schedule, Schedule)
    selected, allocated = schedule.selected.copy(), schedule.allocated.copy()
    for _ in range(3):
        env.step(env.action_space.sample())
    env.reset()
    np.testing.assert_array_equal(round.gate_scores, scores)
    np.testing.assert_array_equal(round.gains, gains)
    np.testing.assert_array_equal(schedule.selected, selected)
    np.testing.assert_array_equal(schedule.allocated, allocated)


@pytest.mark.parametrize("env_id", ENV_IDS)
def test_only_ids_that_need_masks_have_them(env_id):
    env = gym.make(env_id)
    _, info = env.reset(seed=3)
    env.action_space.seed(3)
    for told in (info, env.step(env.action_space.sample(info.get("action_mask")))[-1]):
        assert ("action_mask" in told) == (env_id == SEQUENTIAL)
    assert env.has_wrapper_attr("action_masks") == (env_id == SEQUENTIAL)
    if env_id == SEQUENTIAL:
        np.testing.assert_array_equal(told["action_mask"], env.get_wrapper_attr("action_masks")())


@pytest.mark.parametrize("env_id", ENV_IDS)
def test_info_names_every_reward_term_with_its_unit(env_id):
    env = make(env_id)
    env.reset(seed=4)
    info = env.step(env.action_space.sample())[-1]
    terms = {"cost", "energy_communication_J", "energy_computation_J", "relevance", "shortfall", "repairs", "outages"}
    assert info.keys() - {"action_mask"} == terms
    assert all(type(info[name]) is float for name in terms)


@pytest.mark.parametrize("low", [-1.0, 0.0])
def test_spaces_are_told_in_a_line(low):
    """A box of one range as Gymnasium writes it, of several ranges by its shape."""
    assert short(gym.spaces.Box(low, 1.0, (3,))) == str(gym.spaces.Box(low, 1.0, (3,)))
    for ends in ((np.array([low, 0.5]), 1.0), (low, np.array([1.0, 2.0]))):
        told = short(gym.spaces.Box(*(np.full(2, end) for end in ends), dtype=np.float64))
        assert told == "Box of (2,) float64, the parts in this order, each row by row"
    assert short(gym.spaces.MultiDiscrete([2, 2, 5])) == "MultiDiscrete of 3"
    assert short(gym.spaces.Discrete(4)) == "Discrete(4)"
    assert short(gym.spaces.Dict({"a": gym.spaces.Discrete(4)})) == "Dict of 1 arrays"


def test_the_seed_that_is_told_before_the_first_reset_gives_the_episodes():
    env = make(JOINT, num_layers=1)
    told = env.np_random_seed
    first, second = env.reset()[0], env.reset()[0]
    again = make(JOINT, num_layers=1)
    assert_equal(again.reset(seed=told)[0], first)
    assert_equal(again.reset()[0], second)

"""What callers of every facade may rely on: keywords, actions, infos, seeds, limits of steps, windows, pictures."""

from __future__ import annotations

import gymnasium as gym
import numpy as np
import pytest
from dmoe_builders import DES, INFERENCE, JOINT, PRICE, SEQUENTIAL, make
from gymnasium.vector import AutoresetMode
from gymnasium.wrappers import TimeLimit
from rollouts import ALL_IDS, assert_equal, draw_actions, short_episodes
from stable_baselines3.common.vec_env import VecMonitor

from dmoe_gym.evaluation import evaluate
from dmoe_gym.facades.stable_baselines import BatchedVecEnv

FACADES = {
    "make": lambda env_id, **options: gym.make(env_id, **options),
    "make_vec": lambda env_id, **options: gym.make_vec(env_id, num_envs=2, **options),
    "sync": lambda env_id, **options: gym.make_vec(env_id, num_envs=2, vectorization_mode="sync", **options),
    "VecEnv": lambda env_id, **options: BatchedVecEnv(env_id, 2, **options),
    "evaluate": lambda env_id, **options: evaluate(None, env_id, seeds=[1], **options),
}
BOXES = [env_id for env_id in ALL_IDS if isinstance(gym.make(env_id).action_space, gym.spaces.Box)]


def test_an_id_makes_no_other_environment():
    swapped = {"env_id": "WDMoE-v0"}
    for made in ("DMoE-JESA-v0", "mo-DMoE-JESA-v0"):
        with pytest.raises(TypeError, match="got an unexpected keyword argument 'env_id'"):
            gym.make(made, **swapped)
    for mode in ("sync", "vector_entry_point"):
        with pytest.raises(TypeError, match="got an unexpected keyword argument 'env_id'"):
            gym.make_vec("DMoE-JESA-v0", num_envs=2, vectorization_mode=mode, **swapped)


@pytest.mark.parametrize("facade", FACADES)
@pytest.mark.parametrize("env_id", ALL_IDS)
def test_an_unknown_keyword_is_pythons_type_error(env_id, facade):
    with pytest.raises(TypeError, match=r"got an unexpected keyword argument 'frameskip'; valid fields are .*channel"):
        FACADES[facade](env_id, frameskip=1)


@pytest.mark.parametrize("facade", FACADES)
@pytest.mark.parametrize(
    "options",
    [{"threshold": 1.5}, {"scenario": "smal"}, {"channel": {"kind": "rayleigh", "speed": 3}}, {"channel": "no such"}],
)
def test_a_known_keyword_with_a_bad_value_is_a_value_error(facade, options):
    with pytest.raises(ValueError) as error:
        FACADES[facade](JOINT, **options)
    assert not isinstance(error.value, TypeError)
    assert next(iter(options)) in str(error.value)


def test_what_a_scenario_brings_and_an_id_refuses_names_the_scenario():
    for scenario in ("stale", "budget", "battery", "mobile"):
        for create in FACADES.values():
            with pytest.raises(ValueError, match=f"scenario = '{scenario}'.*None"):
                create(DES, scenario=scenario)
    with pytest.raises(ValueError, match=r"^battery_j = 1.0"):
        make(DES, scenario="small", battery_j=1.0)


# --- actions


@pytest.mark.parametrize("env_id", BOXES)
def test_box_actions_are_clipped_to_the_space(env_id):
    env = make(env_id, **short_episodes(env_id))
    envs = gym.make_vec(env_id, num_envs=1, **short_episodes(env_id))
    for_sb3 = BatchedVecEnv(env_id, 1, **short_episodes(env_id))
    outside = np.random.default_rng(0).normal(size=env.action_space.shape) * 3
    inside = np.clip(outside, -1, 1).astype(np.float32)
    env.reset(seed=3)
    *expected, _ = env.step(inside)
    for given in (outside, outside.astype(np.float32), outside.tolist()):
        env.reset(seed=3)
        observation, reward, *_ = env.step(given)
        assert_equal(observation, expected[0])
        assert reward == expected[1]
        envs.reset(seed=3)
        assert envs.step([given])[1][0] == expected[1]
        for_sb3.seed(3)
        for_sb3.reset()
        assert for_sb3.step([given])[1][0] == np.float32(expected[1])
    env.reset(seed=3)
    huge = env.step(np.where(outside > 0, 1e300, -1e300))
    env.reset(seed=3)
    largest = env.step(np.sign(outside).astype(np.float32))
    assert_equal(huge[0], largest[0])
    assert huge[1] == largest[1]


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_actions_that_are_not_finite_are_refused(value):
    env, envs = make(PRICE), gym.make_vec(PRICE, num_envs=2)
    env.reset(seed=1)
    envs.reset(seed=1)
    action = np.zeros(env.action_space.shape)
    action[2] = value
    with pytest.raises(ValueError, match=rf"^action\[2\] = {value}.*finite"):
        env.step(action)
    with pytest.raises(ValueError, match=rf"^action\[1, 2\] = {value}.*finite"):
        envs.step([np.zeros_like(action), action])


@pytest.mark.parametrize("state", [None, (np.zeros(3),)])
@pytest.mark.parametrize("env_id", [JOINT, SEQUENTIAL, PRICE, DES])
def test_the_pair_that_predict_returns_is_no_action(env_id, state):
    env, envs = make(env_id), gym.make_vec(env_id, num_envs=2)
    for_sb3 = BatchedVecEnv(env_id, 2)
    actions = draw_actions(env.action_space, 1, 2)[0]
    for each, action in ((env, actions[0]), (envs, actions), (for_sb3, actions)):
        each.reset()
        with pytest.raises(ValueError, match=r"\(action, state\)"):
            each.step((action, state))


@pytest.mark.parametrize("action", [None, "up", [[1], [2, 3]], np.zeros(3), object()])
@pytest.mark.parametrize("env_id", ALL_IDS)
def test_other_actions_are_refused_in_words_of_one_environment(env_id, action):
    env = make(env_id)
    env.reset(seed=1)
    with pytest.raises(ValueError, match=r"^action") as error:
        env.step(action)
    assert "batch" not in str(error.value)
    assert "environments" not in str(error.value)


# --- infos


@pytest.mark.parametrize("env_id", ALL_IDS)
def test_infos_of_reset_and_step_have_the_same_keys_and_types(env_id):
    env = make(env_id, **short_episodes(env_id))
    envs = gym.make_vec(env_id, num_envs=2, **short_episodes(env_id))
    for each, terms in ((env, env.core.terms), (envs, envs.core.terms)):
        _, first = each.reset(seed=1)
        each.action_space.seed(1)
        later = each.step(each.action_space.sample())[-1]
        assert first.keys() == later.keys()
        assert all(np.asarray(first[key]).dtype == np.asarray(later[key]).dtype for key in first)
        assert all(not np.any(first[name]) for name in terms)
        _, again = each.reset()  # what the step left is gone
        assert all(not np.any(again[name]) for name in terms)


def test_sb3s_monitor_reads_terms_at_an_episodes_end():
    names = ("cost", "repairs")
    envs = VecMonitor(BatchedVecEnv(JOINT, 2, num_layers=2), info_keywords=names)
    envs.reset()
    single = make(JOINT, num_layers=2)
    envs.seed(4)
    envs.reset()
    single.reset(seed=4)
    for action in draw_actions(envs.action_space, 2, 2):
        infos = envs.step(action)[3]
        last = single.step(action[0])[4]
    assert {name: infos[0]["episode"][name] for name in names} == {name: last[name] for name in names}


# --- seeds


@pytest.mark.parametrize("seed", [-1, 1.5, 3.0, "3", True, np.float32(2), [1], {}, object()])
def test_seeds_that_are_no_whole_numbers_are_refused(seed):
    with pytest.raises(ValueError, match=r"^seed"):
        make(JOINT).reset(seed=seed)
    if seed != [1]:
        with pytest.raises(ValueError, match=r"^seed"):
            gym.make_vec(JOINT, num_envs=2).reset(seed=seed)
        with pytest.raises(ValueError, match=r"^seed\[1\]"):
            gym.make_vec(JOINT, num_envs=2).reset(seed=[0, seed])
    with pytest.raises(ValueError, match=r"^seed"):
        BatchedVecEnv(JOINT, 2).seed(seed)


@pytest.mark.parametrize("seed", [np.int64(7), np.uint8(7), np.array(7)])
def test_whole_numbers_of_any_type_are_seeds(seed):
    env, envs, for_sb3 = make(JOINT), gym.make_vec(JOINT, num_envs=1), BatchedVecEnv(JOINT, 1)
    expected = env.reset(seed=7)[0]
    assert_equal(env.reset(seed=seed)[0], expected)
    for observations in (envs.reset(seed=seed)[0], envs.reset(seed=np.array([seed]))[0]):
        assert_equal({key: values[0] for key, values in observations.items()}, expected)
    for_sb3.seed(seed)
    assert_equal({key: values[0] for key, values in for_sb3.reset().items()}, expected)


@pytest.mark.parametrize("seed", [None, 5, 2**127 + 3])
def test_every_seed_that_is_told_gives_the_episodes_again(seed):
    """Two episodes of every environment, by the number that each facade tells."""
    env = make(JOINT)
    first = env.reset(seed=seed)[0], env.reset()[0]
    assert_equal((env.reset(seed=env.np_random_seed)[0], env.reset()[0])[1], first[1])

    def singly(told, episodes, rows=(0, 1, 2)):
        for row, number in ((row, told[row]) for row in rows):
            alone = env.reset(seed=number)[0], env.reset()[0]
            for one, other in zip(alone, episodes, strict=True):
                assert_equal(one, {key: values[row] for key, values in other.items()})
            assert env.np_random_seed == number

    envs = gym.make_vec(JOINT, num_envs=3)
    episodes = envs.reset(seed=seed)[0], envs.reset()[0]
    told = envs.np_random_seed
    assert seed is None or told == seed
    assert_equal(envs.reset(seed=told)[0], episodes[0])
    envs.reset(seed=[told, 1, None])
    told_each = envs.np_random_seed
    assert told_each[:2] == (told, 1)
    singly(told_each, episodes, (0, 2))
    for_sb3 = BatchedVecEnv(JOINT, 3)
    told = for_sb3.seed(seed)
    singly(told, (for_sb3.reset(), for_sb3.reset()))


def test_a_generator_that_is_set_is_used():
    env = make(JOINT)
    env.np_random = np.random.Generator(np.random.PCG64(np.random.SeedSequence(6, spawn_key=(0,))))
    assert env.np_random_seed == -1
    observation, _ = env.reset()
    assert_equal(observation, make(JOINT).reset(seed=6)[0])


def test_seeds_of_environments_that_are_not_reset_are_refused():
    envs = gym.make_vec(JOINT, num_envs=2)
    envs.reset(seed=1)
    with pytest.raises(ValueError, match=r"seed\[1\] = 4.*reset_mask.*None"):
        envs.reset(seed=[3, 4], options={"reset_mask": np.array([True, False])})
    envs.reset(seed=[3, None], options={"reset_mask": np.array([True, False])})


def test_options_of_a_vec_env_are_used_or_refused():
    envs = BatchedVecEnv(JOINT, 2)
    envs.seed(5)
    envs.set_options({"environment_index": 3})
    observations = envs.reset()
    expected = make(JOINT).reset(seed=5, options={"environment_index": 3})[0]
    for row in range(2):
        assert_equal({key: values[row] for key, values in observations.items()}, expected)
    for options, words in (
        ({"speed": 1}, "unknown key 'speed'"),
        ({"environment_index": 1}, "only together with a seed"),
        ([{}], "1 given, valid is one mapping or 2"),
        ([3, {}], "options = 3"),
    ):
        envs.set_options(options)
        with pytest.raises(ValueError, match=words):
            envs.reset()
    with pytest.raises(ValueError, match="options"):
        make(JOINT).reset(options=[1])
    with pytest.raises(ValueError, match="options"):
        gym.make_vec(JOINT, num_envs=2).reset(options=[1])


# --- limits of steps


@pytest.mark.parametrize("mode", [AutoresetMode.NEXT_STEP, AutoresetMode.SAME_STEP])
@pytest.mark.parametrize("env_id", [JOINT, SEQUENTIAL, INFERENCE])
def test_step_limits_are_those_of_gymnasiums_time_limit(env_id, mode):
    options = {**short_episodes(env_id, 3), "max_episode_steps": 2}
    ours = gym.make_vec(env_id, num_envs=2, autoreset_mode=mode, **options)
    theirs = gym.make_vec(
        env_id, num_envs=2, vectorization_mode="sync", vector_kwargs={"autoreset_mode": mode}, **options
    )
    ours.reset(seed=[1, 2])
    theirs.reset(seed=[1, 2])
    cut = 0
    for actions in draw_actions(ours.single_action_space, 9, 2):
        step, expected = ours.step(actions), theirs.step(actions)
        for one, other in zip(step[:4], expected[:4], strict=True):
            assert_equal(one, dict(other) if isinstance(other, dict) else other)
        cut += step[3].sum()
    assert cut >= 6


def test_step_limits_of_a_vec_env_are_truncations_to_sb3():
    envs = BatchedVecEnv(JOINT, 1, num_layers=5, max_episode_steps=2)
    single = TimeLimit(make(JOINT, num_layers=5), 2)
    envs.seed(8)
    envs.reset()
    single.reset(seed=8)
    costs = []
    for actions in draw_actions(envs.action_space, 2, 1):
        observations, _, dones, infos = envs.step(actions)
        last, _, _, truncated, info = single.step(actions[0])
        costs.append(info["cost"])
    assert truncated
    assert dones[0]
    assert infos[0]["TimeLimit.truncated"]
    assert infos[0]["episode"]["cost"] == pytest.approx(np.mean(costs))
    assert_equal(infos[0]["terminal_observation"], last)
    assert_equal({key: values[0] for key, values in observations.items()}, single.reset()[0])


@pytest.mark.parametrize("limit", [0, -2, 1.5, True, "3"])
def test_other_step_limits_are_refused(limit):
    for create in (FACADES["make_vec"], FACADES["VecEnv"]):
        with pytest.raises(ValueError, match=f"max_episode_steps = {limit!r}"):
            create(JOINT, max_episode_steps=limit)


# --- batches


@pytest.mark.parametrize("mode", AutoresetMode)
def test_a_step_before_every_environment_was_reset_says_so(mode):
    envs = gym.make_vec(JOINT, num_envs=3, autoreset_mode=mode)
    envs.reset(options={"reset_mask": np.array([True, False, True])})
    with pytest.raises(RuntimeError, match="environment 1 was never reset"):
        envs.step(draw_actions(envs.single_action_space, 1, 3)[0])
    envs.reset(options={"reset_mask": np.array([False, True, False])})
    envs.step(draw_actions(envs.single_action_space, 1, 3)[0])


@pytest.mark.parametrize(
    "options", [{"copy": "no"}, {"copy": 1}, {"flat": "yes"}, {"autoreset_mode": "Sometimes"}, {"render_mode": "holo"}]
)
def test_bad_options_of_a_batch_are_named(options):
    with pytest.raises(ValueError, match=next(iter(options))):
        gym.make_vec(JOINT, num_envs=2, **options)


# --- pictures


def test_pictures_are_shown_at_one_speed_everywhere():
    speed = make(JOINT).metadata["render_fps"]
    assert gym.make_vec(JOINT, num_envs=2).metadata["render_fps"] == speed
    assert BatchedVecEnv(JOINT, 2, render_mode="rgb_array").metadata["render_fps"] == speed


def test_closing_one_window_leaves_the_others(monkeypatch):
    monkeypatch.setenv("SDL_VIDEODRIVER", "dummy")
    pygame = pytest.importorskip("pygame")
    one, other = (gym.make(JOINT, render_mode="human") for _ in range(2))
    one.reset(seed=1)
    other.reset(seed=1)
    other.close()
    assert pygame.display.get_surface() is not None
    one.step(one.action_space.sample())
    pygame.quit()  # as other suites' environments do when they close
    one.step(one.action_space.sample())
    assert pygame.display.get_surface() is not None
    one.close()
    one.close()
    assert not pygame.display.get_init()
    pygame.display.init()
    pygame.display.set_mode((64, 48))  # another suite's window
    one = gym.make(JOINT, render_mode="human")
    one.reset(seed=1)
    pygame.display.set_mode((64, 48))
    one.close()
    assert pygame.display.get_surface() is not None
    pygame.display.quit()


def test_a_seed_of_one_environment_of_a_batch_is_told_in_one_number():
    """Below 2^128 a seed is of a batch; i * 2^128 more of its environment i alone."""
    env = make(JOINT)
    expected = env.reset(seed=5, options={"environment_index": 1})[0]
    assert_equal(env.reset(seed=5 + 2**128)[0], expected)
    assert env.np_random_seed == 5 + 2**128
    for refused in (gym.make_vec(JOINT, num_envs=2).reset, BatchedVecEnv(JOINT, 2).seed):
        with pytest.raises(ValueError, match="valid for a batch is one below 2"):
            refused(seed=2**128)
    gym.make_vec(JOINT, num_envs=2).reset(seed=2**128 - 1)


def test_the_environment_that_has_ended_is_named():
    envs = gym.make_vec(JOINT, num_envs=3, autoreset_mode=AutoresetMode.DISABLED, num_layers=2)
    envs.reset(seed=1)
    actions = draw_actions(envs.single_action_space, 1, 3)[0]
    envs.step(actions)
    envs.reset(options={"reset_mask": np.array([True, False, True])})
    envs.step(actions)
    with pytest.raises(RuntimeError, match="environment 1 has ended"):
        envs.step(actions)

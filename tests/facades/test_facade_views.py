"""Views of the same episodes: flat observations, choices for bits, vector rewards, every node for itself."""

from __future__ import annotations

from fractions import Fraction
from operator import mul

import gymnasium as gym
import numpy as np
import pytest
from dmoe_builders import DES, INFERENCE, JOINT, make
from gymnasium.wrappers import FlattenObservation
from rollouts import assert_equal, draw_actions, short_episodes, steps_across_ends

import dmoe_gym
from dmoe_gym.evaluation import evaluate
from dmoe_gym.facades.single import MultiObjectiveEnv, SingleEnv
from dmoe_gym.facades.stable_baselines import BatchedVecEnv
from dmoe_gym.registration import VIEWS

MULTI_OBJECTIVE = (JOINT, "WDMoE-v0", INFERENCE)


def test_every_id_has_a_flat_view_and_bits_have_choices():
    assert {shown.env_id for shown in VIEWS.values() if shown.flat} == set(dmoe_gym.ENVIRONMENTS)
    assert f"{JOINT[:-3]}-Flat-v0" in VIEWS
    for env_id in (DES, "ChannelAwareGating-v0"):
        options = {"top_k": 2} if env_id != DES else {}
        assert isinstance(make(env_id, **options).action_space, gym.spaces.MultiBinary)
        for addition in ("MultiDiscrete", "MultiDiscrete-Flat"):
            space = make(f"{env_id[:-3]}-{addition}-v0", **options).action_space
            assert isinstance(space, gym.spaces.MultiDiscrete)
            assert set(space.nvec) == {2}


@pytest.mark.parametrize("view", VIEWS)
def test_views_show_the_same_episodes(view):
    """Flat observations are Gymnasium's `FlattenObservation`; in every facade, across ends."""
    env_id, flat = VIEWS[view].env_id, VIEWS[view].flat
    options = short_episodes(env_id)
    original = make(env_id, **options)
    expected = FlattenObservation(original) if flat else original
    seen, envs = make(view, **options), gym.make_vec(view, num_envs=1, **options)
    for_sb3 = BatchedVecEnv(view, 1, **options)
    assert seen.observation_space == expected.observation_space == envs.single_observation_space
    assert for_sb3.observation_space == seen.observation_space
    for_sb3.seed(4)

    def only(observations):
        return observations[0] if flat else {key: values[0] for key, values in observations.items()}

    observation = expected.reset(seed=4)[0]
    for other in (seen.reset(seed=4)[0], only(envs.reset(seed=4)[0]), only(for_sb3.reset())):
        assert_equal(other, observation)
    ended = False
    for action in draw_actions(seen.action_space, steps_across_ends(env_id), 1)[:, 0]:
        last, reward, ended, _, info = expected.step(action)
        own = seen.step(action)
        assert_equal(own[0], last)
        assert (own[1], own[2], own[4].keys()) == (reward, ended, info.keys())
        batch, rewards, *_ = envs.step(action[None])
        assert_equal(only(batch), last)
        assert rewards[0] == reward
        batch, _, _, infos = for_sb3.step(action[None])
        if ended:
            assert_equal(infos[0]["terminal_observation"], last)
            break
        assert_equal(only(batch), last)
    assert ended


class FirstChoice:
    """Acts by what it sees alone, flat or not."""

    def predict(self, observation, state=None, episode_start=None, deterministic=False):
        flat = isinstance(observation, np.ndarray)
        size = len(observation) if flat else len(observation["progress"])
        return np.zeros((size, make(JOINT).action_space.shape[0]), int), None


def test_policies_are_evaluated_on_views():
    rows, flat = (evaluate(FirstChoice(), name, seeds=[1, 2]) for name in (JOINT, "DMoE-JESA-Flat-v0"))
    assert [row["cost"] for row in rows] == [row["cost"] for row in flat]


# --- vector rewards


@pytest.mark.parametrize(
    ("env_id", "priced"),
    # at this price a sum falls half way between two numbers in the ninth step
    [*((env_id, {}) for env_id in MULTI_OBJECTIVE), (JOINT, {"shortfall_price": 0.1})],
)
def test_vector_rewards_times_the_systems_weights_are_the_reward(env_id, priced):
    mo_gymnasium = pytest.importorskip("mo_gymnasium")
    options = short_episodes(env_id) | priced
    vector = mo_gymnasium.make(f"mo-{env_id}", **options)
    linear = mo_gymnasium.wrappers.LinearReward(vector, weight=vector.unwrapped.reward_weights)
    scalar = make(env_id, **options)
    for part in (scalar.__doc__, "minus the shortfall"):  # what `help` says is of both
        assert part in vector.unwrapped.__doc__
    space = vector.unwrapped.reward_space
    assert space.shape == vector.unwrapped.reward_weights.shape == (2,)
    assert (space.high == 0).all()  # minus what is spent, minus what is lost
    assert (space.low == -np.inf).all()
    linear.reset(seed=2)
    scalar.reset(seed=2)
    for action in draw_actions(scalar.action_space, 12, 1)[:, 0]:
        _, reward, ended, _, info = linear.step(action)
        _, expected, _, _, terms_of = scalar.step(action)
        assert reward == expected
        spent, lost = info["vector_reward"]
        assert vector.unwrapped.reward_space.contains(info["vector_reward"])
        expected = -(terms_of["shortfall"] if env_id != INFERENCE else ended * (1 - terms_of["correct"]))
        assert lost == pytest.approx(expected, rel=1e-14, abs=0)
        if "latency_s" not in terms_of:
            joules = terms_of["energy_communication_J"] + terms_of["energy_computation_J"]
            assert spent == pytest.approx(-joules / scalar.config.reference_energy_j, rel=1e-9)
        if ended:
            linear.reset()
            scalar.reset()


def test_only_last_digits_are_moved_for_an_exact_product(monkeypatch):
    """With a linear algebra library that rounds a product of vectors once, which few rewards show."""
    monkeypatch.setattr(np, "dot", lambda one, other: float(sum(map(mul, map(Fraction, one), map(Fraction, other)))))
    env, generator, moved = MultiObjectiveEnv(JOINT, num_layers=1), np.random.default_rng(0), 0
    for _ in range(2000):
        spent, lost, price = generator.exponential(), generator.random(), generator.uniform(0, 200)
        reward = -(spent + price * lost)
        monkeypatch.setattr(SingleEnv, "step", lambda self, action, reward=reward: (None, reward, False, False, {}))
        monkeypatch.setattr(env.core, "priced", lambda row, pair=(lost, price): pair)
        env.reward_weights = np.array([1.0, price])
        vector = env.step(None)[1]
        assert np.dot(vector, env.reward_weights) == reward
        assert vector[1] == pytest.approx(-lost, rel=1e-13, abs=0)
        assert abs(vector[0] + spent) <= 4 * np.spacing(abs(reward))
        moved += vector[1] != -lost
    assert moved > 0

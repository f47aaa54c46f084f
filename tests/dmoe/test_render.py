"""Pictures and texts: one consistent round, and numbers equal to those that the steps reported."""

from __future__ import annotations

import re
from itertools import pairwise

import gymnasium as gym
import numpy as np
import pytest

import dmoe_gym  # noqa: F401 - registers the environments
from dmoe_gym.dmoe import Schedule, energy, solve_jesa
from dmoe_gym.facades.stable_baselines import BatchedVecEnv

IDS = ["DMoE-DES-v0", "DMoE-JESA-v0", "DMoE-JESA-Sequential-v0", "DMoE-JESA-Price-v0"]
ENERGIES = ("energy_communication_J", "energy_computation_J")


def scene_of(env):
    core = env.unwrapped.core
    return core.recorder.scene(core, 0)


def make(env_id: str, mode: str | None, scenario: str = "small") -> tuple[gym.Env, dict]:
    env = gym.make(env_id, scenario=scenario, render_mode=mode)
    env.action_space.seed(3)
    return env, env.reset(seed=3)[1]


def sample(env: gym.Env, info: dict) -> object:
    return env.action_space.sample(mask=info["action_mask"]) if "action_mask" in info else env.action_space.sample()


def episode(env: gym.Env, info: dict):
    """Every step's info, whether it completed a round, and the round it worked on, as it was when it began."""
    core, ended, complete = env.unwrapped.core, False, True
    while not ended:
        layer = int(core.layer[0])
        if complete:
            round = env.unwrapped.round
        _, _, ended, _, info = env.step(sample(env, info))
        complete = bool(ended or core.layer[0] > layer)
        yield info, complete, round


def number_after(words: str, text: str) -> float:
    match = re.search(re.escape(words) + r" (-?[0-9.e+-]+)", text)
    assert match, f"{words!r} is not in {text!r}"
    return float(match[1])


@pytest.mark.parametrize("env_id", IDS)
def test_a_picture_is_rgb_and_changes_with_every_step(env_id):
    env, info = make(env_id, "rgb_array")
    pictures = [env.render()]
    for _ in range(2):
        _, _, _, _, info = env.step(sample(env, info))
        pictures.append(env.render())
    for picture in pictures:
        assert picture.dtype == np.uint8
        assert picture.shape == pictures[0].shape
        assert picture.shape[2] == 3
    assert all((first != second).any() for first, second in pairwise(pictures))


@pytest.mark.parametrize("scenario", ["scarce", "paper", "large"])
def test_every_scenario_has_a_picture(scenario):
    env, info = make("DMoE-JESA-v0", "rgb_array", scenario)
    env.step(sample(env, info))
    picture = env.render()
    assert picture.std() > 1


def test_a_picture_without_change_is_the_same_picture():
    env, info = make("DMoE-JESA-v0", "rgb_array")
    env.step(sample(env, info))
    np.testing.assert_array_equal(env.render(), env.render())


@pytest.mark.parametrize("env_id", IDS)
@pytest.mark.parametrize("scenario", ["small", "scarce", "battery", "budget"])
def test_energy_so_far_is_the_sum_of_infos_and_jesa_s_is_solve_jesa_s(env_id, scenario):
    if env_id == "DMoE-DES-v0" and scenario in ("battery", "budget"):
        pytest.skip("DMoE-DES-v0 has no limits that bind hidden states together")
    env, first = make(env_id, "ansi", scenario)
    own = reference = 0.0
    for info, complete, round in episode(env, first):
        own += sum(info[name] for name in ENERGIES)
        if complete:
            reference += energy(round, solve_jesa(round)).total
            scene = scene_of(env)
            # DMoE-DES-v0 charges link energies rounded to 32 bit
            np.testing.assert_allclose(scene.energies.sum(), own, rtol=1e-6)
            np.testing.assert_allclose(scene.jesa_energies.sum(), reference, rtol=1e-12)
            text = env.render()
            assert number_after("energy so far", text) == pytest.approx(1e3 * own, rel=1e-5)
            assert number_after("JESA", text) == pytest.approx(1e3 * reference, rel=1e-5)


@pytest.mark.parametrize("env_id", IDS)
def test_the_text_holds_the_round_s_terms(env_id):
    env, first = make(env_id, "ansi", "scarce")
    sums: dict[str, float] = {}
    for info, complete, _ in episode(env, first):
        for name in ("cost", "relevance", "shortfall", *ENERGIES):
            sums[name] = sums.get(name, 0.0) + info[name]
        text = env.render()
        assert number_after("repairs", text) == info["repairs"]
        assert ("decided" in text) == complete
        if complete:
            for name in ("cost", "relevance", "shortfall"):
                assert number_after(name, text) == pytest.approx(sums[name], rel=1e-5, abs=1e-6)
            assert number_after("mJ =", text) == pytest.approx(1e3 * sums[ENERGIES[0]], rel=1e-5)
            assert number_after("communication +", text) == pytest.approx(1e3 * sums[ENERGIES[1]], rel=1e-5)
            sums = {}


@pytest.mark.parametrize("env_id", IDS)
def test_the_shown_round_is_the_one_the_step_decided(env_id):
    env, info = make(env_id, "rgb_array")
    for _, complete, round in episode(env, info):
        scene = scene_of(env)
        np.testing.assert_array_equal(scene.round.gains, round.gains)
        np.testing.assert_array_equal(scene.round.gate_scores, round.gate_scores)
        assert scene.round.threshold == round.threshold
        np.testing.assert_allclose(scene.efficiency, round.spectral_efficiency, rtol=1e-5, atol=1e-5)
        assert scene.complete == complete
        if complete:
            assert (scene.schedule.selected.sum(-1) >= 1).all()


def test_an_encoded_schedule_is_the_schedule_shown():
    env, _ = make("DMoE-JESA-v0", "rgb_array", "scarce")
    schedule = solve_jesa(env.unwrapped.round)
    env.step(env.unwrapped.encode(schedule))
    shown = scene_of(env).schedule
    assert isinstance(shown, Schedule)
    np.testing.assert_array_equal(shown.selected, schedule.selected)
    np.testing.assert_array_equal(shown.allocated, schedule.allocated)


def test_a_new_episode_starts_without_energies_of_the_last_one():
    env, info = make("DMoE-JESA-v0", "ansi")
    list(episode(env, info))
    assert len(scene_of(env).energies) == env.unwrapped.config.num_layers
    env.reset()
    assert "nothing decided yet" in env.render()
    assert number_after("energy so far", env.render()) == 0


def test_recording_changes_no_episode_and_costs_nothing_without_a_render_mode():
    plain, plain_info = make("DMoE-JESA-v0", None)
    drawn, drawn_info = make("DMoE-JESA-v0", "rgb_array")
    assert plain.unwrapped.core.recorder is None
    for (first, *_), (second, *_) in zip(episode(plain, plain_info), episode(drawn, drawn_info), strict=True):
        assert first == second


def test_human_draws_into_a_window(monkeypatch):
    pygame = pytest.importorskip("pygame")
    monkeypatch.setenv("SDL_VIDEODRIVER", "dummy")
    env, info = make("DMoE-JESA-v0", "human")
    surface = pygame.display.get_surface()
    before = pygame.surfarray.array3d(surface)
    env.step(sample(env, info))
    assert (pygame.surfarray.array3d(surface) != before).any()
    assert env.render() is None
    env.close()
    assert not pygame.display.get_init()


def test_rendering_without_a_mode_warns_and_an_unknown_mode_is_refused():
    env, _ = make("DMoE-JESA-v0", None)
    with pytest.warns(UserWarning, match="without render_mode"):
        assert env.unwrapped.render() is None
    with pytest.raises(ValueError, match=r"render_mode.*'ansi'"):
        gym.make("DMoE-JESA-v0", render_mode="ascii").reset()


def test_batches_draw_every_environment():
    envs = gym.make_vec("DMoE-JESA-v0", num_envs=2, vectorization_mode="vector_entry_point", render_mode="rgb_array")
    envs.reset(seed=1)
    envs.step(envs.action_space.sample())
    first, second = envs.render()
    assert (first != second).any()
    batch = BatchedVecEnv("DMoE-JESA-v0", 2, render_mode="rgb_array")
    batch.seed(1)
    batch.reset()
    batch.step(np.stack([batch.action_space.sample() for _ in range(2)]))
    first, second = batch.get_images()
    assert (first != second).any()
    with pytest.raises(ValueError, match="render_mode = 'human'"):
        BatchedVecEnv("DMoE-JESA-v0", 2, render_mode="human")

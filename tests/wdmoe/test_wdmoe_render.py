"""Pictures and texts of WDMoE: one consistent block, and numbers equal to those that the steps reported."""

from __future__ import annotations

import re
from itertools import pairwise

import gymnasium as gym
import numpy as np
import pytest

import dmoe_gym  # noqa: F401 - registers the environments
from dmoe_gym.wdmoe import latency, solve_greedy

IDS = ["WDMoE-v0", "WDMoE-Joint-v0"]


def scene_of(env):
    core = env.unwrapped.core
    return core.recorder.scene(core, 0)


def make(env_id: str, mode: str | None, scenario: str = "testbed", **overrides: object) -> gym.Env:
    env = gym.make(env_id, scenario=scenario, render_mode=mode, **overrides)
    env.action_space.seed(3)
    env.reset(seed=3)
    return env


def episode(env: gym.Env):
    """Every step's info, and the block it decided."""
    ended = False
    while not ended:
        block = env.unwrapped.round
        _, _, ended, _, info = env.step(env.action_space.sample())
        yield info, block


def number_after(words: str, text: str) -> float:
    match = re.search(re.escape(words) + r" (-?[0-9.e+-]+)", text)
    assert match, f"{words!r} is not in {text!r}"
    return float(match[1])


@pytest.mark.parametrize("env_id", IDS)
def test_a_picture_is_rgb_and_changes_with_every_step(env_id):
    env = make(env_id, "rgb_array")
    pictures = [env.render()]
    for _ in range(2):
        env.step(env.action_space.sample())
        pictures.append(env.render())
    for picture in pictures:
        assert picture.dtype == np.uint8
        assert picture.shape == (800, 1280, 3)
    assert all((first != second).any() for first, second in pairwise(pictures))
    np.testing.assert_array_equal(env.render(), env.render())


@pytest.mark.parametrize("scenario", ["mixtral", "crowd"])
@pytest.mark.parametrize("mode", ["rgb_array", "ansi"])
def test_every_scenario_is_drawn(scenario, mode):
    env = make("WDMoE-v0", mode, scenario)
    before = env.render()
    env.step(env.action_space.sample())
    after = env.render()
    assert after.std() > 1 if mode == "rgb_array" else "decided" in after and "nothing" in before


@pytest.mark.parametrize("env_id", IDS)
def test_the_text_holds_the_block_s_terms(env_id):
    env = make(env_id, "ansi")
    assert "nothing decided yet" in env.render()
    own = greedy = 0.0
    for number, (info, block) in enumerate(episode(env), 1):
        own += info["latency_s"]
        greedy += latency(block, solve_greedy(block)).total
        text = env.render()
        assert f"Block {number} of 8, decided" in text
        assert number_after("cost", text) == pytest.approx(info["cost"], rel=1e-5)
        assert number_after("relevance", text) == pytest.approx(info["relevance"], rel=1e-5)
        assert number_after("repairs", text) == info["repairs"]
        assert number_after("latency", text) == pytest.approx(1e3 * info["latency_s"], rel=1e-5)
        line = next(line for line in text.splitlines() if line.startswith("latency in ms: "))
        shown = [float(part) for part in re.findall(r"([0-9.e+-]+) [a-z]", line)]
        names = ("downlink", "uplink", "computation", "waiting")
        np.testing.assert_allclose(shown, [1e3 * info[f"latency_{name}_s"] for name in names], rtol=1e-5, atol=1e-6)
        assert number_after("latency so far", text) == pytest.approx(1e3 * own, rel=1e-5)
        assert number_after("greedy", text) == pytest.approx(1e3 * greedy, rel=1e-5)


@pytest.mark.parametrize("env_id", IDS)
def test_the_shown_block_is_the_one_the_step_decided(env_id):
    env = make(env_id, "rgb_array", csi={"error_variance": 0.1})
    for number, (info, block) in enumerate(episode(env), 1):
        scene = scene_of(env)
        assert scene.number == number
        np.testing.assert_array_equal(scene.block.gate_weights, block.gate_weights)
        np.testing.assert_array_equal(scene.block.downlink_gains, block.downlink_gains)
        assert latency(scene.block, scene.allocation).total == pytest.approx(info["latency_s"], rel=1e-9)
        assert len(scene.latencies) == len(scene.greedy_latencies) == number


def test_marks_and_tokens_of_the_text_are_the_allocation():
    env = make("WDMoE-Joint-v0", "ansi")
    allocation = solve_greedy(env.unwrapped.round)
    env.step(env.unwrapped.encode(allocation))
    text = env.render()
    lines = text.splitlines()
    first = next(index for index, line in enumerate(lines) if line.startswith("     token"))
    marks = np.array(
        [[cell.endswith("*") for cell in re.findall(r"[0-9.]+[* ]", line[11:])] for line in lines[first + 1 :]]
    )
    np.testing.assert_array_equal(marks, allocation.selected)
    device = next(index for index, line in enumerate(lines) if line.startswith("device"))
    shown = [line.split() for line in lines[device + 1 : device + 5]]
    assert [int(cells[3]) for cells in shown] == allocation.tokens.tolist()
    np.testing.assert_allclose([float(cells[4]) for cells in shown], 1e-6 * allocation.bandwidth, atol=2e-3)


def test_a_new_episode_starts_without_latencies_of_the_last_one():
    env = make("WDMoE-v0", "ansi")
    list(episode(env))
    assert len(scene_of(env).latencies) == 8
    env.reset()
    assert "nothing decided yet" in env.render()
    assert number_after("latency so far", env.render()) == 0


def test_recording_changes_no_episode_and_costs_nothing_without_a_render_mode():
    plain, drawn = make("WDMoE-v0", None), make("WDMoE-v0", "rgb_array")
    assert plain.unwrapped.core.recorder is None
    for (first, _), (second, _) in zip(episode(plain), episode(drawn), strict=True):
        assert first == second


def test_batches_draw_every_environment():
    envs = gym.make_vec("WDMoE-v0", num_envs=2, vectorization_mode="vector_entry_point", render_mode="rgb_array")
    envs.reset(seed=1)
    envs.step(envs.action_space.sample())
    first, second = envs.render()
    assert (first != second).any()

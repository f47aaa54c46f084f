"""The page on extending the suite: its files run, do what the page says, and stand there."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import gymnasium as gym
import numpy as np
import pytest

ROOT = Path(__file__).resolve().parents[2]
FILES = sorted((ROOT / "examples" / "extending").glob("*.py"))


def test_the_page_shows_every_file():
    text = (ROOT / "docs" / "guides" / "extending.md").read_text()
    assert {ROOT / name for name in re.findall(r'--8<-- "(.*?)"', text)} == set(FILES)


def test_every_file_runs():
    """In a process of their own, for what they register is this process' own already."""
    pytest.importorskip("stable_baselines3")
    code = "import runpy, sys; [runpy.run_path(path, run_name='__main__') for path in sys.argv[1:]]"
    run = subprocess.run(
        [sys.executable, "-c", code, *map(str, FILES)], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert run.returncode == 0, run.stderr
    assert "difference to JESA" in run.stdout


def test_the_own_scheduler_is_feasible_and_in_the_line_up():
    from dmoe_gym.evaluation import evaluate_line_up
    from examples.extending.own_scheduler import BestScore

    names, extra = ("mine", "random"), {"mine": BestScore}
    rows = evaluate_line_up("DMoE-JESA-v0", scenario="scarce", seeds=range(5), names=names, extra=extra)
    assert {row["policy"] for row in rows} == {"mine", "random"}
    costs = {name: np.mean([row["cost"] for row in rows if row["policy"] == name]) for name in ("mine", "random")}
    assert costs["mine"] < costs["random"]
    assert all(row["violations"] == 0 for row in rows)


def test_the_own_harvest_has_the_mean_and_the_correlation_that_it_states():
    """The logarithm's are those of a stationary autoregressive process; 40,000 rounds in all."""
    from dmoe_gym.registration import line_up_of
    from examples.extending.own_harvest import WindConfig

    config = WindConfig(spread=0.5, correlation=0.8)
    process = config.process(400, 5)
    generators = [np.random.default_rng([7, row]) for row in range(400)]
    rows = np.arange(400)
    process.start(rows, generators)
    seen = [process.arrived.copy()]
    for _ in range(19):
        process.advance(rows, generators)
        seen.append(process.arrived.copy())
    arrived = np.array(seen)
    assert arrived.mean() == pytest.approx(config.mean_j, rel=0.02)
    logs = (np.log(arrived / config.mean_j) + 0.5**2 / 2) / 0.5
    assert np.mean(logs[:-1] * logs[1:]) == pytest.approx(0.8, abs=0.02)
    assert "JESA-harvest" in line_up_of("DMoE-JESA-v0", "harvest", harvest=config).policies


def test_the_own_scenario_is_its_configuration():
    from examples.extending.own_scenario import HARBOUR

    own, same = gym.make("Harbour-v0"), gym.make("DMoE-JESA-v0", **HARBOUR)
    assert own.unwrapped.config == same.unwrapped.config
    first, second = own.reset(seed=4)[0], same.reset(seed=4)[0]
    np.testing.assert_array_equal(first["spectral_efficiency"], second["spectral_efficiency"])


def test_the_fourth_system_passes_gymnasiums_checker_and_has_a_line_up():
    from gymnasium.utils.env_checker import check_env

    from dmoe_gym.evaluation import evaluate_line_up
    from examples.extending import own_system

    check_env(gym.make("Queue-v0").unwrapped, skip_render_check=True)
    batch = gym.make_vec("Queue-v0", num_envs=3, vectorization_mode="vector_entry_point")
    assert batch.reset(seed=0)[0]["queues"].shape == (3, 4)
    rows = evaluate_line_up("Queue-v0", scenario="busy", seeds=range(30))
    costs = {name: np.mean([row["cost"] for row in rows if row["policy"] == name]) for name in ("random", "greedy")}
    assert costs["greedy"] < costs["random"]
    # by hand: from empty queues the first token costs what its score leaves of 1
    env = gym.make("Queue-v0")
    seen, _ = env.reset(seed=1)
    _, reward, *_ = env.step(2)
    assert -reward == pytest.approx(1 - seen["gate_scores"][2])
    _, reward, _, _, info = env.step(2)
    waiting = own_system.QueueConfig().waiting_price * (1 - 1 / 4)
    assert -reward == pytest.approx(1 - info["relevance"] + waiting, rel=1e-5)


def test_the_own_network_learns_in_a_recipe():
    pytest.importorskip("stable_baselines3")
    from agents.config import TrainingConfig
    from dmoe_gym.facades.stable_baselines import BatchedVecEnv
    from examples.extending.own_network import NormedFeatures

    recipe = TrainingConfig(
        algorithm="ppo",
        env_id="DMoE-JESA-v0",
        scenario="small",
        group="own",
        total_timesteps=8,
        network={"kind": "normed", "width": 16},
    )
    env = BatchedVecEnv("DMoE-JESA-v0", num_envs=1, scenario="small")
    policy, arguments = recipe.network.policy(recipe, env)
    made = policy(env.observation_space, env.action_space, lambda _: 1e-3, **arguments)
    assert isinstance(made.features_extractor, NormedFeatures)
    assert env.action_space.contains(made.predict(env.reset())[0][0])
    with pytest.raises(ValueError, match=r"'normed' with algorithm = 'sac'"):
        TrainingConfig(**{**recipe.model_dump(), "algorithm": "sac", "env_id": "DMoE-JESA-Price-v0"})

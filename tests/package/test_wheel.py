"""A wheel in an empty environment outside the checkout: every id, a shipped recipe, shipped weights."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
IDS = """
import sys, gymnasium as gym, dmoe_gym
from dmoe_gym.registration import ENVIRONMENTS, VIEWS
assert "site-packages" in dmoe_gym.__file__
without = []
for env_id in (*ENVIRONMENTS, *VIEWS):
    try:
        env = gym.make(env_id)
        env.reset(seed=0)
        env.step(env.action_space.sample())
    except ImportError as error:
        assert "pip install 'dmoe_gym[" in str(error), error
        without.append(env_id)
torch_runs = ("ChannelAwareGating", "WDMoE-Inference")
assert without in ([], [name for name in (*ENVIRONMENTS, *VIEWS) if name.startswith(torch_runs)]), without
for taken in ("agents", "baselines", "experiments", "configs"):
    try:
        __import__(taken)
    except ModuleNotFoundError:
        continue
    raise AssertionError(f"{taken} is installed under a name that is everybody's")
print("all" if not without else "those without torch")
"""

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("outside")
    pip(sys.executable, "wheel", "--no-deps", "--wheel-dir", str(folder), str(ROOT))
    subprocess.run([sys.executable, "-m", "venv", str(folder / "venv")], check=True)
    return folder


def pip(python: str, *arguments: str) -> None:
    subprocess.run([python, "-m", "pip", "-q", *arguments], check=True, cwd="/")


def run(place: Path, *arguments: str) -> str:
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    program = place / "venv" / "bin" / arguments[0]
    done = subprocess.run([program, *arguments[1:]], cwd=place, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout


def test_the_base_runs_every_id_that_needs_no_torch(place):
    wheel = next(place.glob("*.whl"))
    python = str(place / "venv" / "bin" / "python")
    pip(python, "install", "-c", str(ROOT / "constraints.txt"), str(wheel))
    assert run(place, "python", "-W", "ignore", "-c", IDS).startswith("those without torch")
    assert "ChannelAwareGating-v0 needs torch" in run(place, "dmoe-gym", "list")
    run(place, "dmoe-gym", "evaluate", "DMoE-JESA-v0", "--episodes", "1", "-p", "JESA", "-p", "random")


def test_with_its_extra_it_trains_recipes_and_evaluates_weights_that_ship(place):
    wheel = next(place.glob("*.whl"))
    python = str(place / "venv" / "bin" / "python")
    pip(python, "install", "-c", str(ROOT / "constraints.txt"), f"{wheel}[train]")
    assert run(place, "python", "-W", "ignore", "-c", IDS).startswith("all")
    said = run(place, "dmoe-gym", "train", "dqn_tiny", "--seed", "0", "--timesteps", "2000", "--jobs", "1")
    assert "held-out episodes; random" in said
    assert "reference JESA" in said
    said = run(place, "dmoe-gym", "evaluate", "imitation_ppo_small", "--episodes", "2", "-p", "JESA")
    assert "imitation_ppo_small" in said

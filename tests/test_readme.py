"""What README shows runs."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
README = (ROOT / "README.md").read_text()


def test_the_examples_of_the_readme_run():
    pytest.importorskip("stable_baselines3")
    blocks = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
    assert len(blocks) == 2
    for block in blocks:
        short = block.replace("300_000", "1").replace("held_out_seeds(1000)", "held_out_seeds(3)")
        exec(compile(short, "README.md", "exec"), {"__name__": "readme"})


@pytest.mark.slow
def test_the_first_example_compiles_in_the_time_that_is_said(tmp_path):
    """From an empty cache; processor time, as far as a busy machine leaves that alone. 17 s on two idle cores."""
    first = re.findall(r"```python\n(.*?)```", README, re.DOTALL)[0]
    code = first + "\nimport time; print(time.process_time())"
    options = {"env": {**os.environ, "NUMBA_CACHE_DIR": str(tmp_path)}, "capture_output": True, "text": True}
    ran = subprocess.run([sys.executable, "-c", code], check=True, cwd=ROOT, **options)
    assert "about 20 s" in ran.stderr
    assert float(ran.stdout.split()[-1]) < 40


def test_the_training_of_the_readme_is_the_examples():
    """The figure that it quotes is this file's: same environment, learner, steps and episodes."""
    example = (ROOT / "examples" / "train_residual.py").read_text()
    training = next(block for block in README.split("```python\n") if "model.learn" in block)
    for said in re.findall(r"PPO\(.*\)|64, scenario=|residual=\{.*?\}|300_000|held_out_seeds\(.*?\)", training):
        assert said in example, said


def test_the_readme_is_short_and_its_links_lead_somewhere():
    assert len(README.splitlines()) <= 150
    links = re.findall(r"\]\(([\w/.]+)\)", README)
    assert links
    assert [link for link in links if not (ROOT / link).exists()] == []


def test_the_library_works_without_torch_and_training_packages():
    code = (
        "import sys; sys.modules.update(dict.fromkeys(('torch', 'stable_baselines3', 'sb3_contrib', 'matplotlib')));"
        "import gymnasium, dmoe_gym; env = gymnasium.make('DMoE-JESA-v0'); env.reset(seed=0);"
        "env.step(env.action_space.sample())"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=ROOT)

"""What README shows runs."""

import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


def test_the_examples_of_the_readme_run():
    blocks = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
    assert len(blocks) == 2
    for block in blocks:
        exec(compile(block.replace("range(100)", "range(3)"), "README.md", "exec"), {"__name__": "readme"})


def test_the_example_file_is_the_readmes():
    example = (ROOT / "examples" / "own_policy.py").read_text().split('"""', 2)[2].strip()
    assert example in (ROOT / "README.md").read_text()


def test_the_library_works_without_torch_and_training_packages():
    code = (
        "import sys; sys.modules.update(dict.fromkeys(('torch', 'stable_baselines3', 'sb3_contrib', 'matplotlib')));"
        "import gymnasium, dmoe_gym; env = gymnasium.make('DMoE-JESA-v0'); env.reset(seed=0);"
        "env.step(env.action_space.sample())"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=ROOT)

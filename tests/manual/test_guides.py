"""What the guides show runs."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
GUIDES = ("other_libraries", "own_policy", "own_trace", "stable_baselines")


@pytest.mark.parametrize("guide", GUIDES)
def test_python_blocks_of_a_guide_run(guide, tmp_path):
    """In a process of their own, for what they register is this process' own already; trainings are cut short."""
    text = (ROOT / "docs" / "guides" / f"{guide}.md").read_text()
    blocks = re.findall(r"^```python\n(.*?)^```", text, re.DOTALL | re.MULTILINE)
    blocks += [(ROOT / name).read_text() for name in re.findall(r'^--8<-- "(.*?)"', text, re.MULTILINE)]
    assert blocks
    for number, block in enumerate(blocks):
        file = tmp_path / f"block{number}.py"
        file.write_text(re.sub(r"learn\([\d_]+", "learn(1", block.replace("range(100)", "range(3)")))
        paths = {**os.environ, "PYTHONPATH": str(ROOT)}
        run = subprocess.run([sys.executable, str(file)], cwd=ROOT, env=paths, capture_output=True, text=True)
        assert run.returncode == 0, run.stderr


def test_every_included_file_exists():
    """mkdocs says so too, but only where the site is built."""
    for page in (ROOT / "docs").rglob("*.md"):
        for name in re.findall(r'^--8<-- "(.*?)"', page.read_text(), re.MULTILINE):
            assert (ROOT / name).exists(), f"{page}: {name}"

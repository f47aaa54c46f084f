"""Stock PPO learns where action 0 is an analytic scheduler."""

from __future__ import annotations

import runpy
from pathlib import Path

import pytest

EXAMPLE = Path(__file__).parents[2] / "examples" / "train_residual.py"


@pytest.mark.slow
def test_the_example_ends_below_the_analytic_scheduler():
    assert runpy.run_path(str(EXAMPLE))["main"](300_000) < 0

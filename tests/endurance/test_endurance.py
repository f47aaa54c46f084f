"""A short part of `make endurance`, and that it finds what is wrong."""

from __future__ import annotations

import time

import numpy as np
import pytest

from dmoe_gym.dmoe.env.joint import JointCore
from tests.endurance.endurance import IDS, actions, full_disk, growth, kills, two_processes


@pytest.mark.parametrize("env_id", IDS)
def test_hostile_actions_leave_no_trace(env_id: str) -> None:
    part = actions(time.monotonic() + 300, 128, env_id, size=8)
    assert part.done == 128
    assert part.faults == []


def test_resets_and_closed_environments_take_nothing_with_them() -> None:
    part = growth(time.monotonic() + 300, 400, 2 * len(IDS))
    assert part.done == 400 + 2 * len(IDS)
    assert part.faults == []


def test_what_is_wrong_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(JointCore, "check", lambda *_: ["C9: nothing is right"])
    assert "C9" in actions(time.monotonic() + 300, 8, "DMoE-JESA-v0", size=8).faults[0]
    step = JointCore.step

    def broken(core: JointCore, taken: np.ndarray, rows: np.ndarray) -> None:
        step(core, taken, rows)
        core.rewards[0] = np.nan

    monkeypatch.setattr(JointCore, "step", broken)
    assert "reward nan" in actions(time.monotonic() + 300, 8, "DMoE-JESA-v0", size=8).faults[0]


@pytest.mark.slow
def test_commands_hold() -> None:
    for part in (full_disk(time.monotonic() + 900), two_processes(time.monotonic() + 300)):
        assert part.done
        assert part.faults == []
    part = kills(time.monotonic() + 1800, 6)
    assert part.done >= 6
    assert part.faults == []

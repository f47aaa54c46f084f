"""The house keeps its shape (docs/contributing.md)."""

from __future__ import annotations

import pkgutil

import gymnasium
import numpy as np
from house import (
    LONGEST_FILE,
    entry_points,
    files_to_joule,
    files_to_row,
    frames_to_kernel,
    ignored_imports,
    lines_of,
    product_files,
)

import dmoe_gym  # noqa: F401
from dmoe_gym.registration import ENVIRONMENTS, create_core, register, system_of


def test_no_file_is_longer_than_one_can_hold_in_the_head():
    assert [str(file) for file in product_files() if lines_of(file) > LONGEST_FILE] == []


def test_imports_go_one_way_without_exception():
    """What functions import is held by the contracts as well."""
    assert ignored_imports() == []


def test_commands_are_few():
    assert len(entry_points()) <= 5


def test_from_an_observation_to_the_kernel_and_from_an_action_to_the_energy_is_a_short_way():
    assert len(frames_to_kernel()) <= 6
    assert len(files_to_joule()) <= 8


def test_from_a_recipe_to_its_row_is_a_short_way():
    """Training and tables are reached, and nothing of sweeps and studies."""
    passed = files_to_row()
    assert {"agents/config.py", "agents/run_folder.py", "experiments/results/store.py"} <= set(passed)
    assert not {"agents/sweep.py", "agents/study.py"} & set(passed)
    assert len(passed) <= 12


def test_an_environment_of_ones_own_is_known_to_everything_by_one_call(monkeypatch):
    """The record and the core may be objects or be named; here an id of another line-up's episodes."""
    known = ENVIRONMENTS["DMoE-JESA-v0"]
    for known_by in ("dmoe_gym.registration.ENVIRONMENTS", "dmoe_gym.registration.VIEWS"):
        monkeypatch.setattr(known_by, dict(pkgutil.resolve_name(known_by)))
    monkeypatch.setattr("gymnasium.envs.registration.registry", dict(gymnasium.registry))
    register("Mine-v0", known.core, system_of("DMoE-JESA-v0"))
    assert system_of("Mine-v0") is system_of("DMoE-JESA-v0")
    mine, theirs = (create_core(env_id, 1, "small", {}) for env_id in ("Mine-v0", "DMoE-JESA-v0"))
    for core in (mine, theirs):
        core.seed([0], [(4, 0)])
        core.start(core.all_rows)
    np.testing.assert_array_equal(mine.observations["gate_scores"], theirs.observations["gate_scores"])

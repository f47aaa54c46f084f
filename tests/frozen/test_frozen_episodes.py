"""Episodes of published ids, and published rows, do not change."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest
from frozen_episodes import FILE, KEYS, fingerprint

from dmoe_gym.evaluation import evaluate_line_up

TOLD = json.loads(FILE.read_text())
ANALYTIC = Path(__file__).parents[2] / "results" / "analytic"


@pytest.mark.parametrize("key", KEYS)
def test_episodes_are_those_of_the_first_release(key: str) -> None:
    """Bit for bit where floating-point is the same, else to single precision (see `fingerprint`)."""
    now, then = fingerprint(*key.split("/", 1)), TOLD[key]
    if now["digest"] == then["digest"]:
        return
    assert now["values"].keys() == then["values"].keys()
    for name, (*projections, scale) in then["values"].items():
        np.testing.assert_allclose(now["values"][name][:2], projections, rtol=0, atol=1e-6 * scale, err_msg=name)


@pytest.mark.parametrize(
    ("env_id", "scenario", "names"),
    [
        ("DMoE-JESA-v0", "scarce", ("top-2", "DES", "JESA", "value-greedy")),
        ("DMoE-JESA-v0", "battery", ("JESA", "JESA-battery")),
        ("WDMoE-Joint-v0", "testbed", ("top-2-equal", "greedy-optimal", "priced-optimal")),
    ],
)
def test_published_rows_come_out_again(env_id: str, scenario: str, names: tuple[str, ...]) -> None:
    """The first 20 held-out episodes of each, as they stand in `results/`."""
    with (ANALYTIC / f"{env_id}-{scenario}.csv").open(newline="") as file:
        published = {(row["policy"], int(row["seed"])): row for row in csv.DictReader(file)}
    seeds = range(1_000_000, 1_000_020)
    for row in evaluate_line_up(env_id, scenario=scenario, seeds=seeds, names=names):
        then = published[row["policy"], row["seed"]]
        for metric, value in then.items():
            if metric not in ("policy", "seed"):
                assert row[metric] == pytest.approx(float(value), rel=2e-6, abs=1e-12), (row["policy"], metric)

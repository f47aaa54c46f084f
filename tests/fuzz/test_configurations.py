"""Every configuration is valid or refused in one line; see `configurations`."""

from __future__ import annotations

from collections import Counter

import gymnasium as gym
import numpy as np
import pytest
from configurations import drawn_overrides, outcome

from dmoe_gym.registration import ENVIRONMENTS

IDS = tuple(env_id for env_id in ENVIRONMENTS if env_id.startswith(("DMoE-", "WDMoE-", "ChannelAware")))


def require_outcomes(env_id: str, cases: int, seed: int) -> Counter[str]:
    """Try random configurations; what fails says how to have it again."""
    config = type(gym.make(env_id, disable_env_checker=True).unwrapped.config)
    counts: Counter[str] = Counter()
    faults = []
    for case in range(cases):
        overrides = drawn_overrides(np.random.default_rng([seed, case]), env_id, config)
        try:
            counts[outcome(env_id, None, overrides, case)] += 1
        except Exception as error:
            faults.append(f"case {case}: {type(error).__name__}: {str(error)[:300]}: {env_id} {overrides}")
    assert not faults, f"{len(faults)} of {cases}:\n" + "\n".join(faults[:20])
    return counts


@pytest.mark.parametrize("env_id", IDS)
def test_configurations_are_valid_or_refused_in_one_line(env_id: str) -> None:
    counts = require_outcomes(env_id, 120 if env_id.startswith("WDMoE") else 60, seed=0)
    # the draw reaches both; most of WDMoE's are refused, so more are drawn
    assert counts["valid"] > 10
    assert counts["refused"] > 3


@pytest.mark.slow
@pytest.mark.parametrize("env_id", IDS)
def test_ten_thousand_configurations(env_id: str) -> None:
    require_outcomes(env_id, 10_000 // len(IDS), seed=1)

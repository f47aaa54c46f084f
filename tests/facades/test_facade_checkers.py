"""Gymnasium's and Stable-Baselines3's checkers on every id and scenario, with warnings as failures."""

from __future__ import annotations

import warnings

import gymnasium as gym
import pytest
from dmoe_builders import ENV_IDS, SCENARIOS, make
from gymnasium.utils.env_checker import check_env
from rollouts import ALL_IDS, system_of
from stable_baselines3.common.env_checker import check_env as check_env_for_sb3

# every scenario of a system, long ones shortened: checkers take a few steps
CASES = {
    "DMoE": {**SCENARIOS, "large": {"scenario": "large", "num_layers": 2}},
    "Inference": {name: {"scenario": name} for name in ("digits", "digits-scarce", "digits-stale", "language-stale")},
    "WDMoE": {name: {"scenario": name, "num_blocks": 2} for name in ("testbed", "mixtral", "crowd")},
    "WDMoE Inference": {name: {"scenario": name} for name in ("digits", "language")},
    "ChannelAwareGating": {
        **{name: {"scenario": name} for name in ("analog", "digital", "coded", "stale")},
        "two experts": {"scenario": "analog", "top_k": 2},
    },
}
EVERYWHERE = [
    pytest.param(env_id, options, id=f"{env_id}-{name}", marks=pytest.mark.slow if name == "large" else ())
    for env_id in ALL_IDS
    for name, options in CASES.get(system_of(env_id), {"default": {}}).items()
]

# SB3 takes every box of three axes for an image. docs/dmoe.md fixes those shapes (K, N, K) and (K, K, M); they
# are 32-bit floats, which SB3's extractors flatten.
IMAGE_REMARKS = [
    r"^It seems that your observation \w+ is an image but its `dtype` is \(float32\) whereas it has to be `np\.uint8`\.",  # noqa: E501
    r"^It seems that your observation space \w+ is an image but the upper and lower bounds are not in \[0, 255\]\.",
    r"^The minimal resolution for an image is 36x36 for the default `CnnPolicy`\.",
    # a matrix is no image and no vector either: the gate weights of WDMoE
    r"^Your observation gate_weights has an unconventional shape \(neither an image, nor a 1D vector\)\.",
    r"^Treating image space as channels-last, while second dimension was smallest of the three\.$",
]


@pytest.mark.parametrize(("env_id", "options"), EVERYWHERE)
def test_gymnasium(env_id, options):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        # pictures have their own tests
        check_env(make(env_id, **options), skip_render_check=True)


@pytest.mark.parametrize(("env_id", "options"), EVERYWHERE)
def test_gymnasium_passively(env_id, options):
    """`gym.make` wraps the environment in a checker of its first steps."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        env = gym.make(env_id, **options)
        env.reset(seed=0)
        for _ in range(3):
            if env.step(env.action_space.sample())[2]:
                env.reset()
        env.close()


@pytest.mark.parametrize(("env_id", "options"), EVERYWHERE)
def test_stable_baselines3(env_id, options):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for remark in IMAGE_REMARKS:
            warnings.filterwarnings("ignore", message=remark, category=UserWarning)
        check_env_for_sb3(make(env_id, **options))


def test_importing_the_package_registers_every_id():
    ids = ("DES", "JESA", "JESA-Sequential", "JESA-Price", "JESA-Residual", "Nodes", "Nodes-Residual")
    assert set(ENV_IDS) == {f"DMoE-{name}-v0" for name in ids}
    for env_id in ALL_IDS:
        assert gym.make(f"dmoe_gym:{env_id}").spec.id == env_id
        assert gym.spec(env_id).nondeterministic is False

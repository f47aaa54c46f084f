"""Rounds, schedules and environments for the tests of the DMoE system."""

from __future__ import annotations

from typing import Any

import gymnasium as gym
import numpy as np
from hypothesis import strategies as st

import dmoe_gym
from dmoe_gym.dmoe import DMoEConfig, Round, Schedule, scenario

JOINT, SEQUENTIAL, PRICE, RESIDUAL, DES = (
    "DMoE-JESA-v0",
    "DMoE-JESA-Sequential-v0",
    "DMoE-JESA-Price-v0",
    "DMoE-JESA-Residual-v0",
    "DMoE-DES-v0",
)
INFERENCE, INFERENCE_JOINT = "DMoE-Inference-v0", "DMoE-Inference-Joint-v0"
# of any size and scenario; the inference ids have the sizes of their model
ENV_IDS = tuple(
    env_id for env_id in dmoe_gym.ENVIRONMENTS if env_id.startswith("DMoE-") and not env_id.startswith("DMoE-Inference")
)

# Numbers in which every formula can be done by hand: gain 1 is 1 bit/s/Hz, gain 3 is 2 bit/s/Hz, one hidden state
# takes 10 mJ over a link of gain 1, and the energy unit is 20 mJ.
BY_HAND = DMoEConfig(
    num_experts=3,
    num_states=2,
    num_subcarriers=4,
    num_layers=2,
    max_experts=2,
    mean_snr_db=0.0,
    state_size_bit=1e6,
    subcarrier_bandwidth_hz=1e6,
    transmit_power_w=0.01,
)

# Scenarios as every id is run in them; "paper" with fewer layers, for its sizes matter here and not its length.
SCENARIOS: dict[str, dict[str, Any]] = {
    "small": {"scenario": "small"},
    "scarce": {"scenario": "scarce"},
    "paper": {"scenario": "paper", "num_layers": 2},
}

# Sizes of which every schedule can be enumerated, with enough and with too few subcarriers.
TINY: dict[str, Any] = {"num_experts": 3, "num_states": 2, "num_layers": 2, "num_subcarriers": 6}
TINY_SCARCE: dict[str, Any] = {**TINY, "num_subcarriers": 2}


def make(env_id: str, **options: Any) -> gym.Env:
    """The bare environment, without the wrappers of `gym.make`."""
    return gym.make(env_id, **options).unwrapped


def uniform_round(config: DMoEConfig = BY_HAND, *, gain: float = 1.0, threshold: float = 0.5) -> Round:
    """Equal gate scores and equal gains everywhere."""
    experts, states, subcarriers = config.num_experts, config.num_states, config.num_subcarriers
    scores = np.full((experts, states, experts), 1 / experts)
    return Round(scores, np.full((experts, experts, subcarriers), gain), threshold, config)


def draw_round(
    config: DMoEConfig, generator: np.random.Generator, *, spread: float = 0.0, dead: float = 0.0, coarse: bool = False
) -> Round:
    """A random round.

    Args:
        spread: 0 for Rayleigh fading, else the standard deviation of log-normal gains.
        dead: share of (link, subcarrier) pairs without any gain.
        coarse: gains and scores from a few values only, so that ties are common.
    """
    experts, states, subcarriers = config.num_experts, config.num_states, config.num_subcarriers
    links = (experts, experts, subcarriers)
    gains = generator.lognormal(0, spread, links) if spread else generator.exponential(size=links)
    scores = generator.dirichlet(np.full(experts, 0.5), (experts, states))
    if coarse:
        gains = np.ceil(2 * gains) / 2
        scores = np.floor(4 * scores) + 1
        scores /= scores.sum(-1, keepdims=True)
    gains[generator.random(links) < dead] = 0
    return Round(scores, gains, config.threshold, config)


def scenario_rounds(name: str, count: int, seed: int) -> list[Round]:
    """Independent rounds as the scenario's own channel and relevance processes draw them."""
    config = scenario(name)
    env = make(JOINT, scenario=name, num_layers=1)
    rounds = []
    for _ in range(count):
        env.reset(seed=seed if not rounds else None)
        rounds.append(env.round)
    assert rounds[0].config == config.replace(num_layers=1)
    return rounds


def random_schedule(config: DMoEConfig, generator: np.random.Generator) -> Schedule:
    """Any schedule, feasible or not: several subcarriers per link, several links per subcarrier, silent links."""
    experts, states, subcarriers = config.num_experts, config.num_states, config.num_subcarriers
    return Schedule(
        generator.random((experts, states, experts)) < generator.uniform(0.1, 0.9),
        generator.random((experts, experts, subcarriers)) < generator.uniform(0.1, 0.9),
    )


@st.composite
def generators(draw: st.DrawFn) -> np.random.Generator:
    """NumPy generators: Hypothesis chooses and shrinks the seed."""
    return np.random.default_rng(draw(st.integers(0, 2**32 - 1)))


@st.composite
def configs(
    draw: st.DrawFn,
    experts: tuple[int, int] = (2, 5),
    states: tuple[int, int] = (1, 3),
    subcarriers: tuple[int, int] = (1, 12),
) -> DMoEConfig:
    """Small systems, from far too few to plenty of subcarriers, from hardly any to a high price of shortfall."""
    count = draw(st.integers(*experts))
    return DMoEConfig(
        num_experts=count,
        num_states=draw(st.integers(*states)),
        num_subcarriers=draw(st.integers(*subcarriers)),
        num_layers=2,
        max_experts=draw(st.integers(1, min(3, count))),
        threshold=draw(st.sampled_from([0.0, 0.3, 0.5, 0.8, 1.0])),
        shortfall_price=draw(st.sampled_from([0.0, 1.0, 10.0, 100.0])),
        mean_snr_db=draw(st.sampled_from([-10.0, 0.0, 10.0])),
        round_energy_j=draw(st.sampled_from([0.0, 1e-3])),
    )


@st.composite
def rounds(draw: st.DrawFn, of: st.SearchStrategy[DMoEConfig] | None = None) -> Round:
    """Rounds of small systems, with and without ties, dead subcarriers and large spreads of gain."""
    return draw_round(
        draw(configs() if of is None else of),
        draw(generators()),
        spread=draw(st.sampled_from([0.0, 2.0])),
        dead=draw(st.sampled_from([0.0, 0.0, 0.3])),
        coarse=draw(st.booleans()),
    )

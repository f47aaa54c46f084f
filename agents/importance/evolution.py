"""An evolution strategy for the importance policy: antithetic Gaussian perturbations, ranks, Adam."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Any

import numpy as np
from pydantic import Field, field_validator

from agents.importance.policy import ImportancePolicy, parameter_count, start
from dmoe_gym.config import StrictConfig, list_as_tuple
from dmoe_gym.dmoe.env.inference import InferenceCore
from dmoe_gym.evaluation import FIRST_HELD_OUT_SEED
from dmoe_gym.evaluation.run import make_core

Count = Annotated[int, Field(ge=1)]
Positive = Annotated[float, Field(gt=0)]


class EvolutionConfig(StrictConfig):
    """One training of an importance policy.

    Fields:
        scenario: of DMoE-Inference-v0.
        inputs: the part of the digits that it is trained on.
        generations, pairs: of antithetic perturbations; every generation plays 2 pairs * episodes episodes.
        episodes: of each perturbation, the same for all of a generation.
        spread: standard deviation of the perturbations.
        learning_rate: of Adam.
        wrong_answer_price: what training pays for a wrong answer, in units of E_ref.
        seeds: of the published runs.
    """

    scenario: str = "digits"
    inputs: str = "train"
    generations: Count = 50
    pairs: Count = 12
    episodes: Count = 32
    spread: Positive = 0.2
    learning_rate: Positive = 0.1
    wrong_answer_price: Positive = 50.0
    seeds: tuple[int, ...] = (0, 1, 2, 3, 4)

    _list_as_tuple = field_validator("seeds", mode="before")(list_as_tuple)


@dataclass(frozen=True)
class Generation:
    """What one generation did: mean cost, energy [E_ref] and doubt of all perturbations' episodes."""

    number: int
    cost: float
    energy: float
    doubt: float


def evolve(config: EvolutionConfig, seed: int, report: Callable[[Generation], None] | None = None) -> np.ndarray:
    """Parameters (parameters,) of the last generation's centre; nothing is picked by looking at results.

    The cost that is minimised is an episode's energy / E_ref plus `wrong_answer_price` times the probability that the
    network gives to wrong classes (`doubt`), which is less noisy than counting wrong answers.
    """
    generator = np.random.default_rng([seed, 7])
    rows = 2 * config.pairs * config.episodes
    overrides: dict[str, Any] = {"relevance": {"kind": "classifier", "inputs": config.inputs}}
    core = make_core("DMoE-Inference-v0", rows, config.scenario, overrides)
    assert isinstance(core, InferenceCore)
    layers = core.config.num_layers
    centre = start(layers)
    momentum, square = np.zeros_like(centre), np.zeros_like(centre)
    for number in range(1, config.generations + 1):
        noise = generator.standard_normal((config.pairs, parameter_count(layers)))
        candidates = centre + config.spread * np.concatenate([noise, -noise])
        first = int(generator.integers(FIRST_HELD_OUT_SEED // 2))
        energy, doubt = play(core, candidates, range(first, first + config.episodes))
        costs = energy + config.wrong_answer_price * doubt
        # ranks from -0.5 (dearest) to 0.5 (cheapest): outliers do not matter
        ranks = costs.argsort()[::-1].argsort() / (len(costs) - 1) - 0.5
        gradient = (ranks[: config.pairs] - ranks[config.pairs :]) @ noise / config.pairs
        momentum = 0.9 * momentum + 0.1 * gradient
        square = 0.99 * square + 0.01 * gradient**2
        step = momentum / (1 - 0.9**number) / (np.sqrt(square / (1 - 0.99**number)) + 1e-8)
        centre = centre + config.learning_rate * (1 - number / (config.generations + 1)) * step
        if report is not None:
            report(Generation(number, float(costs.mean()), float(energy.mean()), float(doubt.mean())))
    return centre


def play(core: InferenceCore, candidates: np.ndarray, seeds: range) -> tuple[np.ndarray, np.ndarray]:
    """Energy [E_ref] and doubt of every candidate, means over the same episodes for all of them.

    Args:
        core: with len(candidates) * len(seeds) environments.
        candidates: (candidates, parameters).
    """
    everyone = [(seed, 0) for seed in seeds] * len(candidates)
    core.seed(core.all_rows, everyone)
    core.start(core.all_rows)
    policy = ImportancePolicy(core.config, np.repeat(candidates, len(seeds), axis=0))
    energy = np.zeros(core.num_envs)
    while not core.terminated.any():
        core.step(core.checked_actions(policy.actions(core.observations)), core.all_rows)
        energy += core.terms["energy_communication_J"] + core.terms["energy_computation_J"]
    doubt = 1 - core.relevance.confidence().mean(-1)
    shape = (len(candidates), len(seeds))
    return (energy / core.config.reference_energy_j).reshape(shape).mean(-1), doubt.reshape(shape).mean(-1)

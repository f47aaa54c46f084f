"""A real classifier served under WDMoE: its gate at the base station, one expert of every layer on each device."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from dmoe_gym.channel.large_scale import path_gain
from dmoe_gym.evaluation.run import FIRST_HELD_OUT_SEED, held_out_seeds
from dmoe_gym.models.digits import InferenceModel, load_inputs
from dmoe_gym.wdmoe import WDMoEConfig
from dmoe_gym.wdmoe.env.base import DEEPEST_FADE
from dmoe_gym.wdmoe.policies import WLR, Greedy, Observed, Random, Scheduler, TopK

Part = Literal["validation", "test"]
IMAGES = 8  # of one prompt; four tokens each
VANILLA = "top-2-equal"
# shares of top-2's relevance that selections must keep; 0.9 is the system's default
SHARES = (0.98, 0.95, 0.9, 0.8, 0.7, 0.6)


def system(model: InferenceModel, images: int = IMAGES) -> WDMoEConfig:
    """Experts on as many devices, patches of `images` images as tokens, layers as blocks; the rest as by default.

    A hidden state is sent and an expert computes at the default sizes of a large model (4096 and 14336): the
    classifier decides who is asked and whether the answer is right, not how long a token takes.
    """
    sizes = model.config
    return WDMoEConfig(num_devices=sizes.experts, num_tokens=images * sizes.states, num_blocks=sizes.layers)


@dataclass(frozen=True)
class Contender:
    """A scheduler under a share of relevance to keep.

    Attributes:
        name: how rows call it; family: the name without the share.
        build: from the configuration; share: `relevance_share`.
    """

    name: str
    family: str
    build: Callable[[WDMoEConfig], Scheduler]
    share: float = 0.9


def contenders() -> list[Contender]:
    """Top-2 and Top-1, WLR and greedy selection over the shares, and random."""
    found = [
        Contender(VANILLA, VANILLA, lambda config: TopK(config, "equal")),
        Contender("top-2-optimal", "top-2-optimal", TopK),
        Contender("top-1-optimal", "top-1-optimal", lambda config: TopK(config, k=1)),
        Contender("WLR-equal", "WLR-equal", lambda config: WLR(config, "equal")),
        Contender("random", "random", Random),
    ]
    for family, build in (("WLR-optimal", WLR), ("greedy-optimal", Greedy)):
        found += [Contender(named(family, share), family, build, share) for share in SHARES]
    return found


def named(family: str, share: float) -> str:
    """A contender's name; the default share is not said."""
    return family if share == 0.9 else f"{family} {share:g}"


@dataclass(frozen=True)
class Prompts:
    """What is asked over which channels.

    Attributes:
        part: of the digits.
        seeds: (P,) of the prompts' channels.
        domains, images: (P, I) indices of the inputs.
    """

    part: Part
    seeds: Sequence[int]
    domains: np.ndarray
    images: np.ndarray


def draw_prompts(part: Part, repeats: int = 1, images: int = IMAGES) -> Prompts:
    """Every input of the part (each image in each domain) once per repeat, in random order, `images` to a prompt.

    Channels of test prompts have held-out seeds, those of validation prompts the seeds before them.

    Raises:
        ValueError: where the inputs do not fill whole prompts.
    """
    domains, count = load_inputs(part).patches.shape[:2]
    if images < 1 or (domains * count) % images:
        raise ValueError(f"images = {images}: valid are divisors of the {domains * count} inputs of part {part!r}")
    order = [np.random.default_rng([20_250_313, repeat]).permutation(domains * count) for repeat in range(repeats)]
    inputs = np.concatenate(order).reshape(-1, images)
    seeds = range(FIRST_HELD_OUT_SEED - len(inputs), FIRST_HELD_OUT_SEED)
    return Prompts(part, held_out_seeds(len(inputs)) if part == "test" else seeds, *np.divmod(inputs, count))


@dataclass(frozen=True)
class Served:
    """What came out.

    Attributes:
        latency: (P, L) of every block [s].
        relevance: (P, L) mean relevance of every block.
        correct: (P, I) bool, is the answer right?
    """

    latency: np.ndarray
    relevance: np.ndarray
    correct: np.ndarray


def serve(
    scheduler: Scheduler,
    model: InferenceModel,
    prompts: Prompts,
    observe: Callable[[Observed, np.ndarray, np.ndarray], None] | None = None,
) -> Served:
    """Run prompts through the model, the scheduler deciding experts and bandwidths of every block.

    Gate weights are the model's own, after the experts that answered in the blocks before. Channels depend on the
    seeds alone: the same for every scheduler. The scheduler knows them.

    Args:
        observe: called for every block with what the scheduler saw, its selections and its bandwidths.
    """
    config, count = scheduler.config, len(prompts.seeds)
    inputs = load_inputs(prompts.part)
    generators = [np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(0,))) for seed in prompts.seeds]
    nearest, farthest = config.distance_range_m
    squares = np.stack([one.uniform(nearest**2, farthest**2, config.num_devices) for one in generators])
    mean_gains = path_gain(np.sqrt(squares), config.carrier_hz)
    fading = config.channel.process(count, (2, config.num_devices), 1)
    fading.start(range(count), generators)
    states = model.embed(inputs.patches[prompts.domains, prompts.images])
    latency, relevance = np.empty((2, count, config.num_blocks))
    for block in range(config.num_blocks):
        if block:
            fading.advance(range(count), generators)
        states, scores = model.open_layer(block + 1, states)
        seen = _observed(config, scores, mean_gains, fading.gains[..., 0])
        selected, bandwidth = scheduler.decide(seen)
        latency[:, block] = seen.latency(selected, bandwidth)
        relevance[:, block] = (seen.gate_weights * selected).sum(2).mean(1)
        if observe is not None:
            observe(seen, selected, bandwidth)
        states = model.close_layer(block + 1, states, scores, selected.reshape(scores.shape))
    answers = model.class_scores(states).argmax(-1)
    return Served(latency, relevance, answers == inputs.labels[prompts.images])


def _observed(config: WDMoEConfig, scores: np.ndarray, mean_gains: np.ndarray, fading: np.ndarray) -> Observed:
    """Blocks from gate scores (P, I, N, K), path gains (P, U) and fading (P, 2, U)."""
    weights = scores.reshape(len(scores), -1, scores.shape[-1])
    gains = mean_gains[:, None] * np.maximum(fading.astype(np.float64), DEEPEST_FADE)
    powers = np.array([config.base_station_power_w, config.device_power_w])
    cn0 = powers[:, None] * gains / config.noise_density
    best = np.sort(weights, axis=2)[:, :, -config.max_experts :].astype(np.float64)
    return Observed(
        config,
        weights,
        np.ascontiguousarray(cn0[:, 0]),
        np.ascontiguousarray(cn0[:, 1]),
        np.tile(config.token_flops / config.device_speeds, (len(weights), 1)),
        config.relevance_share * best.sum(axis=2).mean(axis=1),
    )

"""Rounds drawn as the environments draw them, for solvers alone."""

from __future__ import annotations

import numpy as np

from dmoe_gym.dmoe import DMoEConfig, Round
from dmoe_gym.dmoe.physics import Constants


def draw_rounds(config: DMoEConfig, count: int, seed: int = 0) -> list[Round]:
    """`count` independent first rounds of a configuration."""
    generators = [np.random.Generator(np.random.PCG64(child)) for child in np.random.SeedSequence(seed).spawn(count)]
    channel = config.channel.process(count, (config.num_experts, config.num_experts), config.num_subcarriers)
    relevance = config.relevance.process(count, config.num_experts, config.num_states, config.num_experts)
    channel.start(range(count), generators)
    relevance.start(range(count), generators)
    threshold = config.threshold_of_layer(1)
    return [
        Round(scores, gains, threshold, config)
        for scores, gains in zip(relevance.gate_scores, channel.gains, strict=True)
    ]


def jesa_arrays(rounds: list[Round]) -> tuple[tuple, np.ndarray, np.ndarray]:
    """What `jesa_batch` takes: its inputs in 32 bit as environments hold them, and room for its two outputs."""
    config = rounds[0].config
    scores = np.stack([round.gate_scores for round in rounds]).astype(np.float32)
    efficiency = np.stack([round.spectral_efficiency for round in rounds]).astype(np.float32)
    thresholds = np.array([round.threshold for round in rounds])
    selected = np.zeros(scores.shape, np.bool_)
    subcarrier = np.zeros((len(rounds), config.num_experts, config.num_experts), np.int64)
    return (scores, efficiency, thresholds, Constants.of(config)), selected, subcarrier

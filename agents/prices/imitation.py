"""Imitation of converged prices: what many pricings without a network arrive at, told at the first."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from agents.networks.shared import SharedNetwork
from agents.prices.scheduler import PriceScheduler
from dmoe_gym.wdmoe.policies import Observed


class Imitation(NamedTuple):
    """How prices are imitated.

    Fields:
        blocks: how many, at least.
        teacher_rounds: pricings of the teacher, the scheduler without network; the last third's mean log prices are
            the target.
        passes: how often the learner schedules the blocks, so that it learns from the states that it gets into.
        epochs: over all blocks and pricings of a pass.
        batch_size: of them per gradient step.
        learning_rate: of Adam at the start of a pass; it falls linearly.
    """

    blocks: int = 2048
    teacher_rounds: int = 12
    passes: int = 3
    epochs: int = 40
    batch_size: int = 256
    learning_rate: float = 0.01


def targets(blocks: Observed, rounds: int) -> np.ndarray:
    """The teacher's log prices (B, U) less their mean over the devices."""
    *_, prices = PriceScheduler(blocks.config, rounds=rounds, polish=False).traced(blocks)
    converged = prices[:, -max(1, rounds // 3) :].mean(1)
    return converged - converged.mean(1, keepdims=True)


def imitate(
    scheduler: PriceScheduler, blocks: Observed, vector: torch.nn.Parameter, network: SharedNetwork,
    how: Imitation, generator: np.random.Generator,
) -> list[float]:  # fmt: skip
    """Fit the parameters to the teacher's prices in place; the mean squared errors after every pass.

    Args:
        scheduler: its parameters share the memory of `vector`.
        blocks: observed ones.
        vector: the network's parameters.
    """
    wanted = targets(blocks, how.teacher_rounds)
    losses = []
    for _ in range(how.passes):
        *_, inputs, _ = scheduler.traced(blocks)
        x = torch.as_tensor(inputs.reshape(-1, *inputs.shape[2:]))
        y = torch.as_tensor(np.repeat(wanted, inputs.shape[1], axis=0)) - x[..., 0]
        optimizer = torch.optim.Adam([vector], lr=how.learning_rate)
        for epoch in range(how.epochs):
            for group in optimizer.param_groups:
                group["lr"] = how.learning_rate * (1 - epoch / how.epochs)
            for rows in np.array_split(generator.permutation(len(x)), max(1, len(x) // how.batch_size)):
                loss = squared_error(network, vector, x[rows], y[rows])
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
        with torch.no_grad():
            losses.append(float(squared_error(network, vector, x, y)))
    return losses


def squared_error(network: SharedNetwork, vector: Tensor, inputs: Tensor, wanted: Tensor) -> Tensor:
    """Mean squared error of the outputs less their mean over the devices: only ratios of prices matter."""
    outputs = torch_outputs(network, vector, inputs)
    return (outputs - outputs.mean(1, keepdim=True) - wanted).square().mean()


def torch_outputs(network: SharedNetwork, vector: Tensor, inputs: Tensor) -> Tensor:
    """`SharedNetwork` with one output, (B, U) of inputs (B, U, I), for gradients."""
    parts = torch.split(vector, [int(np.prod(shape)) for shape in network.shapes.values()])
    part = {name: each.reshape(shape) for (name, shape), each in zip(network.shapes.items(), parts, strict=True)}
    mean = inputs.mean(1, keepdim=True)
    total = inputs @ part["A"] + mean @ part["B"] + part["c"]
    if network.width:
        total = total + torch.tanh(inputs @ part["W"] + mean @ part["U"] + part["b"]) @ part["V"]
    return total[..., 0]

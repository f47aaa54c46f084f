"""Sizes of the DMoE classifier and how it is trained."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from dmoe_gym.config import StrictConfig

Count = Annotated[int, Field(ge=1)]
Share = Annotated[float, Field(ge=0, le=1)]


class ClassifierConfig(StrictConfig):
    """A classifier of multi-domain digits made of DMoE layers (this project's choice throughout).

    Attributes:
        layers: L, attention and experts in turn.
        experts: K in every layer; also the number of domains, so that expert j may specialise in domain j.
        states: N, hidden states of one image: its patches, 4 quadrants of 4x4 pixels.
        pixels: of one patch.
        width: of a hidden state.
        hidden: width inside an expert.
        classes: digits.
        seed: of weights, order and disturbance of the training images, and dropped experts.
        epochs: passes over the training images, every image in every domain.
        batch_size: images per gradient step.
        learning_rate: peak of the one-cycle schedule.
        weight_decay: of AdamW.
        label_smoothing: of the cross-entropy.
        specialisation: weight of the penalty that pulls gates towards the domain's own expert; it grows linearly with
            the layer, from 0 before the first to this value at the last: early layers stay general.
        domain_share: gate score of the domain's expert that the penalty aims at; the rest is shared evenly.
        full_share: share of training images whose hidden states hear every expert; of the others, one half hears the
            best 1, 2 or 3 experts of each hidden state, one half a random subset of the experts.
    """

    layers: Count = 6
    experts: Annotated[int, Field(ge=2)] = 6
    states: Count = 4
    pixels: Count = 16
    width: Count = 24
    hidden: Count = 24
    classes: Count = 10
    seed: Annotated[int, Field(ge=0)] = 0
    epochs: Count = 25
    batch_size: Count = 384
    learning_rate: Annotated[float, Field(gt=0)] = 4e-3
    weight_decay: Annotated[float, Field(ge=0)] = 0.02
    label_smoothing: Share = 0.05
    specialisation: Annotated[float, Field(ge=0)] = 1.5
    domain_share: Share = 0.6
    full_share: Share = 0.6

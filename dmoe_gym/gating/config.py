"""Configuration of the networks, of the channels that they meet, and of the two-stage training."""

from __future__ import annotations

from typing import Annotated, Literal

import numpy as np
from pydantic import Field, model_validator

from dmoe_gym.config import StrictConfig

GateKind = Literal["naive", "channel_aware", "best_snr", "random"]
BackboneKind = Literal["lenet", "resnet18", "vit"]

Count = Annotated[int, Field(ge=1, le=65_536)]  # the upper end keeps a foreign model file from filling the memory


class SNRDistribution(StrictConfig):
    """Every expert's SNR of every input is drawn on its own: normal in dB (log-normal shadowing), fading on top.

    Attributes:
        mean_db: mean of the SNR in dB, that is the median of the linear SNR (assumed).
        spread_db: its standard deviation over experts and inputs [dB] (assumed); 0 makes all experts alike.
        fading: "fixed", or "rayleigh": the linear SNR is multiplied by an exponential variable of mean 1.
    """

    mean_db: float = 0.0
    spread_db: Annotated[float, Field(ge=0)] = 6.0
    fading: Literal["fixed", "rayleigh"] = "fixed"

    def draw(self, generator: np.random.Generator, inputs: int, experts: int) -> np.ndarray:
        """Linear SNRs, (inputs, experts) float64. The count of random numbers depends on the shape alone."""
        shadowing = generator.standard_normal((inputs, experts))
        power_gain = generator.standard_exponential((inputs, experts))
        snr = 10 ** ((self.mean_db + self.spread_db * shadowing) / 10)
        return snr * power_gain if self.fading == "rayleigh" else snr


class GatingConfig(StrictConfig):
    """Networks F (backbone), G (gate), Q (experts) and their training. Every default is this project's choice.

    Attributes:
        experts: number K of expert clients.
        classes: number of labels.
        image_size: height and width of an image [pixel].
        image_channels: colour channels of an image.
        backbone: "lenet", or torchvision's "resnet18" and "vit" where torchvision is installed.
        feature_size: length of the feature vector that travels to an expert.
        expert_hidden, gate_hidden: width of the one hidden layer of each expert and of the gate.
        gate: "naive" softmax(G(x)); "channel_aware" softmax(G([x, snr])); "best_snr" and "random" are the
            parameter-free rules of the same names, for experts that are trained to live under them.
        stage_one_epochs, stage_two_epochs: passes over the training images in each stage.
        batch_size: images per gradient step.
        learning_rate: Adam's step size in stage 1; stage 2 starts from it again. Both decay to 0 by a half cosine.
        weight_decay: AdamW's decoupled weight decay.
        load_balance_weight: factor of the squared coefficient of variation of the gate's importance; in both stages,
            since the gate can collapse in the first already.
        training_mean_snr_low_db, training_mean_snr_high_db, training_spread_high_db: stage 2 draws for every input a
            mean SNR [dB] uniformly between the first two and a standard deviation [dB] uniformly from 0 to the third,
            then each expert's SNR [dB] from that normal distribution. One model so serves the whole range.
    """

    experts: Count = 4
    classes: Annotated[int, Field(ge=2)] = 10
    image_size: Annotated[int, Field(ge=8)] = 8
    image_channels: Count = 1
    backbone: BackboneKind = "lenet"
    feature_size: Count = 16
    expert_hidden: Count = 32
    gate_hidden: Count = 32
    gate: GateKind = "channel_aware"
    stage_one_epochs: Annotated[int, Field(ge=0)] = 40
    stage_two_epochs: Annotated[int, Field(ge=0)] = 60
    batch_size: Count = 64
    learning_rate: Annotated[float, Field(gt=0)] = 2e-2
    weight_decay: Annotated[float, Field(ge=0)] = 0.1
    load_balance_weight: Annotated[float, Field(ge=0)] = 0.03
    training_mean_snr_low_db: float = -10.0
    training_mean_snr_high_db: float = 10.0
    training_spread_high_db: Annotated[float, Field(ge=0)] = 12.0

    @model_validator(mode="after")
    def _ordered_range(self) -> GatingConfig:
        low, high = self.training_mean_snr_low_db, self.training_mean_snr_high_db
        if low > high:
            raise ValueError(f"training_mean_snr_low_db = {low}: valid is at most training_mean_snr_high_db = {high}")
        return self

"""Accuracy of a model under simulated channels, for several ways to choose the expert."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch

from dmoe_gym.gating.config import SNRDistribution
from dmoe_gym.gating.data import LabelledImages
from dmoe_gym.gating.networks import GatedModel, output_probabilities
from dmoe_gym.gating.training import hear
from dmoe_gym.gating.transmission import Analog, Digital

Choice = Literal["gate", "best_snr", "random", "oracle"]
CHUNK = 4096
# Images that a backbone takes at once: with CHUNK a ViT is half as fast.
IMAGES_AT_ONCE = 512


@dataclass(frozen=True)
class Reception:
    """One simulated transmission of every input to every expert; N inputs, K experts, C classes.

    Attributes:
        snr: (N, K) linear.
        log_weights: (N, K), the gate's log p.
        log_answers: (N, K, C), what expert k would answer to what it hears.
        labels: (N,).
        ties: (N, K) uniform numbers that break ties and make the random choice.
    """

    snr: np.ndarray
    log_weights: np.ndarray
    log_answers: np.ndarray
    labels: np.ndarray
    ties: np.ndarray

    def scores(self, choice: Choice) -> np.ndarray:
        """What the choice ranks experts by, (N, K), larger is better.

        "gate" the model's own gate, "best_snr" the SNR, "random" a coin; "oracle" knows the label and every answer
        and takes the smallest true loss: a bound, not a policy.
        """
        match choice:
            case "gate":
                return self.log_weights
            case "best_snr":
                return self.snr
            case "random":
                return self.ties
            case "oracle":
                return np.take_along_axis(self.log_answers, self.labels[:, None, None], axis=2)[..., 0]
        raise ValueError(f"choice = {choice!r}: valid are gate, best_snr, random, oracle")

    def select(self, choice: Choice, top_k: int = 1) -> np.ndarray:
        """The `top_k` best experts of each input, (N, K) bool; ties broken at random."""
        experts = self.snr.shape[1]
        if not 1 <= top_k <= experts:
            raise ValueError(f"top_k = {top_k}: valid is 1 to {experts}")
        order = np.lexsort((self.ties, self.scores(choice)), axis=1)
        selected = np.zeros(self.snr.shape, bool)
        np.put_along_axis(selected, order[:, experts - top_k :], True, axis=1)
        return selected

    def correct(self, choice: Choice, top_k: int = 1) -> np.ndarray:
        """Whether the output of the selected experts has the right label, (N,) bool.

        The gate's weights are renormalised over the selected experts; the other choices weight them equally.
        """
        selected = self.select(choice, top_k)
        log_weights = self.log_weights if choice == "gate" else np.zeros(selected.shape)
        output = output_probabilities(log_weights, self.log_answers, selected)
        return output.argmax(axis=1) == self.labels

    def load(self, choice: Choice = "gate") -> np.ndarray:
        """Share of the inputs that go to each expert, (K,)."""
        return self.select(choice).mean(axis=0)


def features_of(model: GatedModel, data: LabelledImages) -> torch.Tensor:
    """What the server would send of every image, (N, D)."""
    model.eval()
    with torch.no_grad():
        return torch.cat([model.features(part) for part in torch.from_numpy(data.images).split(IMAGES_AT_ONCE)])


def receive(
    model: GatedModel,
    data: LabelledImages,
    *,
    transmission: Analog | Digital | None = None,
    snr: SNRDistribution | None = None,
    repeats: int = 1,
    seed: int = 0,
    features: torch.Tensor | None = None,
) -> Reception:
    """Send every image `repeats` times through freshly drawn channels.

    SNRs, noise and ties depend on `seed` and shapes alone: models of one size that are evaluated with one seed meet the
    same channels. Arguments as in `evaluate_accuracy`; `features` are `features_of(model, data)` where these are at
    hand already.
    """
    if repeats < 1:
        raise ValueError(f"repeats = {repeats}: valid is 1 or more")
    transmission = transmission or Analog()
    experts, inputs = model.config.experts, repeats * len(data)
    snr_generator, noise_generator, tie_generator = np.random.default_rng([seed, 3]).spawn(3)
    drawn = np.full((inputs, experts), np.inf) if snr is None else snr.draw(snr_generator, inputs, experts)
    features = (features_of(model, data) if features is None else features).repeat(repeats, 1)
    with torch.no_grad():
        log_weights, log_answers = [], []
        for start in range(0, inputs, CHUNK):
            part, part_snr = features[start : start + CHUNK], drawn[start : start + CHUNK]
            heard = hear(part, part_snr, transmission, noise_generator)
            log_weights.append(model.gate_log_weights(part, torch.from_numpy(part_snr).float()))
            log_answers.append(model.expert_log_probabilities(heard))
    return Reception(
        snr=drawn,
        log_weights=torch.cat(log_weights).double().numpy(),
        log_answers=torch.cat(log_answers).double().numpy(),
        labels=np.tile(data.labels, repeats),
        ties=tie_generator.random((inputs, experts)),
    )


def evaluate_accuracy(
    model: GatedModel,
    data: LabelledImages,
    *,
    choice: Choice = "gate",
    transmission: Analog | Digital | None = None,
    snr: SNRDistribution | None = None,
    top_k: int = 1,
    repeats: int = 1,
    seed: int = 0,
) -> float:
    """Share of inputs classified rightly.

    Args:
        model: trained networks.
        data: labelled images.
        choice: "gate" (the model's own: naive or channel-aware), "best_snr", "random" or "oracle".
        transmission: analog if None.
        snr: how the experts' SNRs are drawn; perfect channels if None.
        top_k: number of experts that serve one input.
        repeats: independent channel draws per image.
        seed: of SNRs, noise and ties.

    Raises:
        ValueError: for an unknown choice, `top_k` or `repeats` out of range.
    """
    reception = receive(model, data, transmission=transmission, snr=snr, repeats=repeats, seed=seed)
    return float(reception.correct(choice, top_k).mean())

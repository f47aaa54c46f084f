"""The shipped classifier in torch, frozen, and whole inferences through it."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn.functional import relu

from dmoe_gym.models.digits import load_model
from dmoe_gym.models.digits.network import Classifier, normalised


class FrozenClassifier(Classifier):
    """The shipped classifier. Its experts lie side by side in one product of matrices, which trains schedulers faster;
    training the classifier itself keeps its own order of sums.
    """

    def __init__(self) -> None:
        model = load_model()
        super().__init__(model.config)
        with torch.no_grad():
            for name, array in model.weights._asdict().items():
                getattr(self, name).copy_(torch.from_numpy(array.copy()))
        self.requires_grad_(False)
        self._inner = self.inner.transpose(1, 2).flatten(2)
        self._outer = self.outer.flatten(1, 2)

    def aggregate(self, layer: int, states: Tensor, log_scores: Tensor, heard: Tensor) -> Tensor:
        """As `Classifier.aggregate`."""
        seen = normalised(states, self.expert_scale[layer])
        inside = relu(seen @ self._inner[layer] + self.inner_bias[layer].flatten())
        weights = log_scores.exp() * heard
        weights = weights / (weights.sum(-1, keepdim=True) + 1e-12)
        weighted = inside.unflatten(-1, (weights.shape[-1], -1)) * weights[..., None]
        return states + weighted.flatten(-2) @ self._outer[layer] + weights @ self.outer_bias[layer]


def spend(
    classifier: nn.Module, patches: Tensor, energies: Tensor, choose: Callable[[int, Tensor], Tensor]
) -> tuple[Tensor, Tensor]:
    """Class scores (B, classes) and energies (B,) of whole inferences, in units of an expert's E_ref / (K N D).

    Args:
        patches: (B, N, pixels); energies: (L, B, K) of one hidden state at every expert.
        choose: as in `Classifier.forward`.
    """
    spent = []

    def heard(layer: int, log_scores: Tensor) -> Tensor:
        chosen = choose(layer, log_scores)
        spent.append((chosen * energies[layer][:, None]).sum((1, 2)))
        return chosen

    class_scores, _ = classifier(patches, heard)
    return class_scores, torch.stack(spent).sum(0)

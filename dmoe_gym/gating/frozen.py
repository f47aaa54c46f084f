"""The trained networks that an environment runs on: shipped weights, and forwards that do not depend on the batch.

The experiment `gating-networks` makes the shipped files again, the same bits on one machine.
"""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor, nn

from dmoe_gym.gating.config import GatingConfig
from dmoe_gym.gating.networks import GatedModel, gate_snr_input
from dmoe_gym.io.files import regular_file, state_of
from dmoe_gym.models.reproducible import one_thread

WEIGHTS = Path(__file__).parent / "weights"
SHIPPED = ("digits_analog", "digits_digital", "cifar10_analog", "cifar10_digital")


class FrozenNetworks:
    """A trained model in which every row's result is the same to the last bit whatever batch it is in.

    Matrix products of different sizes add in different orders. Here every row of a batch is a product of its own in
    one batched product, so all have the same size. Copies and pickles are the same object, loaded again by its path.

    Attributes:
        model: the networks.
        path: where they were read from.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.model = GatedModel.load(path, "networks")

    def __reduce__(self) -> tuple[Any, ...]:
        return load_frozen, (self.path,)

    def __deepcopy__(self, memo: dict[int, Any]) -> FrozenNetworks:
        return self

    @property
    def config(self) -> GatingConfig:
        """Sizes and how the networks were trained."""
        return self.model.config

    def features(self, images: np.ndarray) -> np.ndarray:
        """x = F(d): (N, channels, size, size) to (N, D) float32; call it once, with all images."""
        with torch.no_grad(), one_thread():
            return self.model.features(torch.from_numpy(images)).numpy()

    def gate_log_weights(self, features: np.ndarray, snr_bel: np.ndarray) -> np.ndarray:
        """log p: features (B, D) and SNRs as the gate is told them (B, K) to (B, K) float64."""
        if not self.model.gate.learned:
            raise ValueError(f"{self.path}: has no learned gate, valid gates are naive and channel_aware")
        inputs = [features, snr_bel] if self.config.gate == "channel_aware" else [features]
        with torch.no_grad(), one_thread():
            values = torch.from_numpy(np.concatenate(inputs, axis=1))[:, None]  # (B, 1, I): one layer, not K
            for layer in cast(nn.Sequential, self.model.gate.network):
                if isinstance(layer, nn.Linear):
                    values = _by_row(values, layer.weight.T[None], layer.bias[None, None])
                else:
                    values = layer(values)
        return log_softmax(values[:, 0].numpy())

    def expert_log_probabilities(self, received: np.ndarray) -> np.ndarray:
        """log Q_k(x_hat_k): what each expert hears (B, K, D) to (B, K, C) float64."""
        experts = self.model.experts
        with torch.no_grad(), one_thread():
            values = torch.from_numpy(received.astype(np.float32))
            hidden = _by_row(values, experts.hidden.weight, experts.hidden.bias).relu()
            return log_softmax(_by_row(hidden, experts.output.weight, experts.output.bias).numpy())


def _by_row(inputs: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """(B, K, I) through K layers (K, I, O) with biases (K, 1, O) to (B, K, O), B * K products of one row each."""
    rows, layers = inputs.shape[:2]
    size = rows * layers
    return torch.baddbmm(
        bias.expand(rows, *bias.shape).reshape(size, 1, -1),
        inputs.reshape(size, 1, -1),
        weight.expand(rows, *weight.shape).reshape(size, *weight.shape[1:]),
    ).reshape(rows, layers, -1)


def log_softmax(values: np.ndarray) -> np.ndarray:
    """Over the last axis, float64."""
    shifted = values.astype(float) - values.max(axis=-1, keepdims=True)
    return shifted - np.log(np.exp(shifted).sum(axis=-1, keepdims=True))


def observed_snr(snr: np.ndarray) -> np.ndarray:
    """Linear SNRs as gates and agents are told them: in bel (dB / 10), clipped to -3 and 3, float32, same shape."""
    with np.errstate(divide="ignore"):
        return gate_snr_input(torch.from_numpy(np.asarray(snr, np.float32))).numpy()


def weights_path(networks: str, gate: str = "channel_aware") -> Path:
    """The file of shipped networks by their name, or of a user's own by its path; the naive gate's beside it.

    Raises:
        ValueError: if that is no file.
    """
    path = WEIGHTS / f"{networks}.safetensors" if networks in SHIPPED else Path(networks)
    if gate == "naive":
        path = path.with_name(f"{path.stem}_naive{path.suffix}")
    return regular_file(path, "networks", f"{', '.join(SHIPPED)}, or a path")


def load_frozen(path: Path | str) -> FrozenNetworks:
    """The networks of a file; read once while it stays the same."""
    file = regular_file(path, "networks").resolve()
    return _kept(file, state_of(file))


@lru_cache(maxsize=8)
def _kept(path: Path, _state: tuple[int, int]) -> FrozenNetworks:
    return FrozenNetworks(path)

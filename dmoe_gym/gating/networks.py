"""Gates G, experts Q and the model that joins them to a backbone F."""

from __future__ import annotations

from pathlib import Path
from types import ModuleType

import numpy as np
import torch
from torch import Tensor, nn

from dmoe_gym.gating.config import GatingConfig
from dmoe_gym.io.files import model_bytes, read_model_file, write_whole


class Backbone(nn.Module):
    """F: images (B, channels, size, size) to features (B, feature_size) in (-1, 1).

    The last tanh bounds the features, so that the uniform quantiser of the digital chain never clips.
    """

    def __init__(self, config: GatingConfig) -> None:
        super().__init__()
        build = {"lenet": _lenet, "resnet18": _resnet18, "vit": _vit}[config.backbone]
        self.body = build(config)

    def forward(self, images: Tensor) -> Tensor:
        return torch.tanh(self.body(images))


def _lenet(config: GatingConfig) -> nn.Module:
    """LeNet-5's layout (LeCun et al., 1998): two convolutions with pooling, two dense layers; ReLU for its tanh.

    From 16 pixels on the kernels are LeNet-5's 5x5 without padding, below they are 3x3 with padding.
    """
    kernel, padding = (5, 0) if config.image_size >= 16 else (3, 1)
    convolutions = nn.Sequential(
        nn.Conv2d(config.image_channels, 6, kernel, padding=padding),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Conv2d(6, 16, kernel, padding=padding),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Flatten(),
    )
    with torch.no_grad():
        flat = convolutions(torch.zeros(1, config.image_channels, config.image_size, config.image_size)).shape[1]
    return nn.Sequential(convolutions, nn.Linear(flat, 120), nn.ReLU(), nn.Linear(120, config.feature_size))


def _resnet18(config: GatingConfig) -> nn.Module:
    return _torchvision(config).resnet18(num_classes=config.feature_size)


def _vit(config: GatingConfig) -> nn.Module:
    """A ViT small enough for 32x32 images: 8x8 patches, 2 layers of 2 heads, width 64 (this project's choice)."""
    vit = _torchvision(config).VisionTransformer(
        image_size=config.image_size,
        patch_size=8,
        num_layers=2,
        num_heads=2,
        hidden_dim=64,
        mlp_dim=128,
        num_classes=config.feature_size,
    )
    # torchvision's head starts at 0, and all that gate and experts hear with it
    vit.heads.head.reset_parameters()
    return vit


def _torchvision(config: GatingConfig) -> ModuleType:
    if config.image_channels != 3:
        raise ValueError(f"backbone = {config.backbone!r}: takes image_channels = 3, not {config.image_channels}")
    try:
        from torchvision import models
    except (ImportError, RuntimeError):  # RuntimeError: a torchvision built for another torch
        raise ValueError(
            f"backbone = {config.backbone!r}: needs a torchvision that fits this torch; valid without it is 'lenet'"
        ) from None
    return models


# Of the files that models are kept in.
FORMAT = "dmoe_gym.gating.GatedModel/2"

# What the gate is told of an SNR: dB, clipped (infinity, a perfect channel, reads as the upper end), over 10 dB.
GATE_SNR_RANGE_DB = (-30.0, 30.0)
GATE_SNR_SCALE_DB = 10.0


def gate_snr_input(snr: Tensor) -> Tensor:
    """Linear SNRs (any shape, 0 to infinity) as the gate's inputs, between -3 and 3."""
    low, high = GATE_SNR_RANGE_DB
    return (10 * torch.log10(snr)).clamp(low, high) / GATE_SNR_SCALE_DB


class NaiveGate(nn.Module):
    """p = softmax(G(x)): the channel is not seen."""

    learned = True

    def __init__(self, config: GatingConfig) -> None:
        super().__init__()
        self.network = _perceptron(config.feature_size, config.gate_hidden, config.experts)

    def forward(self, features: Tensor, snr: Tensor) -> Tensor:
        return self.network(features).log_softmax(dim=1)


class ChannelAwareGate(nn.Module):
    """p = softmax(G([x, snr])), SNRs in dB as `gate_snr_input` scales them."""

    learned = True

    def __init__(self, config: GatingConfig) -> None:
        super().__init__()
        self.network = _perceptron(config.feature_size + config.experts, config.gate_hidden, config.experts)

    def forward(self, features: Tensor, snr: Tensor) -> Tensor:
        return self.network(torch.cat([features, gate_snr_input(snr)], dim=1)).log_softmax(dim=1)


class BestSNRGate(nn.Module):
    """All weight on the expert with the largest SNR, shared among equals."""

    learned = False

    def __init__(self, config: GatingConfig) -> None:
        super().__init__()

    def forward(self, features: Tensor, snr: Tensor) -> Tensor:
        best = snr == snr.amax(dim=1, keepdim=True)
        return (best / best.sum(dim=1, keepdim=True)).log()


class RandomGate(nn.Module):
    """The same weight on every expert."""

    learned = False

    def __init__(self, config: GatingConfig) -> None:
        super().__init__()

    def forward(self, features: Tensor, snr: Tensor) -> Tensor:
        return torch.zeros_like(snr).log_softmax(dim=1)


GATES: dict[str, type[nn.Module]] = {
    "naive": NaiveGate,
    "channel_aware": ChannelAwareGate,
    "best_snr": BestSNRGate,
    "random": RandomGate,
}


class Experts(nn.Module):
    """Q_1 .. Q_K, each its own perceptron of one hidden layer; kept stacked, which trains several times faster."""

    def __init__(self, config: GatingConfig) -> None:
        super().__init__()
        self.hidden = _StackedLinear(config.experts, config.feature_size, config.expert_hidden)
        self.output = _StackedLinear(config.experts, config.expert_hidden, config.classes)

    def forward(self, received: Tensor) -> Tensor:
        return self.output(self.hidden(received).relu()).log_softmax(dim=2)


class _StackedLinear(nn.Module):
    """K linear layers side by side, (B, K, inputs) to (B, K, outputs), drawn like torch's own linear layer."""

    def __init__(self, experts: int, inputs: int, outputs: int) -> None:
        super().__init__()
        bound = inputs**-0.5
        self.weight = nn.Parameter(torch.empty(experts, inputs, outputs).uniform_(-bound, bound))
        self.bias = nn.Parameter(torch.empty(experts, 1, outputs).uniform_(-bound, bound))

    def forward(self, inputs: Tensor) -> Tensor:
        return torch.baddbmm(self.bias, inputs.transpose(0, 1), self.weight).transpose(0, 1)


class GatedModel(nn.Module):
    """Server (backbone F, gate G) and K expert clients Q_k; the output is sum_k p_k Q_k(x_hat_k), a distribution.

    Shapes: B inputs, K experts, D features, C classes. Logarithms of probabilities throughout.
    """

    def __init__(self, config: GatingConfig) -> None:
        super().__init__()
        self.config = config
        self.backbone = Backbone(config)
        self.gate = GATES[config.gate](config)
        self.experts = Experts(config)

    def features(self, images: Tensor) -> Tensor:
        """x = F(d): (B, channels, size, size) to (B, D), each within (-1, 1)."""
        return self.backbone(images)

    def gate_log_weights(self, features: Tensor, snr: Tensor) -> Tensor:
        """log p: features (B, D) and linear SNRs (B, K) to (B, K)."""
        return self.gate(features, snr)

    def expert_log_probabilities(self, received: Tensor) -> Tensor:
        """log Q_k(x_hat_k): what each expert hears (B, K, D) to (B, K, C)."""
        return self.experts(received)

    def forward(self, images: Tensor, snr: Tensor | None = None) -> Tensor:
        """log of sum_k p_k Q_k(x), (B, C), with features that arrive unharmed; `snr` is what the gate is told."""
        features = self.features(images)
        if snr is None:
            snr = torch.full((len(images), self.config.experts), torch.inf)
        heard = features[:, None].expand(-1, self.config.experts, -1)
        return mixture(self.gate_log_weights(features, snr), self.expert_log_probabilities(heard))

    def save(self, path: Path | str, overwrite: bool = False) -> None:
        """Write weights and configuration to one safetensors file, whole or not at all.

        Raises:
            FileExistsError: if `path` exists and `overwrite` is False.
        """
        if Path(path).exists() and not overwrite:
            raise FileExistsError(f"path = {str(path)!r}: exists already; ask for overwriting to replace it")
        arrays = {name: tensor.numpy() for name, tensor in self.state_dict().items()}
        write_whole(Path(path), model_bytes(FORMAT, self.config.model_dump(mode="json"), arrays))

    @classmethod
    def load(cls, path: Path | str, name: str = "path") -> GatedModel:
        """Rebuild what `save` wrote, ready for evaluation. Loading runs no code from the file.

        Args:
            path: of the file.
            name: the field that named it.

        Raises:
            NoFileError, ValueError: as `read_model_file`.
            ValueError: one line, for weights that do not fit the configuration.
        """
        fields, arrays = read_model_file(path, FORMAT, name)
        try:
            config = GatingConfig(**fields)
            with torch.device("meta"):  # shapes alone: a file may claim networks that no memory holds
                wanted = {key: tuple(tensor.shape) for key, tensor in cls(config).state_dict().items()}
            given = {key: array.shape for key, array in arrays.items()}
            if wanted != given:
                key = next(key for key in sorted({**wanted, **given}) if wanted.get(key) != given.get(key))
                raise ValueError(f"{key} is {given.get(key, 'missing')}, valid is {wanted.get(key, 'none')}")
            model = cls(config)
            model.load_state_dict({key: torch.from_numpy(array) for key, array in arrays.items()})
        except (TypeError, ValueError, RuntimeError) as error:
            reason = " ".join(str(error).split())
            raise ValueError(f"{name} = {str(path)!r}: weights and configuration do not fit ({reason})") from None
        return model.eval()


def mixture(log_weights: Tensor, log_probabilities: Tensor) -> Tensor:
    """log sum_k p_k Q_k: (B, K) and (B, K, C) to (B, C)."""
    return torch.logsumexp(log_weights[..., None] + log_probabilities, dim=1)


def _perceptron(inputs: int, hidden: int, outputs: int) -> nn.Sequential:
    return nn.Sequential(nn.Linear(inputs, hidden), nn.ReLU(), nn.Linear(hidden, outputs))


def output_probabilities(log_weights: np.ndarray, log_answers: np.ndarray, selected: np.ndarray) -> np.ndarray:
    """sum_k p_k Q_k over the selected experts, the weights renormalised over them.

    Args:
        log_weights: (N, K), the gate's log p; zeros weight experts equally.
        log_answers: (N, K, C), log Q_k.
        selected: (N, K) bool, at least one per row.

    Returns:
        (N, C) float64, rows sum to 1.
    """
    # relative to the largest selected one: a gate may give all its selected experts next to nothing
    largest = np.where(selected, log_weights, -np.inf).max(axis=1, keepdims=True)
    weights = np.where(selected, np.exp(np.minimum(log_weights - largest, 0)), 0)
    weights /= weights.sum(axis=1, keepdims=True)
    return (weights[..., None] * np.exp(log_answers)).sum(axis=1)

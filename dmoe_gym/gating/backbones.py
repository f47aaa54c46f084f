"""Feature extractors F: a LeNet written here, ResNet-18 and a small ViT from torchvision where it is installed."""

from __future__ import annotations

from types import ModuleType

import torch
from torch import Tensor, nn

from dmoe_gym.gating.config import GatingConfig


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
    """A ViT small enough for 32x32 images: 4x4 patches, 6 layers of 4 heads, width 128 (this project's choice)."""
    return _torchvision(config).VisionTransformer(
        image_size=config.image_size,
        patch_size=4,
        num_layers=6,
        num_heads=4,
        hidden_dim=128,
        mlp_dim=256,
        num_classes=config.feature_size,
    )


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

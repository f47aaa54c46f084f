"""From the server's features to what every expert hears, differentiable."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from dmoe_gym.gating.transmission import Analog, Digital


def hear(features: Tensor, snr: np.ndarray, transmission: Analog | Digital, generator: np.random.Generator) -> Tensor:
    """Send each input's features to all K experts, each over its own channel.

    The gradient takes the disturbance as proportional to the features' root mean square. For analog transmission that
    is exact: without it, training would try to outgrow a noise that in truth grows along. For digital transmission,
    which has no useful gradient, it is a straight-through estimate.

    Args:
        features: (B, D).
        snr: (B, K) linear; infinity is a perfect channel.
        transmission: analog or digital.
        generator: random source; the draws of input b are the same whatever batch it is in.

    Returns:
        (B, K, D) float32.
    """
    sent = features.detach().numpy()[:, None].astype(float)
    received = transmission.transmit(sent, snr, generator)
    if not features.requires_grad:
        return torch.from_numpy(received.astype(np.float32))
    scale = features.pow(2).mean(dim=1).add(1e-12).sqrt()[:, None, None]
    disturbance = torch.from_numpy((received - sent).astype(np.float32))
    return features[:, None] + scale * (disturbance / scale.detach())

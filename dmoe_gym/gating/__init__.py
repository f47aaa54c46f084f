"""Channel-aware gating (Song et al., arXiv 2504.00819): networks, two-stage training, transmission, accuracy.

The only part of the library that needs torch; `import dmoe_gym` does not import it.
"""

from __future__ import annotations

from dmoe_gym.gating.config import GatingConfig, SNRDistribution
from dmoe_gym.gating.data import DataSplit, LabelledImages, load_digits_split, load_split
from dmoe_gym.gating.evaluation import evaluate_accuracy, receive
from dmoe_gym.gating.networks import GatedModel
from dmoe_gym.gating.training import train_two_stage
from dmoe_gym.gating.transmission import Analog, Digital

__all__ = [
    "Analog",
    "DataSplit",
    "Digital",
    "GatedModel",
    "GatingConfig",
    "LabelledImages",
    "SNRDistribution",
    "evaluate_accuracy",
    "load_digits_split",
    "load_split",
    "receive",
    "train_two_stage",
]

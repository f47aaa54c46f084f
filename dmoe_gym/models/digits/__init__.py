"""A DMoE classifier of multi-domain digits: what schedulers decide changes its gate scores and its answers.

The model runs without torch; only its training (the experiment `digits-model`) needs it.
"""

from __future__ import annotations

from dmoe_gym.models.digits.data import DOMAINS, ClassifierConfig, Inputs, load_inputs
from dmoe_gym.models.digits.model import InferenceModel, load_model

__all__ = ["DOMAINS", "ClassifierConfig", "InferenceModel", "Inputs", "load_inputs", "load_model"]

"""Configurations of DMoE inference with a real model, and their scenarios."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Annotated, Any

from pydantic import Field, model_validator

from dmoe_gym.channel import CSIConfig, GaussMarkovConfig
from dmoe_gym.config import named
from dmoe_gym.dmoe.config import Count, DMoEConfig, Fraction
from dmoe_gym.models.digits.relevance import ClassifierRelevanceConfig
from dmoe_gym.models.process import ModelSizes, ModelSource
from dmoe_gym.models.serving import ServingConfig


class InferenceConfig(ServingConfig, DMoEConfig):
    """A DMoE system that serves a real model: K and L are the model's, N is at most what it allows.

    Attributes:
        relevance: gate scores are always the model's; `inputs` says which part of its queries it is asked.
        threshold, importance_factor: z and gamma of JESA, which action 0 is (this project's choice; what costs least
            depends on scenario and price: experiment `inference`). No shortfall is priced: what leaving experts
            out costs are wrong answers, in units of E_ref.
        others: as in `ServingConfig` and `DMoEConfig`. There is no relevance budget and no battery here.
    """

    of_the_model = ("num_experts", "num_layers", "num_states")

    model: str = "digits"
    num_experts: Annotated[int, Field(ge=2, le=1024)] = 6
    num_states: Count = 4
    num_subcarriers: Count = 64
    num_layers: Count = 6
    max_experts: Count = 3
    threshold: Fraction = 0.8
    importance_factor: Annotated[float, Field(ge=1e-6, le=1)] = 0.8
    relevance: ModelSource = ClassifierRelevanceConfig()  # type: ignore[assignment]

    @classmethod
    def sizes_of(cls, sizes: ModelSizes, fields: Mapping[str, Any]) -> dict[str, Any]:
        return {"num_experts": sizes.experts, "num_layers": sizes.layers, "num_states": sizes.most_states}

    @model_validator(mode="after")
    def _has_no_limits(self) -> InferenceConfig:
        for name in ("relevance_budget", "battery_j"):
            if getattr(self, name) is not None:
                raise ValueError(f"{name} = {getattr(self, name)}: valid with a model in the loop is None")
        return self


INFERENCE_SCENARIOS = MappingProxyType(
    {
        # more subcarriers than links, all known
        "digits": InferenceConfig(),
        # fewer subcarriers than links
        "digits-scarce": InferenceConfig(num_subcarriers=12),
        # the channel seen is the last layer's, and what does not arrive in the slot is not heard
        "digits-stale": InferenceConfig(
            channel=GaussMarkovConfig(doppler_hz=4.0, round_duration_s=0.04),
            csi=CSIConfig(delay_rounds=1, error_variance=0.05),
            slot_duration_s=0.06,
        ),
        # the same three with the language model, whose 56 links carry 16 hidden states of every node
        "language": InferenceConfig(model="language"),
        "language-scarce": InferenceConfig(model="language", num_subcarriers=24),
        "language-stale": InferenceConfig(
            model="language",
            channel=GaussMarkovConfig(doppler_hz=0.8, round_duration_s=0.2),
            csi=CSIConfig(delay_rounds=1, error_variance=0.05),
            slot_duration_s=0.2,
        ),
    }
)


def inference_scenario(name: str) -> InferenceConfig:
    """The configuration of a named scenario.

    Raises:
        ValueError: for an unknown name; the message lists the valid ones.
    """
    return named(INFERENCE_SCENARIOS, name)

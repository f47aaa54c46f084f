"""Configurations of DMoE inference with the real classifier, and their scenarios."""

from __future__ import annotations

from types import MappingProxyType
from typing import Annotated

from pydantic import Field, field_validator, model_validator

from dmoe_gym.channel import CSIConfig, GaussMarkovConfig
from dmoe_gym.config import kind_alone, named
from dmoe_gym.dmoe.config import Count, DMoEConfig, Fraction
from dmoe_gym.models.digits import load_model
from dmoe_gym.models.digits.relevance import ClassifierRelevanceConfig


class InferenceConfig(DMoEConfig):
    """A DMoE system that serves the classifier: K, N and L are the model's.

    Fields:
        wrong_answer_price: what a wrong answer costs, in units of E_ref: the cost of an episode's last round has
            wrong_answer_price * (share of the nodes whose answer is wrong) (this project's choice).
        relevance: gate scores are always the classifier's; `inputs` says which part of the digits it is asked.
        threshold, importance_factor: z and gamma of JESA, which action 0 is; the default is what cost least of the
            grid of the experiment `inference` on validation inputs. No shortfall is priced: what leaving
            experts out costs are wrong answers.
        others: as in `DMoEConfig`. There is no relevance budget and no battery here.
    """

    num_experts: Annotated[int, Field(ge=2)] = 6
    num_states: Count = 4
    num_subcarriers: Count = 64
    num_layers: Count = 6
    max_experts: Count = 3
    threshold: Fraction = 0.8
    importance_factor: Annotated[float, Field(gt=0, le=1)] = 0.8
    wrong_answer_price: Annotated[float, Field(ge=0)] = 50.0
    relevance: ClassifierRelevanceConfig = ClassifierRelevanceConfig()  # type: ignore[assignment]

    _classifier_alone = field_validator("relevance", mode="before")(kind_alone)

    @model_validator(mode="after")
    def _fits_the_classifier(self) -> InferenceConfig:
        sizes = load_model().config
        for name, valid in (
            ("num_experts", sizes.experts),
            ("num_states", sizes.states),
            ("num_layers", sizes.layers),
            ("relevance_budget", None),
            ("battery_j", None),
        ):
            if getattr(self, name) != valid:
                raise ValueError(f"{name} = {getattr(self, name)}: valid with the classifier is {valid}")
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
    }
)


def inference_scenario(name: str) -> InferenceConfig:
    """The configuration of a named scenario.

    Raises:
        ValueError: for an unknown name; the message lists the valid ones.
    """
    return named(INFERENCE_SCENARIOS, name)

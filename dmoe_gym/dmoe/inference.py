"""Configurations of DMoE inference with a real model, and their scenarios."""

from __future__ import annotations

from types import MappingProxyType
from typing import Annotated, Any, Self

from pydantic import Field, model_validator

from dmoe_gym.channel import CSIConfig, GaussMarkovConfig
from dmoe_gym.config import named
from dmoe_gym.dmoe.config import Count, DMoEConfig, Fraction, Price
from dmoe_gym.models.catalogue import named_model
from dmoe_gym.models.digits.relevance import ClassifierRelevanceConfig
from dmoe_gym.models.process import ModelSource


class InferenceConfig(DMoEConfig):
    """A DMoE system that serves a real model: K and L are the model's, N is at most what it allows.

    Attributes:
        model: who answers: "digits" (the classifier), "language" (this project's own language model) or "hf:FOLDER",
            any mixture of experts that `dmoe_gym.models.huggingface` reads.
        prompts: what a model of a folder is asked, JSON lines (`dmoe_gym.models.huggingface.prompts`); None for others.
        wrong_answer_price: what a wrong answer costs, in units of E_ref: the cost of an episode's last round has
            wrong_answer_price * (share of the nodes whose answer is wrong) (this project's choice).
        relevance: gate scores are always the model's; `inputs` says which part of its queries it is asked.
        threshold, importance_factor: z and gamma of JESA, which action 0 is; the default is what cost least of the
            grid of the experiment `inference` on validation inputs. No shortfall is priced: what leaving
            experts out costs are wrong answers.
        others: as in `DMoEConfig`. There is no relevance budget and no battery here.
    """

    model: str = "digits"
    prompts: str | None = None
    num_experts: Annotated[int, Field(ge=2, le=1024)] = 6
    num_states: Count = 4
    num_subcarriers: Count = 64
    num_layers: Count = 6
    max_experts: Count = 3
    threshold: Fraction = 0.8
    importance_factor: Annotated[float, Field(ge=1e-6, le=1)] = 0.8
    wrong_answer_price: Price = 50.0
    relevance: ModelSource = ClassifierRelevanceConfig()  # type: ignore[assignment]

    @model_validator(mode="before")
    @classmethod
    def _of_the_model(cls, fields: Any) -> Any:
        """Gate scores, and the sizes that are not given, of the model named."""
        if not isinstance(fields, dict):
            return fields
        model = fields.get("model", "digits")
        source = named_model(model, fields.get("relevance"), fields.get("prompts"))
        sizes = source.sizes()
        own = {"num_experts": sizes.experts, "num_layers": sizes.layers, "num_states": sizes.most_states}
        return {**own, **fields, "relevance": source}

    def replace(self, **overrides: Any) -> Self:
        """As in `DMoEConfig`; where `model` is another one, what the old one set is not kept: queries and sizes."""
        if overrides.get("model", self.model) == self.model:
            return super().replace(**overrides)
        of_the_model = {"model", "prompts", "relevance", "num_experts", "num_layers", "num_states"}
        kept = {name: getattr(self, name) for name in type(self).model_fields if name not in of_the_model}
        return type(self)(**{**kept, **overrides})

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

"""Configurations of WDMoE inference with a real model, and their scenarios."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Annotated, Any

from pydantic import Field, model_validator

from dmoe_gym.models.language.source import LanguageSource
from dmoe_gym.models.process import ModelSizes, ModelSource
from dmoe_gym.models.serving import ServingConfig
from dmoe_gym.wdmoe.config import Count, WDMoEConfig

# of a prompt where their number is not given (this project's choice)
QUERIES = 4


class WDMoEInferenceConfig(ServingConfig, WDMoEConfig):
    """A WDMoE system that serves a real model: U and the number of blocks are the model's.

    Attributes:
        query_states: hidden states of one query, at most and by default what the model allows.
        num_tokens: J of a prompt, a multiple of `query_states`: so many queries does a prompt hold; four by default.
        max_experts, relevance_share: what the base station may choose; budgets are of the model's own gate weights.
        others: as in `ServingConfig` and `WDMoEConfig`. Wrong answers are priced in units of the reference latency.
    """

    of_the_model = ("num_devices", "num_blocks", "num_tokens", "query_states")
    together_field = "query_states"

    model: str = "language"
    query_states: Count = 16
    num_tokens: Count = 16 * QUERIES
    num_blocks: Annotated[int, Field(ge=1, le=65_536)] = 6
    relevance: ModelSource = LanguageSource()  # type: ignore[assignment]

    @classmethod
    def sizes_of(cls, sizes: ModelSizes, fields: Mapping[str, Any]) -> dict[str, Any]:
        states = fields.get("query_states")
        states = states if isinstance(states, int) else sizes.most_states
        return {
            "num_devices": sizes.experts,
            "num_blocks": sizes.layers,
            "query_states": states,
            "num_tokens": QUERIES * states,
        }

    def _decided_anew(self, overrides: Mapping[str, Any]) -> set[str]:
        # a prompt is four queries again
        tokens = {"num_tokens"} if "query_states" in overrides else set()
        return super()._decided_anew(overrides) | tokens

    @property
    def tokens_together(self) -> int:
        return self.query_states

    @model_validator(mode="after")
    def _whole_queries(self) -> WDMoEInferenceConfig:
        if self.num_tokens % self.query_states:
            raise ValueError(
                f"num_tokens = {self.num_tokens}: valid are multiples of query_states = {self.query_states}"
            )
        return self


# devices and experts have a large model's sizes, as everywhere in WDMoE: the model decides who is asked and whether the
# answer is right, not how long a token takes
INFERENCE_SCENARIOS = MappingProxyType(
    {"language": WDMoEInferenceConfig(), "digits": WDMoEInferenceConfig(model="digits")}
)

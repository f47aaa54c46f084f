"""A folder of a language model and a file of prompts as a source of gate scores."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field

from dmoe_gym.models.causal.source import CausalSource, Questions, load_folder, read_sizes
from dmoe_gym.models.huggingface.prompts import load_questions
from dmoe_gym.models.process import ModelRelevance, ModelSizes

if TYPE_CHECKING:
    from dmoe_gym.models.causal.layers import LayeredModel

Path = Annotated[str, Field(min_length=1)]


class HuggingFaceSource(CausalSource):
    """Mixtral, OLMoE, Qwen2-MoE or Qwen3-MoE from a local folder, weights in safetensors.

    Attributes:
        folder: as transformers saves a model and its tokenizer.
        prompts: JSON lines, see `prompts`. Of every query the last N tokens are scheduled.
    """

    kind: Literal["huggingface"] = "huggingface"
    folder: Path
    prompts: Path

    def sizes(self) -> ModelSizes:
        return read_sizes(self.folder)

    def layered(self) -> LayeredModel:
        return load_folder(self.folder)

    def questions(self) -> Questions:
        return load_questions(self.folder, self.prompts)

    def build(self, batch: int, nodes: int, states: int, experts: int) -> ModelRelevance:
        """As `CausalSource.build`."""
        fewest = load_questions(self.folder, self.prompts).fewest
        if states > fewest:
            raise ValueError(f"num_states = {states}: valid with the shortest of prompts {self.prompts!r} is {fewest}")
        return super().build(batch, nodes, states, experts)

"""The language model as transformers builds it, and routers that hear whom one says."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torch import Tensor, nn
from transformers import MixtralConfig, MixtralForCausalLM

from dmoe_gym.models.causal.layers import route
from dmoe_gym.models.language.tokens import END, PAD, VOCABULARY


def build() -> MixtralForCausalLM:
    """The model with fresh weights from torch's global generator."""
    model = MixtralForCausalLM(
        MixtralConfig(
            vocab_size=VOCABULARY,
            hidden_size=64,
            intermediate_size=96,
            num_hidden_layers=6,
            num_attention_heads=4,
            num_key_value_heads=4,
            num_local_experts=8,
            num_experts_per_tok=2,
            max_position_embeddings=64,
            # positions are a few dozen: the usual 1e6 would leave most frequencies without use
            rope_parameters={"rope_type": "default", "rope_theta": 100.0},
            tie_word_embeddings=True,
            bos_token_id=None,
            eos_token_id=END,
            pad_token_id=PAD,
        )
    )
    # the other implementations return nan where an expert number is nobody's
    model.set_experts_implementation("eager")
    return model


def routers(model: Any) -> list[nn.Module]:
    """The routers of all layers, in order."""
    return [layer.mlp.gate for layer in model.model.layers]


def override(model: Any, choose: Callable[[int, Tensor], Tensor]) -> list[Any]:
    """Let `choose(layer, logits)` say who is heard (T, K) bool; returns handles whose `remove` undoes it."""
    return [
        router.register_forward_hook(lambda _module, _inputs, output, n=layer: route(output[0], choose(n, output[0])))
        for layer, router in enumerate(routers(model))
    ]

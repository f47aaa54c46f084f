"""Tiny random language models of every family, and folders of them with a tokenizer of characters."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
import transformers

SIZES = {
    "vocab_size": 40,
    "hidden_size": 32,
    "intermediate_size": 24,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 48,
    "pad_token_id": 0,
    "bos_token_id": 1,
    "eos_token_id": 2,
    "initializer_range": 0.3,
}
QWEN: dict[str, Any] = {"num_experts": 4, "num_experts_per_tok": 2, "moe_intermediate_size": 24}

# a name, transformers' configuration, and its fields beside SIZES
FAMILIES: dict[str, tuple[str, dict[str, Any]]] = {
    "mixtral": ("Mixtral", {"num_local_experts": 4, "num_experts_per_tok": 2}),
    "mixtral sliding": ("Mixtral", {"num_local_experts": 4, "num_experts_per_tok": 2, "sliding_window": 4}),
    "olmoe": ("Olmoe", {"num_experts": 4, "num_experts_per_tok": 2}),
    "olmoe normalised": ("Olmoe", {"num_experts": 4, "num_experts_per_tok": 3, "norm_topk_prob": True}),
    "qwen2": ("Qwen2Moe", {**QWEN, "shared_expert_intermediate_size": 40}),
    "qwen2 half dense": (
        "Qwen2Moe",
        {
            **QWEN,
            "num_hidden_layers": 5,
            "shared_expert_intermediate_size": 40,
            "mlp_only_layers": [4],
            "decoder_sparse_step": 2,
            "use_sliding_window": True,
            "sliding_window": 4,
            "max_window_layers": 2,
        },
    ),
    "qwen3": ("Qwen3Moe", {**QWEN, "head_dim": 16}),
    "qwen3 normalised": ("Qwen3Moe", {**QWEN, "head_dim": 16, "norm_topk_prob": True}),
}


def tiny(name: str, seed: int = 0) -> Any:
    """A fresh model of a family, in evaluation mode."""
    family, fields = FAMILIES[name]
    torch.manual_seed(seed)
    config = getattr(transformers, f"{family}Config")(**{**SIZES, **fields})
    return getattr(transformers, f"{family}ForCausalLM")(config).eval()


def save_tiny(folder: Path, name: str = "mixtral") -> Path:
    """A folder with a model and a tokenizer that knows a to z, = and nothing else."""
    from tokenizers import Tokenizer, models, pre_tokenizers

    tiny(name).save_pretrained(folder)
    words = ["<pad>", "<s>", "</s>", "<unk>", *"abcdefghijklmnopqrstuvwxyz="]
    tokenizer = Tokenizer(models.WordLevel({word: place for place, word in enumerate(words)}, "<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Split("", "isolated")
    transformers.PreTrainedTokenizerFast(tokenizer_object=tokenizer, pad_token="<pad>").save_pretrained(folder)
    return folder


def write_prompts(path: Path, lines: list[Any]) -> Path:
    path.write_text("\n".join(line if isinstance(line, str) else json.dumps(line) for line in lines))
    return path

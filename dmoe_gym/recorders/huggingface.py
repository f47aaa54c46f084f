"""`python -m dmoe_gym record MODEL --text FILE`: record a language model's router.

For any mixture-of-experts causal language model of Hugging Face's transformers that returns its router's logits:
Mixtral, OLMoE, Qwen-MoE and others. Needs `pip install 'dmoe_gym[record]'`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
import typer

from dmoe_gym.config import SUM_TOLERANCE
from dmoe_gym.io.command_line import one_line_errors
from dmoe_gym.io.extras import needed_for, readable
from dmoe_gym.io.files import read_text
from dmoe_gym.recorders import Overwrite, keep, versions
from dmoe_gym.relevance import Trace

if TYPE_CHECKING:
    from transformers import PreTrainedModel

# what configurations of transformers call the number of experts
EXPERT_FIELDS = ("num_local_experts", "num_experts", "n_routed_experts", "moe_num_experts")


def record_router(
    model: PreTrainedModel, passages: Mapping[str, Sequence[Sequence[int]]], name: str, recorded: Mapping[str, str]
) -> Trace:
    """Softmax of the router's logits over all experts, of every token in every mixture-of-experts layer.

    Args:
        model: in evaluation mode; layers without a router are not recorded.
        passages: token ids by domain; the model sees one passage at a time and nothing of the others.
        name: what the trace calls the model.
        recorded: what it says of how it was recorded.

    Raises:
        ValueError: for a model without a router, a domain without tokens, or a token that the model does not know.
    """
    import torch

    if not hasattr(model.config, "output_router_logits"):
        raise ValueError(
            f"{name}: its configuration has no output_router_logits; "
            "valid are mixture-of-experts causal language models as Mixtral, OLMoE or Qwen-MoE"
        )
    parts, domains = [], []
    for index, (domain, sequences) in enumerate(passages.items()):
        for sequence in sequences:
            if len(sequence):
                parts.append(_router_scores(model, torch.tensor([list(sequence)], device=model.device), name))
                domains += [index] * len(sequence)
        if index not in domains:
            raise ValueError(f"domain {domain!r}: has no tokens; valid is at least one")
    return Trace(np.concatenate(parts, axis=1), np.array(domains, np.int64), tuple(passages), name, recorded)


def _router_scores(model: PreTrainedModel, tokens: Any, name: str) -> np.ndarray:
    """(layers, tokens, experts) float32 of one passage of token ids (1, tokens)."""
    import torch

    vocabulary = model.config.vocab_size
    if not 0 <= int(tokens.min()) <= int(tokens.max()) < vocabulary:
        raise ValueError(f"{name}: knows tokens 0 to {vocabulary - 1}, given were {tokens.min()} to {tokens.max()}")
    with torch.inference_mode():
        output = model(input_ids=tokens, output_router_logits=True, use_cache=False)
    layers = [logits for logits in output.router_logits or () if logits is not None]
    if not layers:
        raise ValueError(f"{name}: returned no router logits; valid is a model with mixture-of-experts layers")
    _require_layout(layers, tokens.shape[1], model.config, name)
    # 64 bit: a softmax of many experts is to sum to one
    stacked = torch.stack([logits.reshape(tokens.shape[1], -1).double().cpu() for logits in layers])
    if bool((stacked >= 0).all()) and bool(((stacked.sum(-1) - 1).abs() < SUM_TOLERANCE).all()):
        raise ValueError(f"{name}: this version of transformers returns scores for logits; valid is 5.23 or newer")
    return stacked.softmax(-1).float().numpy()


def _require_layout(layers: Sequence[Any], tokens: int, config: Any, name: str) -> None:
    """Refuse router outputs that are not one finite logit per token and expert."""
    counts = (getattr(config, field, None) for field in EXPERT_FIELDS)
    experts = next((count for count in counts if isinstance(count, int)), layers[0].shape[-1])
    for layer, logits in enumerate(layers):
        shape = tuple(logits.shape)
        if shape not in ((tokens, experts), (1, tokens, experts)):
            raise ValueError(
                f"{name}: router {layer} returned shape {shape}, valid is ({tokens} tokens, {experts} experts)"
            )
        if not bool(logits.isfinite().all()):
            raise ValueError(f"{name}: router {layer} returned logits that are not finite, as of a masked choice")


def domain_and_path(text: str) -> tuple[str, Path]:
    """NAME=FILE, or FILE alone, whose domain is called by its stem."""
    name, equals, path = text.partition("=")
    return (name, Path(path)) if equals else (Path(text).stem, Path(text))


@one_line_errors
def record_huggingface(
    model: Annotated[str, typer.Argument(help="A folder or a name on the Hugging Face hub, safetensors only.")],
    text: Annotated[list[str], typer.Option(help="FILE or NAME=FILE, one domain each; may be repeated.")],
    out: Annotated[Path, typer.Option(help="The trace file.")],
    tokens: Annotated[int, typer.Option(min=1, help="Tokens per domain at most, the file's first ones.")] = 4096,
    context: Annotated[int, typer.Option(min=1, help="Tokens that the model sees at once.")] = 512,
    device: Annotated[str, typer.Option(help="Where the model runs, as torch calls it.")] = "cpu",
    overwrite: Overwrite = False,
) -> None:
    """Record the router of a mixture-of-experts language model reading text files."""
    if out.exists() and not overwrite:
        raise FileExistsError(f"{out}: exists; --overwrite replaces it")
    sources = dict(domain_and_path(one) for one in text)
    if len(sources) < len(text):
        raise ValueError(f"--text {' '.join(text)}: two domains have one name; valid is NAME=FILE with different names")
    with needed_for("recording a language model", "record"):
        from transformers import AutoModelForCausalLM, AutoTokenizer
    texts = {name: read_text(path, "text") for name, path in sources.items()}
    with readable(f"model = {model!r}:"):
        tokenizer = AutoTokenizer.from_pretrained(model, trust_remote_code=False)
        # weights in safetensors and no code of the model's own: nothing that is loaded can run anything
        network = AutoModelForCausalLM.from_pretrained(
            model, trust_remote_code=False, use_safetensors=True, dtype="auto"
        )
    passages = {}
    for name, written in texts.items():
        ids = tokenizer(written)["input_ids"][:tokens]
        passages[name] = [ids[first : first + context] for first in range(0, len(ids), context)]
    arguments = " ".join(f"--text {one}" for one in text)
    trace = record_router(
        network.eval().to(device),
        passages,
        model,
        {
            "command": f"python -m dmoe_gym record {model} {arguments} --tokens {tokens} "
            f"--context {context} --device {device}",
            "data": ", ".join(f"{name}: {path.name}" for name, path in sources.items()),
            "heard": "the experts that the model's own router chose",
            "versions": versions("torch", "transformers"),
        },
    )
    keep(trace, out, overwrite)

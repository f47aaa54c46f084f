"""A causal language model of transformers, layer by layer, whose routers hear whom one says."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from transformers.integrations.moe import ALL_EXPERTS_FUNCTIONS

# what a router answers with here: nothing, weights (T, K), who is heard (T, K) bool
Routing = tuple[None, Tensor, Tensor]


def weights_of(scores: Tensor, heard: Tensor, total: Tensor | float = 1.0) -> Tensor:
    """Softmax scores (T, K) of the experts heard (T, K) bool, scaled to sum to `total` (T, 1); 0 for the others."""
    weights = scores * heard
    return weights * (total / weights.sum(-1, keepdim=True).clamp_min(torch.finfo(weights.dtype).tiny))


def _answers(experts: Any, hidden: Tensor, heard: Tensor, weights: Tensor) -> Tensor:
    """The weighted answers (T, d) of the experts heard: transformers' own, told (T, K) who is heard, not whom it asks.

    Its own implementations do not know of hidden states that nobody or another number of experts answers.
    """
    answers = torch.zeros_like(hidden)
    for expert in range(heard.shape[1]):
        rows = heard[:, expert].nonzero()[:, 0]
        if len(rows):
            inner = experts._apply_gate(nn.functional.linear(hidden[rows], experts.gate_up_proj[expert]))
            answer = nn.functional.linear(inner, experts.down_proj[expert]) * weights[rows, expert, None]
            answers.index_add_(0, rows, answer.to(hidden.dtype))
    return answers


ALL_EXPERTS_FUNCTIONS.register("heard", _answers)


class LayeredModel:
    """Mixtral, OLMoE, Qwen2-MoE or Qwen3-MoE as transformers builds them: their decoder layers have one shape.

    One inference: `hidden = embed(tokens)`; per mixture-of-experts layer 1..L `hidden, scores = open_layer(layer,
    hidden, padding)`, then `hidden = close_layer(layer, hidden, scores, heard)`; then `logits(hidden)`. What stands
    between (layers without experts) is passed in `open_layer`, what follows the last one in `logits`.

    Weights of heard experts are renormalised to the sum that the model's own top-k would have had: 1 where the model
    normalises (Mixtral), less where it does not (OLMoE, Qwen2-MoE by default). With its own top-k heard, the logits are
    those of its own forward.

    Attributes:
        model: the language model, in evaluation mode; its routers do what this object says from now on.
        layers, experts, top_k: L, K and how many experts the model's own router hears.
    """

    def __init__(self, model: Any) -> None:
        model.set_experts_implementation("heard")
        model.set_attn_implementation("sdpa")
        self.model = model.eval().requires_grad_(False)
        self._inner = model.model
        self._sparse = [number for number, layer in enumerate(self._inner.layers) if hasattr(layer.mlp, "experts")]
        self._routing: Routing | None = None
        for number in self._sparse:
            self._gate(number).forward = lambda _: self._routing
        gate = self._gate(self._sparse[0])
        self.layers, self.experts, self.top_k = len(self._sparse), gate.num_experts, gate.top_k
        self._normalises = bool(getattr(gate, "norm_topk_prob", True))

    def _gate(self, number: int) -> Any:
        return self._inner.layers[number].mlp.gate

    @torch.no_grad()
    def embed(self, tokens: Tensor) -> Tensor:
        """(B, T, d) from tokens (B, T)."""
        return self._inner.embed_tokens(tokens)

    @torch.no_grad()
    def open_layer(self, layer: int, hidden: Tensor, padding: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Hidden states (B, T, d) with what attention adds, and gate scores (B, T, K) of the layer's softmax.

        Args:
            layer: 1..L.
            hidden: after `embed`, or after `close_layer` of the layer before.
            padding: (B,) how many places at a row's beginning hold nothing; None for none.
        """
        first = self._sparse[layer - 2] + 1 if layer > 1 else 0
        number = self._sparse[layer - 1]
        hidden = self._dense(first, number, hidden, padding)
        hidden = self._attend(number, hidden, padding)
        logits = nn.functional.linear(self._seen(number, hidden), self._gate(number).weight)
        return hidden, logits.float().softmax(-1)

    @torch.no_grad()
    def close_layer(self, layer: int, hidden: Tensor, scores: Tensor, heard: Tensor) -> Tensor:
        """Hidden states (B, T, d) with the answers of the experts heard (B, T, K) bool.

        Args:
            hidden, scores: what `open_layer` gave.
        """
        number = self._sparse[layer - 1]
        flat, chosen = scores.view(-1, self.experts), heard.view(-1, self.experts)
        total: Tensor | float = 1.0
        if not self._normalises:
            total = flat.topk(self.top_k, -1).values.sum(-1, keepdim=True)
        self._routing = None, weights_of(flat, chosen, total), chosen
        try:
            return hidden + self._inner.layers[number].mlp(self._seen(number, hidden))
        finally:
            self._routing = None

    @torch.no_grad()
    def logits(self, hidden: Tensor, padding: Tensor | None = None) -> Tensor:
        """(B, T, vocabulary) after the last layer was closed."""
        hidden = self._dense(self._sparse[-1] + 1, len(self._inner.layers), hidden, padding)
        return self.model.lm_head(self._inner.norm(hidden))

    # --- parts of a decoder layer, in the order of transformers' own

    def _dense(self, first: int, end: int, hidden: Tensor, padding: Tensor | None) -> Tensor:
        for number in range(first, end):
            hidden = self._attend(number, hidden, padding)
            hidden = hidden + self._inner.layers[number].mlp(self._seen(number, hidden))
        return hidden

    def _attend(self, number: int, hidden: Tensor, padding: Tensor | None) -> Tensor:
        layer = self._inner.layers[number]
        positions = torch.arange(hidden.shape[1])[None]
        attended, _ = layer.self_attn(
            hidden_states=layer.input_layernorm(hidden),
            position_embeddings=self._inner.rotary_emb(hidden, positions),
            attention_mask=self._mask(number, hidden.shape[1], padding),
            past_key_values=None,
        )
        return hidden + attended

    def _seen(self, number: int, hidden: Tensor) -> Tensor:
        return self._inner.layers[number].post_attention_layernorm(hidden)

    def _mask(self, number: int, length: int, padding: Tensor | None) -> Tensor | None:
        """(B or 1, 1, T, T) bool, who may look at whom; None for every earlier place, which is faster."""
        window = self._window(number)
        if padding is None and (window is None or window >= length):
            return None
        place = torch.arange(length)
        back = place[:, None] - place
        mask = (back >= 0) & (back < (window or length))
        if padding is None:
            return mask[None, None]
        # a place of padding looks at itself: a row of nobody would be nan
        return ((mask & (place >= padding[:, None, None])) | (back == 0))[:, None]

    def _window(self, number: int) -> int | None:
        """The sliding window of a layer; None where it looks at all that came before."""
        config = self.model.config
        kinds = getattr(config, "layer_types", None)
        if kinds is not None and kinds[number] != "sliding_attention":
            return None
        return getattr(config, "sliding_window", None)


def top_experts(gate_scores: Tensor, count: int) -> Tensor:
    """(..., K) bool, the `count` best of every hidden state."""
    best = gate_scores.topk(count, -1).indices
    return torch.zeros(gate_scores.shape, dtype=torch.bool).scatter_(-1, best, True)

"""A causal language model of transformers, layer by layer, whose routers hear whom one says."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

# what a router of transformers answers with: logits (T, K), weights (T, k), experts (T, k); expert number K is nobody
Routing = tuple[Tensor, Tensor, Tensor]


def route(logits: Tensor, heard: Tensor, total: Tensor | float = 1.0) -> Routing:
    """The routing in which exactly `heard` (T, K) bool answer.

    Their weights are their softmax scores scaled to sum to `total` (T, 1); a hidden state that nobody answers gets
    nothing.
    """
    scores = logits.float().softmax(-1) * heard
    most = max(1, int(heard.sum(-1).max()))
    weights, experts = scores.topk(most, -1)
    experts = torch.where(weights > 0, experts, logits.shape[-1])
    weights = weights * (total / weights.sum(-1, keepdim=True).clamp_min(torch.finfo(weights.dtype).tiny))
    return logits, weights.to(logits.dtype), experts


class LayeredModel:
    """Mixtral, OLMoE, Qwen2-MoE or Qwen3-MoE as transformers builds them: their decoder layers have one shape.

    One inference: `hidden = embed(tokens)`; per mixture-of-experts layer 1..L `hidden, gate_scores = open_layer(layer,
    hidden, padding)`, then `hidden = close_layer(layer, hidden, heard)`; then `logits(hidden)`. What stands between
    (layers without experts) is passed in `open_layer`, what follows the last one in `logits`.

    Weights of heard experts are renormalised to the sum that the model's own top-k would have had: 1 where the model
    normalises (Mixtral), less where it does not (OLMoE, Qwen2-MoE by default). With its own top-k heard, the logits are
    those of its own forward.

    Attributes:
        model: the language model, in evaluation mode; its routers carry this object's hooks from now on.
        layers, experts, top_k: L, K and how many experts the model's own router hears.
    """

    def __init__(self, model: Any) -> None:
        # the other implementations do not know of nobody: an expert number K makes them return nan
        model.set_experts_implementation("eager")
        model.set_attn_implementation("sdpa")
        self.model = model.eval().requires_grad_(False)
        self._inner = model.model
        self._sparse = [number for number, layer in enumerate(self._inner.layers) if hasattr(layer.mlp, "experts")]
        self._routing: Routing | None = None
        for number in self._sparse:
            self._gate(number).register_forward_hook(lambda *_: self._routing)
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
        return hidden, self._logits(number, self._seen(number, hidden)).softmax(-1).view(*hidden.shape[:2], -1)

    @torch.no_grad()
    def close_layer(self, layer: int, hidden: Tensor, heard: Tensor) -> Tensor:
        """Hidden states (B, T, d) with the answers of the experts heard (B, T, K) bool."""
        number = self._sparse[layer - 1]
        seen = self._seen(number, hidden)
        logits = self._logits(number, seen)
        total: Tensor | float = 1.0
        if not self._normalises:
            total = logits.softmax(-1).topk(self.top_k, -1).values.sum(-1, keepdim=True)
        self._routing = route(logits, heard.view(-1, self.experts), total)
        try:
            return hidden + self._inner.layers[number].mlp(seen)
        finally:
            self._routing = None

    @torch.no_grad()
    def own_heard(self, layer: int, hidden: Tensor) -> Tensor:
        """(B, T, K) bool, whom the model's own router hears of hidden states (B, T, d) that `open_layer` gave."""
        number = self._sparse[layer - 1]
        logits = self._logits(number, self._seen(number, hidden))
        return top_experts(logits, self.top_k).view(*hidden.shape[:2], -1)

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

    def _logits(self, number: int, seen: Tensor) -> Tensor:
        """(B T, K) 32-bit logits of a gate: the product that its own forward takes, without what follows it there."""
        return nn.functional.linear(seen.reshape(-1, seen.shape[-1]), self._gate(number).weight).float()

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

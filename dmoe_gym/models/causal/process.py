"""Gate scores of a causal language model that answers under a schedule: see `ModelRelevance`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from dmoe_gym.models.causal.layers import top_experts
from dmoe_gym.models.causal.source import Asked
from dmoe_gym.models.process import ModelRelevance

if TYPE_CHECKING:
    from dmoe_gym.models.causal.source import CausalSource

_NUMBERS = 1 << 62


class CausalRelevance(ModelRelevance):
    """Every node holds one query per episode, of a domain drawn uniformly; its last N tokens are scheduled.

    Tokens before those are context: they hear the model's own top-k in every layer and cost nothing.

    Attributes:
        hidden: (batch, nodes, T, d) hidden states: after the current layer's attention, or after its experts.
        scores: (batch, nodes, T, K) the current layer's gate scores, those of the context included.
        layer: (batch,) the current layer 1..L; L + 1 when the last one was left.
        asked: what every node holds; arrays have (batch nodes) rows.
    """

    def __init__(self, batch: int, nodes: int, states: int, experts: int, source: CausalSource) -> None:
        super().__init__(batch, nodes, states, experts)
        self.source = source
        self._load()
        length = self._questions.length
        if not 1 <= states <= length:
            raise ValueError(f"num_states = {states}: valid with queries of {length} tokens are 1 to {length}")
        width, dtype = self._model.model.config.hidden_size, self._model.model.dtype
        self.hidden = torch.zeros((batch, nodes, length, width), dtype=dtype)
        self.scores = torch.zeros((batch, nodes, length, experts))
        self.layer = np.zeros(batch, np.int64)
        self.asked = Asked(
            np.zeros((batch * nodes, length + 1), np.int64),
            np.zeros((batch * nodes, length + 1), np.bool_),
            np.zeros(batch * nodes, np.int64),
        )

    def _load(self) -> None:
        self._model, self._questions = self.source.layered(), self.source.questions()

    def __getstate__(self) -> dict[str, Any]:
        # model and questions are the same in every process: copies name them instead of holding them
        return {name: value for name, value in self.__dict__.items() if name not in ("_model", "_questions")}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._load()

    def start(self, rows: Sequence[int] | np.ndarray, generators: Sequence[np.random.Generator]) -> None:
        chosen = np.asarray(rows)
        nodes = self.domains.shape[1]
        numbers = np.empty((len(chosen), nodes), np.int64)
        for position, row in enumerate(chosen):
            self.domains[row] = generators[row].integers(len(self._questions.domains), size=nodes)
            numbers[position] = generators[row].integers(_NUMBERS, size=nodes)
        places = self._places(chosen)
        drawn = self._questions.ask(self.domains[chosen].ravel(), numbers.ravel())
        for kept, new in zip(self.asked, drawn, strict=True):
            kept[places] = new
        embedded = self._model.embed(torch.from_numpy(drawn.tokens[:, :-1]))
        self._keep(chosen, embedded)
        self.layer[chosen] = 0
        self.advance(chosen, generators)

    def advance(self, rows: Sequence[int] | np.ndarray, generators: Sequence[np.random.Generator]) -> None:
        chosen = np.asarray(rows)
        self.layer[chosen] += 1
        states = self.gate_scores.shape[2]
        for layer, some in self._by_layer(chosen[self.layer[chosen] <= self._model.layers]):
            hidden, scores = self._model.open_layer(layer, self._flat(some), self._padding(some))
            self._keep(some, hidden)
            self._keep(some, scores, "scores")
            self.gate_scores[some] = scores[:, -states:].reshape(len(some), *self.gate_scores.shape[1:]).numpy()

    def hear(self, rows: np.ndarray, heard: np.ndarray) -> None:
        """As `ModelRelevance.hear`; weights are renormalised over who was heard (`LayeredModel`)."""
        states, experts = self.gate_scores.shape[2:]
        for layer, some in self._by_layer(rows):
            hidden, scores = self._flat(some), self._flat(some, "scores")
            wanted = torch.from_numpy(heard[some]).view(-1, states, experts)
            if states < hidden.shape[1]:
                wanted = torch.cat([top_experts(scores[:, :-states], self._model.top_k), wanted], 1)
            self._keep(some, self._model.close_layer(layer, hidden, scores, wanted))

    def right(self, rows: np.ndarray) -> np.ndarray:
        places = self._places(rows)
        with torch.no_grad():
            logits = self._model.logits(self._flat(rows), self._padding(rows)).float()
            answered = torch.from_numpy(self.asked.answered[places][:, 1:])
            targets = torch.from_numpy(self.asked.tokens[places][:, 1:])
            if self._questions.by_likelihood:
                log = logits.log_softmax(-1).gather(-1, targets[..., None])[..., 0]
                right = ((log * answered).sum(-1) / answered.sum(-1)).exp()
            else:
                right = ((logits.argmax(-1) == targets) | ~answered).all(-1)
        return right.double().numpy().reshape(len(rows), -1)

    # --- rows of environments as rows of the model

    def _by_layer(self, rows: np.ndarray) -> Iterator[tuple[int, np.ndarray]]:
        for layer in np.unique(self.layer[rows]):
            yield int(layer), rows[self.layer[rows] == layer]

    def _places(self, rows: np.ndarray) -> np.ndarray:
        nodes = self.domains.shape[1]
        return (np.asarray(rows)[:, None] * nodes + np.arange(nodes)).ravel()

    def _flat(self, rows: np.ndarray, name: str = "hidden") -> Tensor:
        kept = getattr(self, name)
        return (kept if self._is_all(rows) else kept[torch.from_numpy(rows)]).flatten(0, 1)

    def _keep(self, rows: np.ndarray, new: Tensor, name: str = "hidden") -> None:
        kept = getattr(self, name)
        new = new.view(len(rows), *kept.shape[1:])
        if self._is_all(rows):
            setattr(self, name, new)
        else:
            kept[torch.from_numpy(rows)] = new

    def _is_all(self, rows: np.ndarray) -> bool:
        """Are they all rows in their order? Then nothing has to be copied."""
        return len(rows) == len(self.layer) and bool((rows == np.arange(len(rows))).all())

    def _padding(self, rows: np.ndarray) -> Tensor | None:
        padding = self.asked.padding[self._places(rows)]
        return torch.from_numpy(padding) if padding.any() else None

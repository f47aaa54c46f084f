"""A small network that many items share, for many parameter vectors at once.

Its weights are shared over items (nodes, links), and each item sees the mean over all of them: a permutation of the
items permutes the outputs (Zaheer et al., "Deep Sets", 2017). Its output layer starts at zero, so an untrained
scheduler above an analytic one decides as that one does.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class SharedNetwork:
    """outputs = x A + mean(x) B + c + tanh(x W + mean(x) U + b) V for the inputs x of every item.

    Fields:
        inputs, outputs: numbers per item.
        width: of the hidden layer; 0 for a linear map.
        softsign: x / (1 + |x|) instead of tanh.
    """

    inputs: int
    outputs: int
    width: int
    softsign: bool = False

    @property
    def shapes(self) -> dict[str, tuple[int, ...]]:
        """The parameters' shapes, in their order in a parameter vector."""
        linear = {"A": (self.inputs, self.outputs), "B": (self.inputs, self.outputs), "c": (self.outputs,)}
        if self.width == 0:
            return linear
        hidden = {"W": (self.inputs, self.width), "U": (self.inputs, self.width), "b": (self.width,)}
        return {**linear, "V": (self.width, self.outputs), **hidden}

    @property
    def size(self) -> int:
        """Length of a parameter vector."""
        return sum(int(np.prod(shape)) for shape in self.shapes.values())

    def initial(self, generator: np.random.Generator) -> np.ndarray:
        """A parameter vector whose outputs are zero: random where it feeds the hidden layer, zero elsewhere."""
        parts = []
        for name, shape in self.shapes.items():
            scale = 1 / np.sqrt(2 * self.inputs) if name in "WU" else 0.0
            parts.append(scale * generator.standard_normal(shape).ravel())
        return np.concatenate(parts)

    def __call__(self, parameters: np.ndarray, inputs: np.ndarray) -> np.ndarray:
        """Outputs (P, B, items, outputs) of P parameter vectors.

        Args:
            parameters: (P, size); inputs: (P, B, items, inputs), or (1, B, items, inputs) for the same ones for all.
        """
        part: dict[str, np.ndarray] = {}
        first = 0
        for name, shape in self.shapes.items():
            last = first + int(np.prod(shape))
            part[name] = parameters[:, first:last].reshape(-1, *shape)
            first = last
        many, batch, items, _ = inputs.shape
        x = inputs.reshape(many, batch * items, -1)
        mean = np.repeat(inputs.mean(2), items, axis=1)
        total = x @ part["A"] + mean @ part["B"] + part["c"][:, None]
        if self.width:
            hidden = x @ part["W"] + mean @ part["U"] + part["b"][:, None]
            hidden = hidden / (1 + np.abs(hidden)) if self.softsign else np.tanh(hidden)
            total = total + hidden @ part["V"]
        return total.reshape(-1, batch, items, self.outputs)

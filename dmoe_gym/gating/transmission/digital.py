"""Digital transmission: quantise, encode, modulate, detect with bit errors, decode, dequantise."""

from __future__ import annotations

import math
from typing import Annotated, Literal

import numpy as np
from pydantic import Field

from dmoe_gym.config import StrictConfig
from dmoe_gym.gating.transmission.codes import CodeName, code
from dmoe_gym.gating.transmission.modulation import BITS_PER_SYMBOL, Modulation, bit_error_rate
from dmoe_gym.gating.transmission.quantiser import dequantise, from_bits, quantise, to_bits


class Digital(StrictConfig):
    """Quantised features over a binary symmetric channel whose crossover is the modulation's exact bit error rate.

    The energy of a channel use is the same for every code: a code of rate 1/2 takes twice the channel uses and twice
    the energy of uncoded transmission. Tables therefore name the channel uses.

    Attributes:
        bits: quantiser word length per feature (assumed).
        code: forward error correction, see `codes.code`.
        modulation: "bpsk" or "qpsk" (assumed QPSK: like analog, two real dimensions per channel use).
    """

    kind: Literal["digital"] = "digital"
    bits: Annotated[int, Field(ge=1, le=16)] = 4
    code: CodeName = "uncoded"
    modulation: Modulation = "qpsk"

    @property
    def name(self) -> str:
        """Short label for tables and file names."""
        return f"digital_{self.code}"

    def channel_uses(self, feature_size: int) -> float:
        """Complex channel uses that one feature vector takes, padding of the last codeword included."""
        block = code(self.code)
        words = math.ceil(feature_size * self.bits / block.dimension)
        return words * block.length / BITS_PER_SYMBOL[self.modulation]

    def draw(self, generator: np.random.Generator, links: tuple[int, ...], feature_size: int) -> np.ndarray:
        """The random numbers of one transmission over links of shape (...): uniform, (..., codewords, bits)."""
        block = code(self.code)
        return generator.random((*links, math.ceil(feature_size * self.bits / block.dimension), block.length))

    def receive(self, features: np.ndarray, snr: np.ndarray, noise: np.ndarray) -> np.ndarray:
        """What the receivers reconstruct, given what `draw` returned; arguments else and result as in `transmit`."""
        block = code(self.code)
        message = to_bits(quantise(features, self.bits), self.bits)
        size = message.shape[-1]
        padding = -size % block.dimension
        padded = np.concatenate([message, np.zeros((*message.shape[:-1], padding), np.uint8)], axis=-1)
        sent = block.encode(padded.reshape(*message.shape[:-1], -1, block.dimension))
        received = sent ^ (noise < bit_error_rate(self.modulation, snr)[..., None, None])
        decoded = block.decode(received).reshape(*received.shape[:-2], -1)
        return dequantise(from_bits(decoded[..., :size], self.bits), self.bits)

    def transmit(self, features: np.ndarray, snr: np.ndarray, generator: np.random.Generator) -> np.ndarray:
        """What the receivers reconstruct.

        Args:
            features: (..., D) within [-1, 1].
            snr: linear SNR of each link, a shape that broadcasts against the features' (...); 0 to infinity, where only
                the quantisation error is left.
            generator: random source; the number of draws depends on the shapes alone.

        Returns:
            (..., D) float64 within [-1, 1], (...) as broadcast.

        Raises:
            ValueError: for features outside [-1, 1].
        """
        links = np.broadcast_shapes(np.shape(features)[:-1], np.shape(snr))
        return self.receive(features, snr, self.draw(generator, links, np.shape(features)[-1]))

"""Analog and digital transmission of feature vectors; NumPy only."""

from __future__ import annotations

import math
from functools import cache
from itertools import combinations
from typing import Annotated, Literal

import numpy as np
from pydantic import Field
from scipy.special import erfc

from dmoe_gym.config import StrictConfig
from dmoe_gym.io.extras import needed_for


def quantise(values: np.ndarray, bits: int) -> np.ndarray:
    """Level index of each value, 0 .. 2**bits - 1, same shape, int64.

    Raises:
        ValueError: for values outside [-1, 1] or not finite.
    """
    values = np.asarray(values, float)
    inside = np.abs(values) <= 1
    if not inside.all():
        raise ValueError(f"features = {values[~inside][0]}: the quantiser takes finite numbers from -1 to 1")
    levels = 2**bits
    return np.minimum(((values + 1) * (levels / 2)).astype(np.int64), levels - 1)


def dequantise(indices: np.ndarray, bits: int) -> np.ndarray:
    """Centre of each level's cell, same shape, float64; within 2**-bits of what was quantised."""
    return (np.asarray(indices) + 0.5) * 2.0 ** (1 - bits) - 1


def to_bits(indices: np.ndarray, bits: int) -> np.ndarray:
    """Natural binary words, most significant bit first: (..., D) indices become (..., D * bits) uint8."""
    shifts = np.arange(bits - 1, -1, -1)
    words = (np.asarray(indices)[..., None] >> shifts) & 1
    return words.astype(np.uint8).reshape(*words.shape[:-2], -1)


def from_bits(words: np.ndarray, bits: int) -> np.ndarray:
    """Inverse of `to_bits`."""
    words = np.asarray(words).reshape(*words.shape[:-1], -1, bits)
    return words @ (1 << np.arange(bits - 1, -1, -1))


Modulation = Literal["bpsk", "qpsk"]
BITS_PER_SYMBOL: dict[str, int] = {"bpsk": 1, "qpsk": 2}


def bit_error_rate(modulation: Modulation, snr: np.ndarray | float) -> np.ndarray:
    """Probability that one transmitted bit is detected wrongly.

    Source: any textbook, e.g. Proakis, Digital Communications: Q(sqrt(2 Eb/N0)) for both, with Es = Eb (BPSK) and
    Es = 2 Eb (QPSK); under Rayleigh fading the instantaneous SNR of the block is handed in.

    Args:
        modulation: "bpsk" or "qpsk".
        snr: linear SNR Es/N0 of a complex channel use, any shape, 0 to infinity.

    Returns:
        Same shape as `snr`, float64.
    """
    snr_per_bit = np.asarray(snr, float) / BITS_PER_SYMBOL[modulation]
    return 0.5 * erfc(np.sqrt(snr_per_bit))


class Analog(StrictConfig):
    """x_hat = x + n, noise variance mean(x^2) / SNR per feature (docs/gating.md).

    mean(x^2) is taken over the feature vector of each input: the transmitter scales each vector to the same power and
    the receiver undoes it. Two features share one complex channel use, so SNR is Es/N0 as in the digital chain.

    Attributes:
        repetitions: how often the vector is sent; the receiver averages, which divides the noise variance
            (assumed 1; the analog counterpart of a repetition code).
    """

    kind: Literal["analog"] = "analog"
    repetitions: Annotated[int, Field(ge=1, le=1_000_000)] = 1

    @property
    def name(self) -> str:
        """Short label for tables and file names."""
        return "analog" if self.repetitions == 1 else f"analog_repetition{self.repetitions}"

    def channel_uses(self, feature_size: int) -> float:
        """Complex channel uses that one feature vector takes."""
        return self.repetitions * feature_size / 2

    def draw(self, generator: np.random.Generator, links: tuple[int, ...], feature_size: int) -> np.ndarray:
        """The random numbers of one transmission over links of shape (...): standard normal, (..., D)."""
        return generator.standard_normal((*links, feature_size))

    def receive(self, features: np.ndarray, snr: np.ndarray, noise: np.ndarray) -> np.ndarray:
        """What the receivers hear, given what `draw` returned; arguments else and result as in `transmit`."""
        features = np.asarray(features, float)
        power = np.mean(features**2, axis=-1, keepdims=True)
        deviation = np.sqrt(power / (np.asarray(snr, float)[..., None] * self.repetitions))
        return features + deviation * noise

    def transmit(self, features: np.ndarray, snr: np.ndarray, generator: np.random.Generator) -> np.ndarray:
        """What the receivers hear.

        Args:
            features: (..., D) float.
            snr: linear SNR of each link, a shape that broadcasts against the features' (...); above 0, infinity allowed
                (the features arrive unchanged).
            generator: random source; the number of draws depends on the shapes alone.

        Returns:
            (..., D) float64, (...) as broadcast.
        """
        links = np.broadcast_shapes(np.shape(features)[:-1], np.shape(snr))
        return self.receive(features, snr, self.draw(generator, links, np.shape(features)[-1]))


CodeName = Literal["uncoded", "repetition3", "hamming74", "golay2312", "bch12764"]


class LinearCode:
    """A systematic (n, k) code whose decoder corrects every pattern of at most `correctable` errors in a word.

    A word with any other syndrome is left as received (bounded-distance decoding). Every code shipped here is
    perfect, so there is no such word and decoding is maximum likelihood over a binary symmetric channel.

    Attributes:
        length: n, bits of a codeword.
        dimension: k, bits of a message; a codeword is the message followed by its n - k parity bits.
        correctable: t.
    """

    def __init__(self, parity: np.ndarray, correctable: int) -> None:
        """`parity` is the (k, n - k) parity part P of the generator matrix [I | P]."""
        self._parity = np.asarray(parity, np.float32)
        self.dimension, redundancy = self._parity.shape
        self.length = self.dimension + redundancy
        self.correctable = correctable
        self._check = np.concatenate([self._parity, np.eye(redundancy, dtype=np.float32)])
        self._place_values = (1 << np.arange(redundancy)).astype(np.float32)
        self._corrections = self._correction_table()

    def encode(self, messages: np.ndarray) -> np.ndarray:
        """(..., k) bits to (..., n) bits, uint8."""
        messages = np.asarray(messages, np.uint8)
        parity = (messages.astype(np.float32) @ self._parity) % 2
        return np.concatenate([messages, parity.astype(np.uint8)], axis=-1)

    def decode(self, received: np.ndarray) -> np.ndarray:
        """(..., n) hard bits to (..., k) message bits, uint8."""
        received = np.asarray(received, np.uint8)
        return received[..., : self.dimension] ^ self._corrections[self._syndromes(received)]

    def _syndromes(self, words: np.ndarray) -> np.ndarray:
        # float32 so that BLAS does the products; sums of at most n ones and syndromes below 2**24 are exact in it
        bits = (words.astype(np.float32) @ self._check) % 2
        return (bits @ self._place_values).astype(np.int64)

    def _correction_table(self) -> np.ndarray:
        """For every syndrome, which message bits to flip, (2**(n-k), k) uint8."""
        table = np.zeros((2 ** (self.length - self.dimension), self.dimension), np.uint8)
        for weight in range(1, self.correctable + 1):
            positions = np.array(list(combinations(range(self.length), weight)))
            patterns = np.zeros((len(positions), self.length), np.uint8)
            np.put_along_axis(patterns, positions, 1, axis=1)
            table[self._syndromes(patterns)] = patterns[:, : self.dimension]
        return table


class BCHCode:
    """The (127, 64) BCH code, t = 10, of the library komm (Berlekamp's decoder); attributes as in `LinearCode`.

    A word with more errors than the decoder can place is left as received. Decoding takes about a millisecond a word,
    so it is for evaluation and not for training.

    Raises:
        ImportError: with the command that installs komm, if it is missing.
    """

    length, dimension, correctable = 127, 64, 10

    def __init__(self) -> None:
        with needed_for("code = 'bch12764'"):
            import komm
        self._code = komm.BCHCode(mu=7, delta=2 * self.correctable + 1)
        self._decoder = komm.BerlekampDecoder(self._code)

    def encode(self, messages: np.ndarray) -> np.ndarray:
        """(..., 64) bits to (..., 127) bits, uint8, the message first."""
        words = self._code.encode(np.asarray(messages, np.int64))
        # komm has the message last
        return np.roll(words, self.dimension, axis=-1).astype(np.uint8)

    def decode(self, received: np.ndarray) -> np.ndarray:
        """(..., 127) hard bits to (..., 64) message bits, uint8."""
        received = np.asarray(received, np.uint8)
        words = received.reshape(-1, self.length)
        messages = words[:, : self.dimension].copy()
        wrong = (self.encode(messages) != words).any(axis=1)
        if wrong.any():
            messages[wrong] = self._decoder.decode(np.roll(words[wrong], -self.dimension, axis=-1).astype(np.int64))
        return messages.reshape(*received.shape[:-1], self.dimension)


@cache
def code(name: CodeName) -> LinearCode | BCHCode:
    """The code of that name.

    "uncoded", "repetition3" (3,1), "hamming74" (7,4), "golay2312" the Golay (23,12), "bch12764" the BCH (127,64).
    """
    match name:
        case "uncoded":
            return LinearCode(np.zeros((1, 0)), correctable=0)
        case "repetition3":
            return LinearCode(np.ones((1, 2)), correctable=1)
        case "hamming74":
            return LinearCode(_cyclic_parity(0b1011, dimension=4), correctable=1)
        case "golay2312":
            return LinearCode(_cyclic_parity(0b110001110101, dimension=12), correctable=3)
        case "bch12764":
            return BCHCode()
    raise ValueError(f"code = {name!r}: valid are uncoded, repetition3, hamming74, golay2312, bch12764")


def _cyclic_parity(polynomial: int, dimension: int) -> np.ndarray:
    """Parity part of a cyclic code's systematic generator: row i holds x^(n-1-i) mod the generator polynomial."""
    redundancy = polynomial.bit_length() - 1
    rows = []
    for power in range(redundancy + dimension - 1, redundancy - 1, -1):
        remainder = 1 << power
        while remainder.bit_length() > redundancy:
            remainder ^= polynomial << (remainder.bit_length() - redundancy - 1)
        rows.append([(remainder >> place) & 1 for place in range(redundancy - 1, -1, -1)])
    return np.array(rows)


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


Transmission = Annotated[Analog | Digital, Field(discriminator="kind")]

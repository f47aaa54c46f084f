"""Binary linear block codes with hard-decision decoding: short ones by a table of syndromes, a long one by komm."""

from __future__ import annotations

from functools import cache
from itertools import combinations
from typing import Literal

import numpy as np

from dmoe_gym.io.extras import needed_for

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

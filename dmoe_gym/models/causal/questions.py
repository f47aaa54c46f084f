"""What a causal language model is asked, as rows of tokens."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import NamedTuple

import numpy as np


class Asked(NamedTuple):
    """Queries of one length, with all of their answers' tokens: what the model is to say is known (teacher forcing).

    An answer is right if every token of it is the model's likeliest after all before it: just then the model would have
    written it by itself, under the same schedules.

    Attributes:
        tokens: (rows, T + 1) int64; the model sees the first T.
        answered: (rows, T + 1) bool, the tokens that make the answer; never the first one.
        padding: (rows,) int64, how many tokens at the beginning hold nothing.
    """

    tokens: np.ndarray
    answered: np.ndarray
    padding: np.ndarray


class Questions(ABC):
    """A stock of queries in domains.

    Attributes:
        domains: their names.
        length: T, the tokens that the model sees of each query.
        by_likelihood: are answers scored by their likelihood, the geometric mean over their tokens, instead of as
            right or wrong?
    """

    domains: tuple[str, ...]
    length: int
    by_likelihood: bool = False

    @abstractmethod
    def ask(self, domains: np.ndarray, numbers: np.ndarray) -> Asked:
        """A query per domain (rows,), each a function of its domain and its number (rows,) alone.

        Numbers are uniform whole numbers from 0 to 2^62 - 1.
        """

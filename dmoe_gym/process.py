"""Random processes of a batch of environments, and the check of those that come from outside of the package."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any

import numpy as np

from dmoe_gym.config import Component, in_words

Rows = Sequence[int] | np.ndarray
Generators = Sequence[np.random.Generator]


class RandomProcess(ABC):
    """What changes from round to round, in every environment with the numbers of its own generator."""

    @abstractmethod
    def start(self, rows: Rows, generators: Generators) -> None:
        """Draw the first round of a new episode for the environments in `rows`; generators[row] belongs to row."""

    @abstractmethod
    def advance(self, rows: Rows, generators: Generators) -> None:
        """Draw the next round for the environments in `rows`."""


class CheckedProcess(RandomProcess):
    """A process from outside of the package, whose arrays are checked and copied whenever it moves."""

    def _wrap(self, part: str, config: Component, process: Any, valid: type) -> None:
        """Take what the configuration of a part has built.

        Raises:
            ValueError: naming part and configuration, if that is nothing of the valid class.
        """
        self._name = f"{part}: {type(config).__name__}"
        if not isinstance(process, valid):
            raise ValueError(f"{self._name}.build returned {in_words(process)}, valid is a {valid.__name__}")
        self._process: Any = process

    @abstractmethod
    def _copy(self, rows: Rows) -> None:
        """Check and copy what the process holds of these environments."""

    def start(self, rows: Rows, generators: Generators) -> None:
        self._process.start(rows, generators)
        self._copy(rows)

    def advance(self, rows: Rows, generators: Generators) -> None:
        self._process.advance(rows, generators)
        self._copy(rows)

"""Which seeds are for evaluation only."""

from __future__ import annotations

# Training seeds stay below this number; held-out episodes start at it and belong to no training run.
FIRST_HELD_OUT_SEED = 1_000_000


# Episodes on which hyperparameters are compared; the training seeds of studies start there too.
FIRST_VALIDATION_SEED = 900_000


def held_out_seeds(count: int, offset: int = 0) -> range:
    """The seeds of `count` held-out episodes, the same for every policy.

    Raises:
        ValueError: if count is not positive or offset is negative.
    """
    if count < 1 or offset < 0:
        raise ValueError(f"count = {count}, offset = {offset}: valid are at least 1 and at least 0")
    return range(FIRST_HELD_OUT_SEED + offset, FIRST_HELD_OUT_SEED + offset + count)

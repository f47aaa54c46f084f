"""What makes an allocation valid, in words; shares no code with the solvers."""

from __future__ import annotations

import numpy as np

from dmoe_gym.wdmoe.physics.block import Allocation, Block, require_fit

# relative room for rounding in sums of bandwidths and of gate weights
TOLERANCE = 1e-9


def check(block: Block, allocation: Allocation) -> list[str]:
    """The violated constraints of an allocation in words, [] where it is valid.

    Constraints: every token has 1 to `max_experts` experts; the bandwidths add up to at most `bandwidth_hz`; a
    device with tokens has bandwidth; the mean relevance reaches the block's `relevance_budget`.

    Raises:
        ValueError: where the allocation has another size than the block.
    """
    require_fit(block, allocation)
    config, selected = block.config, allocation.selected
    violations = []
    for token, count in enumerate(np.count_nonzero(selected, axis=1)):
        if not 1 <= count <= config.max_experts:
            violations.append(f"token {token} is served by {count} experts, valid are 1 to {config.max_experts}")
    used = float(np.add.reduce(allocation.bandwidth))
    if used > config.bandwidth_hz * (1 + TOLERANCE):
        violations.append(f"the devices use {used} Hz together, valid is at most {config.bandwidth_hz} Hz")
    for device, count in enumerate(np.count_nonzero(selected, axis=0)):
        if count > 0 and allocation.bandwidth[device] == 0:
            violations.append(f"device {device} serves {count} tokens without bandwidth")
    relevance = float(block.gate_weights[selected].sum()) / config.num_tokens
    if relevance < block.relevance_budget - TOLERANCE:
        violations.append(f"mean relevance {relevance} is under the budget of {block.relevance_budget}")
    return violations

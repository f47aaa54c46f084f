"""The bandwidth problem handed to a general solver, SciPy's SLSQP: the yardstick of accuracy and of speed."""

from __future__ import annotations

import numpy as np
from scipy.optimize import minimize

from dmoe_gym.wdmoe import Block


def solve_with_slsqp(block: Block, tokens: np.ndarray) -> tuple[np.ndarray, bool]:
    """(bandwidth (U,) [Hz], converged) for tokens per device.

    Minimises the logarithm of the block latency over logarithms of the shares, with analytic gradients: in plain
    units SLSQP gives up on blocks whose gains differ by tens of dB.
    """
    active = np.flatnonzero(tokens)
    down, up = block.downlink_cn0[active], block.uplink_cn0[active]
    computation, count = block.computation_time[active], tokens[active]
    total, payload = block.config.bandwidth_hz, block.config.payload_bit

    def logarithms(shares: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """ln of every device's time, and its derivative by the logarithm of the device's share."""
        bandwidth = total * np.exp(shares)
        times, derivatives = computation.copy(), np.zeros_like(computation)
        for cn0 in (down, up):
            ratio = cn0 / bandwidth
            time = payload / (bandwidth * np.log2(1 + ratio))
            times += time
            derivatives -= time * (1 - ratio / ((1 + ratio) * np.log1p(ratio)))
        return np.log(count * times), derivatives / times

    size = len(active)
    start = np.full(size + 1, -np.log(size))
    start[-1] = logarithms(start[:-1])[0].max()
    offset = start[-1]
    gradient = np.eye(size + 1)[-1]
    constraints = [
        {
            "type": "ineq",
            "fun": lambda v: v[-1] - logarithms(v[:-1])[0],
            "jac": lambda v: np.column_stack([-np.diag(logarithms(v[:-1])[1]), np.ones(size)]),
        },
        {
            "type": "ineq",
            "fun": lambda v: 1 - np.exp(v[:-1]).sum(),
            "jac": lambda v: np.append(-np.exp(v[:-1]), 0.0),
        },
    ]
    result = minimize(
        lambda v: v[-1] - offset,
        start,
        jac=lambda v: gradient,
        constraints=constraints,
        method="SLSQP",
        options={"ftol": 1e-12, "maxiter": 1000},
    )
    shares = np.exp(result.x[:-1])
    bandwidth = np.zeros(len(tokens))
    # a sum a little over the whole band would look faster than any allocation can be
    bandwidth[active] = total * shares / max(1.0, shares.sum())
    return bandwidth, bool(result.success)


def solve_with_plain_slsqp(block: Block, tokens: np.ndarray) -> tuple[np.ndarray, bool]:
    """The same without care: shares and milliseconds as they are, gradients by finite differences."""
    active = np.flatnonzero(tokens)
    total, payload = block.config.bandwidth_hz, block.config.payload_bit

    def times_ms(shares: np.ndarray) -> np.ndarray:
        width = total * shares
        times = block.computation_time[active].copy()
        for cn0 in (block.downlink_cn0[active], block.uplink_cn0[active]):
            times += payload / (width * np.log2(1 + cn0 / width))
        return 1e3 * tokens[active] * times

    size = len(active)
    equal = np.full(size, 1 / size)
    result = minimize(
        lambda v: v[-1],
        np.append(equal, times_ms(equal).max()),
        bounds=[(1e-9, 1)] * size + [(0, None)],
        constraints=[
            {"type": "ineq", "fun": lambda v: v[-1] - times_ms(v[:-1])},
            {"type": "eq", "fun": lambda v: v[:-1].sum() - 1},
        ],
        method="SLSQP",
        options={"ftol": 1e-12, "maxiter": 1000},
    )
    bandwidth = np.zeros(len(tokens))
    bandwidth[active] = total * result.x[:-1] / result.x[:-1].sum()
    return bandwidth, bool(result.success)

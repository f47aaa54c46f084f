"""What nodes are told of the links that they used: whether those delivered, a round later."""

from __future__ import annotations

import numpy as np
from numba import prange

from dmoe_gym.compiled.njit import njit
from dmoe_gym.compiled.threads import serial_or_parallel


@serial_or_parallel
def acknowledge(rows, first, constants, batch, delivered, lost):
    """Write which links of the round that is still held delivered, and which were lost; nothing where one begins.

    Args:
        first: does an episode begin?
        constants, batch: `Constants`, `Batch`, its gains still those of the round that was decided.
        delivered, lost: (B, K, K) float32 outputs, both 0 where nothing was sent.
    """
    for position in prange(rows.shape[0]):
        row = rows[position]
        delivered[row] = 0.0
        lost[row] = 0.0
        if not first:
            _acknowledge(
                batch.selected[row], batch.subcarrier[row], batch.gains[row], constants, delivered[row], lost[row]
            )


@njit
def _acknowledge(selected, subcarrier, gains, constants, delivered, lost):
    experts, states, _ = selected.shape
    users = np.zeros(gains.shape[2], np.int64)
    payload = np.zeros((experts, experts), np.int64)
    for i in range(experts):
        for j in range(experts):
            if i == j or subcarrier[i, j] < 0:
                continue
            for n in range(states):
                payload[i, j] += selected[i, n, j]
            users[subcarrier[i, j]] += payload[i, j] > 0
    for i in range(experts):
        for j in range(experts):
            if payload[i, j] == 0:
                continue
            m = subcarrier[i, j]
            efficiency = np.log2(1 + constants.snr_per_gain * gains[i, j, m])
            # nodes that schedule for themselves may collide
            if payload[i, j] <= constants.slot_states * efficiency and users[m] == 1:
                delivered[i, j] = 1.0
            else:
                lost[i, j] = 1.0

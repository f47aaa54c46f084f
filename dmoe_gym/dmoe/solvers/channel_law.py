"""What a stale or noisy observation lets one expect of every link: its rate, and whether it delivers in the slot.

The law of the present gain given the observed one is that of Rayleigh-type fading (`dmoe_gym.channel.prediction`).
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from dmoe_gym.channel.prediction import conditional_mean_gain
from dmoe_gym.compiled.njit import njit
from dmoe_gym.dmoe.config import DMoEConfig
from dmoe_gym.dmoe.solvers.outage_table import outage_table, probability_below


class Outlook(NamedTuple):
    """The law of the present gains, as numbers for compiled code."""

    trust: float  # rho^2: weight of the observed gain in the conditional mean
    variance: float  # of the present amplitude given the observed one, over the local mean gain
    observed_share: float  # 1 - v: mean of the observed gain over the local mean gain
    local_means: bool  # must every link's local mean gain be estimated, as the mean over its subcarriers?
    table: np.ndarray  # `outage_table`

    @classmethod
    def of(cls, config: DMoEConfig, rounds_passed: int) -> Outlook:
        """What the configuration says of an observation when so many rounds of the episode have passed.

        Raises:
            ValueError: for a channel with a line of sight, whose law is another.
        """
        kind = getattr(config.channel, "small_scale", config.channel).kind
        if kind == "rician":
            raise ValueError("channel.kind = 'rician': valid are channels without line of sight, of Rayleigh-type law")
        lag = min(config.csi.delay_rounds, rounds_passed)
        share = 1 - config.csi.error_variance
        trust = config.channel.lag_correlation(lag) ** 2
        return cls(trust, 1 - trust * share, share, config.channel.kind == "large_scale", outage_table())


@njit
def expect(efficiency, constants, outlook, caution, prices, states, predicted, success, energy):
    """Fill what is expected of every link, subcarrier and payload of one round.

    Args:
        efficiency: (K, K, M) as observed.
        caution: (K,) factors on the outage probabilities of every node's links; 1 to believe them.
        prices: (K,) factors on the energy of every node's links.
        predicted: (K, K, M) output, spectral efficiency at the conditional mean gain.
        success: (K, K, M, N) output, probability that a payload of 1..N hidden states is delivered in the slot.
        energy: (K, K, M, N) output, expected energy of the transmission, a delivered one at the predicted rate.
    """
    experts, _, subcarriers = efficiency.shape
    snr = constants.snr_per_gain
    needed = np.zeros(states)
    if constants.slot_states < np.inf:
        for payload in range(1, states + 1):
            needed[payload - 1] = (2 ** (payload / constants.slot_states) - 1) / snr
    gains = np.empty(subcarriers)
    for i in range(experts):
        for j in range(experts):
            if i == j:
                predicted[i, j] = 0.0
                success[i, j] = 0.0
                energy[i, j] = np.inf
                continue
            mean = 0.0
            for m in range(subcarriers):
                gains[m] = (2.0 ** efficiency[i, j, m] - 1) / snr
                mean += gains[m]
            mean = max(mean / subcarriers / outlook.observed_share, 1e-12) if outlook.local_means else 1.0
            for m in range(subcarriers):
                power = outlook.trust * gains[m]
                rate = np.log2(1 + snr * (power + outlook.variance * mean))
                predicted[i, j, m] = rate
                for payload in range(1, states + 1):
                    if rate <= 0:
                        success[i, j, m, payload - 1] = 0.0
                        energy[i, j, m, payload - 1] = np.inf
                        continue
                    time = payload / rate
                    chance = 1.0
                    spent = time
                    if constants.slot_states < np.inf:
                        below = probability_below(
                            outlook.table, needed[payload - 1] / mean, power / mean, outlook.variance
                        )
                        chance = max(0.0, 1 - caution[i] * below)
                        spent = chance * min(time, constants.slot_states) + (1 - chance) * constants.slot_states
                    success[i, j, m, payload - 1] = chance
                    energy[i, j, m, payload - 1] = constants.transmission * spent * prices[i]


def predicted_gains(observed: np.ndarray, config: DMoEConfig, rounds_passed: int) -> np.ndarray:
    """The conditional mean of the present gains (..., K, K, M) given the observed ones.

    Under path loss and shadowing every link's local mean gain is estimated as the mean over its subcarriers.
    """
    csi = config.csi
    mean = 1.0
    if config.channel.kind == "large_scale":
        mean = np.maximum(observed.mean(-1, keepdims=True) / (1 - csi.error_variance), 1e-12)
    lag = min(csi.delay_rounds, rounds_passed)
    small = getattr(config.channel, "small_scale", config.channel)
    return conditional_mean_gain(
        observed,
        correlation=config.channel.lag_correlation(lag),
        error_variance=csi.error_variance,
        k_factor=getattr(small, "k_factor", 0.0),
        mean_gain=mean,
    )

"""What a stale or noisy observation lets one expect of every link: its rate, and whether it delivers in the slot.

The law of the present gain given the observed one is that of Rayleigh-type fading (`dmoe_gym.channel.law.FadingLaw`).
"""

from __future__ import annotations

from typing import NamedTuple, TypeGuard

import numpy as np

from dmoe_gym.channel.law import FadingLaw, GainLaw
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
            ValueError: for a channel of unknown law, or with a line of sight, whose law is another.
        """
        law = config.gain_law(rounds_passed)
        if not cls.fits(law):
            raise ValueError(
                f"channel = {config.channel!r}: valid are channels whose law is known, of Rayleigh type and without "
                "line of sight"
            )
        share = 1 - law.error_variance
        trust = law.correlation**2
        return cls(trust, 1 - trust * share, share, not law.known_means, outage_table())

    @staticmethod
    def fits(law: GainLaw | None) -> TypeGuard[FadingLaw]:
        """Is a law one that these numbers can say?"""
        return isinstance(law, FadingLaw) and not law.has_line_of_sight


@njit
def expect(efficiency, constants, outlook, caution, states, predicted, success, energy):
    """Fill what is expected of every link, subcarrier and payload of one round.

    Args:
        efficiency: (K, K, M) as observed; caution: outage probabilities are multiplied by it (1 to believe them).
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
                        chance = max(0.0, 1 - caution * below)
                        spent = chance * min(time, constants.slot_states) + (1 - chance) * constants.slot_states
                    success[i, j, m, payload - 1] = chance
                    energy[i, j, m, payload - 1] = constants.transmission * spent

"""What a stale or noisy observation lets one expect of every link: its rate, and whether it delivers in the slot.

The law of the present gain given the observed one is that of Rayleigh-type fading (`dmoe_gym.channel.law.FadingLaw`).
"""

from __future__ import annotations

from typing import NamedTuple, TypeGuard

import numpy as np

from dmoe_gym.channel.law import FadingLaw, GainLaw
from dmoe_gym.compiled.njit import njit
from dmoe_gym.dmoe.config import DMoEConfig
from dmoe_gym.dmoe.physics import Constants
from dmoe_gym.dmoe.solvers.delivery import CERTAIN, delivery, duration_table, longer
from dmoe_gym.dmoe.solvers.outage_table import outage_table, probability_below


class ChannelLaw(NamedTuple):
    """The law of the present gains, as numbers for compiled code."""

    trust: float  # rho^2: weight of the observed gain in the conditional mean
    variance: float  # of the present amplitude given the observed one, over the local mean gain
    observed_share: float  # 1 - v: mean of the observed gain over the local mean gain
    local_means: bool  # must every link's local mean gain be estimated, as the mean over its subcarriers?
    table: np.ndarray  # `outage_table`
    durations: np.ndarray  # `duration_table`

    @classmethod
    def of(cls, config: DMoEConfig, rounds_passed: int, law: GainLaw | None = None) -> ChannelLaw:
        """What the configuration says of an observation when so many rounds of the episode have passed.

        Args:
            law: of the gains given the observed ones, instead of the channel's.

        Raises:
            ValueError: for a channel of unknown law, or with a line of sight, whose law is another.
        """
        law = law or config.gain_law(rounds_passed)
        if not cls.fits(law):
            raise ValueError(
                f"channel = {config.channel!r}: valid are channels whose law is known, of Rayleigh type and without "
                "line of sight"
            )
        share = 1 - law.error_variance
        trust = law.correlation**2
        variance = 1 - trust * share
        scale = config.mean_snr * variance / 2 if law.known_means else None
        durations = duration_table(config.slot_states, config.num_states, scale)
        return cls(trust, variance, share, not law.known_means, outage_table(), durations)

    @staticmethod
    def fits(law: GainLaw | None) -> TypeGuard[FadingLaw]:
        """Is a law one that these numbers can say?"""
        return isinstance(law, FadingLaw) and not law.has_line_of_sight


@njit
def expect(efficiency, constants, law, caution, prices, states, predicted, success, energy):
    """Fill what is expected of every link, subcarrier and payload of one round.

    Args:
        efficiency: (K, K, M) as observed.
        caution: (K,) factors on the outage probabilities of every node's links; 1 to believe them.
        prices: (K,) factors on the energy of every node's links.
        predicted: (K, K, M) output, spectral efficiency at the conditional mean gain.
        success: (K, K, M, N) output, probability that a payload of 1..N hidden states is delivered in the slot.
        energy: (K, K, M, N) output, expected energy of the transmission: of a delivered one given that it is, at the
            gains that deliver it, of an outage for the whole slot. Without a slot it has no finite expectation, since
            deep fades last as long as they are deep, and is that of the predicted rate.
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
            mean = max(mean / subcarriers / law.observed_share, 1e-12) if law.local_means else 1.0
            for m in range(subcarriers):
                power = law.trust * gains[m]
                rate = np.log2(1 + snr * (power + law.variance * mean))
                predicted[i, j, m] = rate
                for payload in range(1, states + 1):
                    if rate <= 0:
                        success[i, j, m, payload - 1] = 0.0
                        energy[i, j, m, payload - 1] = np.inf
                        continue
                    chance = 1.0
                    spent = payload / rate
                    if constants.slot_states < np.inf:
                        below = probability_below(law.table, needed[payload - 1] / mean, power / mean, law.variance)
                        chance = max(0.0, 1 - caution[i] * below)
                        spent *= longer(law.durations[payload - 1], snr * mean, power / mean, law.variance)
                        spent = chance * min(spent, constants.slot_states) + (1 - chance) * constants.slot_states
                    success[i, j, m, payload - 1] = chance
                    energy[i, j, m, payload - 1] = constants.transmission * spent * prices[i]


def expect_exactly(
    gains: np.ndarray, constants: Constants, law: ChannelLaw, states: int
) -> tuple[np.ndarray, np.ndarray]:
    """What `expect` fills, by numerical integration instead of tables, for links of known mean gain and under a slot.

    Args:
        gains: (K, K, M) as observed.

    Returns:
        success, energy (K, K, M, N), the energy [unit] infinite for a node's own expert.
    """
    payloads = np.arange(1, states + 1)
    power = law.trust * gains.astype(float)[..., None]
    needed = np.expm1(payloads / constants.slot_states * np.log(2)) / constants.snr_per_gain
    if law.variance <= CERTAIN:
        chance = (power >= needed).astype(float)
        with np.errstate(divide="ignore"):
            time = chance / np.log2(1 + constants.snr_per_gain * np.maximum(power, needed))
    else:
        half = law.variance / 2
        chance, time = delivery(constants.snr_per_gain * half, np.sqrt(power / half), np.sqrt(needed / half))
    energy = constants.transmission * (payloads * time + (1 - chance) * constants.slot_states)
    own = np.arange(len(gains))
    chance[own, own], energy[own, own] = 0.0, np.inf
    return chance, energy

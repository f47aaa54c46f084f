"""Schedulers that remember which links delivered: margins of an outer loop, and a filter of blocked links."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from dmoe_gym.channel import BlockageConfig, CSIConfig
from dmoe_gym.dmoe.config import DMoEConfig
from dmoe_gym.dmoe.schedulers.scheduler import Correctable, Corrections, Observation, Scheduler, observed_rounds, seen
from dmoe_gym.dmoe.solvers.blockage import blockage_jesa, filter_links
from dmoe_gym.dmoe.solvers.delivery import ChannelLaw
from dmoe_gym.dmoe.solvers.jesa import jesa_batch
from dmoe_gym.policy import Remembered

# Rates of either kind on the filter's grid, in the middle of as many equal parts of the range of their logarithms.
GRID = 5
LARGEST_OFFSET_DB = 40.0


class OuterLoopJESA(Scheduler):
    """JESA on observed gains less an offset of each link that losses raise and deliveries lower.

    As outer-loop link adaptation does (Sampath, Kumar, Holtzman, "On setting reverse link target SIR in a CDMA system",
    1997): with a step down of step * target / (1 - target), offsets rest where that share of transmissions is lost.
    Links forget, or those that are not used would never be tried again.

    Args:
        step_db: of a loss [dB]; target: the share of losses; forget: the share of an offset that a round takes away.

    Raises:
        ValueError: if nothing is acknowledged, step_db is not positive, target lies outside (0, 1) or forget
            outside [0, 1].
    """

    def __init__(self, config: DMoEConfig, step_db: float = 10.0, target: float = 0.1, forget: float = 0.1) -> None:
        if not config.acknowledged:
            raise ValueError("acknowledged = False: valid for an outer loop is True")
        if not (step_db > 0 and 0 < target < 1 and 0 <= forget <= 1):
            raise ValueError(
                f"step_db = {step_db}, target = {target}, forget = {forget}: valid are numbers above 0, between 0 and "
                "1, and from 0 to 1"
            )
        super().__init__(config)
        self.step_db, self.target, self.forget = float(step_db), float(target), float(forget)
        self.down_db, self.keep = step_db * target / (1 - target), 1 - forget

    def remember(self, memory: Remembered, observation: Mapping[str, np.ndarray]) -> Remembered:
        offset = memory.get("offset_db", np.zeros_like(observation["lost"]))
        offset = self.keep * offset + self.step_db * observation["lost"] - self.down_db * observation["delivered"]
        offset[self.layers(observation) == 1] = 0
        return {"offset_db": np.clip(offset, 0, LARGEST_OFFSET_DB)}

    def fill(self, observation: Mapping[str, np.ndarray], selected: np.ndarray, subcarrier: np.ndarray) -> None:
        size, scores, efficiency, thresholds = seen(observation)
        factor = 10 ** (-observation["offset_db"] / 10)
        lowered = np.log2(1 + (np.exp2(efficiency) - 1) * factor[..., None]).astype(efficiency.dtype)
        jesa_batch(size, scores, lowered, thresholds, self.constants, selected, subcarrier)


class FilterJESA(Correctable):
    """Schedules of least expected cost under what a filter believes of every link (`solvers.blockage`).

    Args:
        caution: factor on the odds that a link is blocked; 1 to believe them.
        probing: what learning the state of an even link is worth [E_ref / (K N D)]; 0 looks at this round alone.

    Raises:
        ValueError: if caution or probing is negative, nothing is acknowledged, or the channel is no blockage around
            Rayleigh-type fading, seen late or with error.
    """

    def __init__(self, config: DMoEConfig, caution: float = 1.0, probing: float = 0.0) -> None:
        channel, csi = config.channel, config.csi
        if not (caution >= 0 and probing >= 0):
            raise ValueError(f"caution = {caution}, probing = {probing}: valid are numbers of at least 0")
        if not (isinstance(channel, BlockageConfig) and isinstance(csi, CSIConfig) and config.acknowledged):
            raise ValueError(
                f"channel = {channel!r}, csi = {csi!r}, acknowledged = {config.acknowledged}: valid for a filter of "
                "blocked links are a BlockageConfig, a CSIConfig and True"
            )
        super().__init__(config)
        self.caution, self.probing, self.delay = float(caution), float(probing), csi.delay_rounds
        self.depth, self.share = channel.depth, 1 - csi.error_variance
        self.laws = [
            ChannelLaw.of(config, passed, channel.small_scale.law(min(self.delay, passed), csi.error_variance))
            for passed in range(config.num_layers)
        ]
        places = (np.arange(GRID) + 0.5) / GRID
        means = [low * (high / low) ** places for low, high in (channel.clear_rounds, channel.blocked_rounds)]
        self.rates = 1 / np.stack(np.meshgrid(*means, indexing="ij"), -1).reshape(-1, 2)

    def remember(self, memory: Remembered, observation: Mapping[str, np.ndarray]) -> Remembered:
        links = observation["lost"].shape
        if not memory:
            size, *pair = links
            memory = {
                "weights": np.zeros((*links, len(self.rates), 2)),
                "told": np.zeros((size, self.delay + 1, *pair), np.int8),
                "blocked": np.zeros(links),
            }
        filter_links(
            len(links) / 4, self.layers(observation), observation["spectral_efficiency"], observation["delivered"],
            observation["lost"], self.constants.snr_per_gain, self.depth, self.share, self.delay, self.rates,
            memory["weights"], memory["told"], memory["blocked"],
        )  # fmt: skip
        return memory

    def fill_corrected(self, observation: Observation, corrections: Corrections, *schedule: np.ndarray) -> None:
        layers, blocked = self.layers(observation), observation["blocked"]
        rounds = observed_rounds(observation, *schedule)
        for row, (scores, efficiency, threshold, chosen, route) in enumerate(rounds):
            blockage_jesa(
                scores, efficiency, threshold, corrections.constants(self.constants, row), self.laws[layers[row] - 1],
                self.depth, self.caution * corrections.caution[row], corrections.prices[row], blocked[row],
                self.probing * corrections.probing[row], chosen, route,
            )  # fmt: skip

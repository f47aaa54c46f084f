"""What the WDMoE environments share: blocks drawn from the configuration, and the observation of them."""

from __future__ import annotations

from abc import abstractmethod
from types import MappingProxyType
from typing import Any, ClassVar, NamedTuple

import numpy as np

from dmoe_gym.channel.large_scale import path_gain
from dmoe_gym.compiled.njit import njit
from dmoe_gym.core import BatchedCore
from dmoe_gym.wdmoe.config import WDMoEConfig
from dmoe_gym.wdmoe.physics.block import Allocation, Block
from dmoe_gym.wdmoe.physics.check import check
from dmoe_gym.wdmoe.physics.latency import LN2, reference_latency, token_unit, transmission_time
from dmoe_gym.wdmoe.solvers.priced import selected_relevance


@njit
def share_bandwidth(wishes, selected, total_bandwidth, bandwidth):
    """Write bandwidth (U,) [Hz] in proportion to the wishes (U,) of the devices with tokens; the others get none."""
    total = 0.0
    for u in range(bandwidth.shape[0]):
        bandwidth[u] = 0.0
        for j in range(selected.shape[0]):
            if selected[j, u]:
                bandwidth[u] = wishes[u]
                total += wishes[u]
                break
    for u in range(bandwidth.shape[0]):
        bandwidth[u] *= total_bandwidth / total


@njit
def charge(gate_weights, cn0, budget, constants, selected, bandwidth, repairs, terms):
    """The terms of a block under the true channel, in the order of `WDMoECore.term_names`; return the cost.

    Args:
        gate_weights, selected: (J, U); cn0: (2, U) [Hz]; bandwidth: (U,) [Hz].
    """
    devices = bandwidth.shape[0]
    times = np.zeros(devices)
    terms[:] = 0.0
    active = 0
    for u in range(devices):
        tokens = 0
        for j in range(selected.shape[0]):
            tokens += selected[j, u]
        if tokens == 0:
            continue
        active += 1
        down = tokens * transmission_time(bandwidth[u], cn0[0, u], constants.payload)
        up = tokens * transmission_time(bandwidth[u], cn0[1, u], constants.payload)
        computation = tokens * constants.computation_time[u]
        times[u] = down + up + computation
        terms[1] = max(terms[1], times[u])
        terms[2] += down
        terms[3] += up
        terms[4] += computation
    for u in range(devices):
        if times[u] > 0.0:
            terms[5] += terms[1] - times[u]
    terms[2:6] /= active
    terms[6] = selected_relevance(gate_weights, selected)
    terms[7] = max(0.0, budget - terms[6])
    terms[8] = repairs
    terms[0] = terms[1] / constants.reference + constants.shortfall_price * terms[7]
    return terms[0]


# A link never fades by more than 90 dB: one draw in 1e9 would, and a gain of zero has no finite latency.
DEEPEST_FADE = 1e-9


class Constants(NamedTuple):
    """A WDMoEConfig as numbers for compiled code."""

    payload: float  # one token's hidden state [bit]
    bandwidth: float  # B [Hz]
    max_experts: int
    reference: float  # reference latency [s]
    shortfall_price: float  # V
    computation_time: np.ndarray  # (U,) [s per token]

    @classmethod
    def of(cls, config: WDMoEConfig) -> Constants:
        """The constants of a configuration."""
        return cls(
            payload=config.payload_bit,
            bandwidth=config.bandwidth_hz,
            max_experts=config.max_experts,
            reference=reference_latency(config),
            shortfall_price=config.shortfall_price,
            computation_time=config.token_flops / config.device_speeds,
        )


class WDMoECore(BatchedCore):
    """An episode is one prompt of J tokens through all blocks; a step decides one block.

    An episode draws the devices' places (uniform over the ring between the two distances; they stay for the
    episode), a block its fading and its gate weights. Downlink and uplink fade independently. Every action is
    accepted: where the experts it chooses miss the relevance budget, the environment adds some (`repairs`), so an
    optimum under the budget bounds every policy.
    """

    reward = "minus the cost: latency over a reference latency, plus V times what relevance lacks to the budget"

    decides_rounds = True
    config: WDMoEConfig
    meaning = MappingProxyType(
        {
            "gate_weights": "(J, U): gate weight of every token and device; sums to 1 over the devices",
            "downlink_efficiency": "(U,): log2(1 + SNR) over a share B / U of the band, as seen [bit/s/Hz]",
            "uplink_efficiency": "(U,): the same from the device to the base station",
            "computation_time": "(U,): a device's time per token [reference latency U / (J D)]",
            "relevance_budget": "(1,): the mean relevance that the block has to keep",
            "progress": "(1,): block / blocks, this one included",
        }
    )
    term_names: ClassVar[tuple[str, ...]] = (
        "cost",
        "latency_s",
        "latency_downlink_s",
        "latency_uplink_s",
        "latency_computation_s",
        "latency_waiting_s",
        "relevance",
        "shortfall",
        "repairs",
    )

    def __init__(self, num_envs: int, config: WDMoEConfig) -> None:
        super().__init__(num_envs, config, config.num_blocks)
        devices = config.num_devices
        self.constants = Constants.of(config)
        self.fading = config.channel.process(num_envs, (2, devices), 1)
        self.knowledge = config.csi.knowledge(self.fading)
        together = config.tokens_together
        self.relevance = config.relevance.process(num_envs, config.num_tokens // together, together, devices)
        self.path_gains = np.ones((num_envs, devices))
        # (num_envs, direction, device): downlink, uplink
        self.gains = np.ones((num_envs, 2, devices))
        # carrier power over noise density [Hz], true and as the scheduler sees it
        self.cn0 = np.ones((num_envs, 2, devices))
        self.observed_cn0 = np.ones((num_envs, 2, devices))
        self.efficiency = np.zeros((2, num_envs, devices), np.float32)
        self.budget = np.zeros(num_envs)
        self.budget_seen = np.zeros((num_envs, 1), np.float32)
        self.computation = np.tile(
            (self.constants.computation_time / token_unit(config)).astype(np.float32), (num_envs, 1)
        )
        self.selected = np.zeros((num_envs, config.num_tokens, devices), np.bool_)
        self.bandwidth = np.zeros((num_envs, devices))
        self._power_over_noise = np.array([config.base_station_power_w, config.device_power_w])
        self._build_spaces()

    def _observations(self) -> dict[str, np.ndarray]:
        return {
            "gate_weights": self.gate_weights,
            "downlink_efficiency": self.efficiency[0],
            "uplink_efficiency": self.efficiency[1],
            "computation_time": self.computation,
            "relevance_budget": self.budget_seen,
            "progress": self.progress,
        }

    def _largest(self) -> dict[str, float]:
        # 64 bit/s/Hz would be an SNR of 193 dB; no device computes longer than all U of them together
        links = dict.fromkeys(("downlink_efficiency", "uplink_efficiency"), 64)
        return {**dict.fromkeys(WDMoECore.meaning, 1), **links, "computation_time": self.config.num_devices}

    @property
    def gate_weights(self) -> np.ndarray:
        """(num_envs, J, U) float32, of all tokens at the base station."""
        return self.relevance.gate_scores.reshape(self.selected.shape)

    def step(self, actions: np.ndarray, rows: np.ndarray) -> None:
        self._decide(actions, rows)
        self._finish_round(rows)

    @abstractmethod
    def _decide(self, actions: np.ndarray, rows: np.ndarray) -> None:
        """Write selected, bandwidth, rewards and the terms that `charge` writes."""

    # --- episodes

    def _draw_first_round(self, rows: np.ndarray) -> None:
        nearest, farthest = self.config.distance_range_m
        for row in rows:
            squares = self.generators[row].uniform(nearest**2, farthest**2, self.config.num_devices)
            self.path_gains[row] = path_gain(np.sqrt(squares), self.config.carrier_hz)
        for process in (self.fading, self.knowledge, self.relevance):
            process.start(rows, self.generators)

    def _draw_next_round(self, rows: np.ndarray) -> None:
        for process in (self.fading, self.knowledge, self.relevance):
            process.advance(rows, self.generators)

    def _observe_round(self, rows: np.ndarray) -> None:
        _observe(
            rows,
            self.path_gains,
            self.fading.gains,
            self.knowledge.observed_gains,
            self._power_over_noise,
            self.config.noise_density,
            self.config.bandwidth_hz / self.config.num_devices,
            self.gains,
            self.cn0,
            self.observed_cn0,
            self.efficiency,
        )
        _write_budget(
            rows, self.gate_weights, self.config.max_experts, self.config.relevance_share, self.budget, self.budget_seen
        )

    def _arrays(self) -> tuple[Any, ...]:
        """What compiled steps read and write, in the order of their arguments."""
        drawn = self.gate_weights, self.observed_cn0, self.cn0, self.budget, self.constants
        return *drawn, self.selected, self.bandwidth, self.term_values, self.rewards

    # --- for users of one environment

    def round(self, row: int) -> Block:
        """The true current block of one environment."""
        return Block(self.gate_weights[row], self.gains[row, 0], self.gains[row, 1], self.config)

    def observed_round(self, row: int) -> Block:
        gains = self.gains[row] * (self.observed_cn0[row] / self.cn0[row])
        return Block(self.gate_weights[row], gains[0], gains[1], self.config)

    def schedule(self, row: int) -> Allocation:
        """The allocation that the last step of one environment decided."""
        return Allocation(self.selected[row], self.bandwidth[row])

    def check(self, round: Block, schedule: Allocation) -> list[str]:
        """See `wdmoe.check`."""
        return check(round, schedule)

    def priced(self, row: int) -> tuple[float, float]:
        """The mean shortfall and its price V."""
        return float(self.terms["shortfall"][row]), self.config.shortfall_price

    def metrics(self, means: dict[str, float]) -> dict[str, float]:
        """Adds the block latency in milliseconds."""
        return {**means, "latency_ms": 1e3 * means["latency_s"]}


@njit
def _observe(rows, path_gains, fading, observed, powers, noise, share, gains, cn0, observed_cn0, efficiency):
    """Gains, carrier-to-noise densities, and the spectral efficiency over an equal share of the bandwidth."""
    for row in rows:
        for direction in range(2):
            for u in range(path_gains.shape[1]):
                gain = path_gains[row, u] * max(np.float64(fading[row, direction, u, 0]), DEEPEST_FADE)
                gains[row, direction, u] = gain
                cn0[row, direction, u] = powers[direction] * gain / noise
                seen = path_gains[row, u] * max(np.float64(observed[row, direction, u, 0]), DEEPEST_FADE)
                observed_cn0[row, direction, u] = powers[direction] * seen / noise
                efficiency[direction, row, u] = np.log1p(observed_cn0[row, direction, u] / share) / LN2


@njit
def _write_budget(rows, gate_weights, max_experts, relevance_share, budget, seen):
    """The relevance budget of every block: the share of what the best experts reach together."""
    best = np.empty(max_experts)
    for row in rows:
        total = 0.0
        for weights in gate_weights[row]:
            best[:] = 0.0
            for weight in weights:
                # the smallest of the best gives way
                slot = np.argmin(best)
                if weight > best[slot]:
                    best[slot] = weight
            total += best.sum()
        budget[row] = relevance_share * (total / gate_weights.shape[1])
        seen[row, 0] = budget[row]

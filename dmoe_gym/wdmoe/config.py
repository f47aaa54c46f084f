"""The one configuration of the WDMoE system."""

from __future__ import annotations

from typing import Annotated, Any, Self

import numpy as np
from pydantic import Field, field_validator, model_validator

from dmoe_gym.config import StrictConfig

Count = Annotated[int, Field(ge=1)]
Positive = Annotated[float, Field(gt=0)]


class WDMoEConfig(StrictConfig):
    """A base station with gate and attention, and one expert on each of U mobile devices.

    Formulas: DESIGN section 4, this project's reading of arXiv 2405.03131 and 2411.06681. Defaults are assumed: the
    sizes of Mixtral-8x7B, a 3.5 GHz carrier of 100 MHz.

    Fields:
        devices: U, devices and experts of a block. tokens: J, tokens of the prompt. blocks: MoE blocks of an episode.
        max_experts: most experts that may serve one token (2 for Mixtral).
        hidden_size: m_dim, values of one hidden state. expert_hidden_size: m_hidden, values inside an expert.
        bits_per_value: eps, bits of one transmitted value [bit].
        activation_flops: operations of the activation function per value of the expert's hidden layer [FLOP].
        bandwidth_hz: B, shared by all devices [Hz]; a device uses its share for downlink and uplink alike.
        carrier_hz: carrier frequency [Hz].
        base_station_power_w: P_BS [W]. device_power_w: P_k [W]. noise_dbm_per_hz: noise density N0 [dBm/Hz].
        nearest_m, farthest_m: range of the devices' distances from the base station [m].
        slowest_flops, fastest_flops: range of the device speeds C_k [FLOP/s], spread evenly from fast to slow.
        device_speeds: C_k of every device [FLOP/s]; replaces the range.
        relevance_share: the mean relevance of a block must reach this share of what each token's best
            `max_experts` experts reach together (this project's choice: it makes schedules comparable).
        gate_concentration, domain_concentration: gate weights are Dirichlet(gate_concentration for every expert, plus
            domain_concentration for the expert of the episode's domain).
    """

    devices: Count = 8
    tokens: Count = 32
    blocks: Count = 32
    max_experts: Count = 2
    hidden_size: Count = 4096
    expert_hidden_size: Count = 14336
    bits_per_value: Count = 16
    activation_flops: Annotated[float, Field(ge=0)] = 1.0
    bandwidth_hz: Positive = 100e6
    carrier_hz: Positive = 3.5e9
    base_station_power_w: Positive = 10.0
    device_power_w: Positive = 0.2
    noise_dbm_per_hz: float = -174.0
    nearest_m: Positive = 20.0
    farthest_m: Positive = 200.0
    slowest_flops: Positive = 2e12
    fastest_flops: Positive = 20e12
    device_speeds: tuple[Positive, ...] | None = None
    relevance_share: Annotated[float, Field(gt=0, le=1)] = 0.9
    gate_concentration: Positive = 0.5
    domain_concentration: Annotated[float, Field(ge=0)] = 1.0

    @field_validator("device_speeds", mode="before")
    @classmethod
    def _sequence_to_tuple(cls, value: Any) -> Any:
        """Files hold lists and users hold arrays; strict mode would accept a tuple only."""
        return tuple(float(speed) for speed in value) if isinstance(value, list | np.ndarray) else value

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.max_experts > self.devices:
            raise ValueError(f"max_experts = {self.max_experts}: valid are 1 to devices = {self.devices}")
        if self.nearest_m > self.farthest_m:
            raise ValueError(f"nearest_m = {self.nearest_m}: valid is at most farthest_m = {self.farthest_m}")
        if self.slowest_flops > self.fastest_flops:
            raise ValueError(f"slowest_flops = {self.slowest_flops}: valid is at most fastest_flops")
        if self.device_speeds is not None and len(self.device_speeds) != self.devices:
            raise ValueError(f"device_speeds has {len(self.device_speeds)} entries, valid is devices = {self.devices}")
        return self

    @property
    def speeds(self) -> np.ndarray:
        """C_k of every device, (U,) float64 [FLOP/s]."""
        if self.device_speeds is not None:
            return np.array(self.device_speeds, np.float64)
        return np.linspace(self.fastest_flops, self.slowest_flops, self.devices)

    @property
    def payload_bits(self) -> float:
        """eps m_dim: bits of one token's hidden state, the same in both directions [bit]."""
        return float(self.bits_per_value * self.hidden_size)

    @property
    def token_flops(self) -> float:
        """6 m_dim m_hidden + activation + m_hidden: operations of a SwiGLU expert for one token [FLOP]."""
        return 6.0 * self.hidden_size * self.expert_hidden_size + (self.activation_flops + 1) * self.expert_hidden_size

    @property
    def noise_density(self) -> float:
        """N0 [W/Hz]."""
        return float(10 ** (self.noise_dbm_per_hz / 10 - 3))

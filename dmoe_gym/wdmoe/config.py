"""Configuration of the WDMoE system: sizes, radio, devices, relevance; and what follows from them."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from typing import Annotated, Any, ClassVar, Literal

import numpy as np
from pydantic import Field, model_validator

from dmoe_gym.channel import ChannelField, CSIConfig, KnowledgeField, RayleighConfig
from dmoe_gym.channel.large_scale import path_gain
from dmoe_gym.channel.process import LARGEST_GAIN
from dmoe_gym.config import SystemConfig, is_foreign, require_memory
from dmoe_gym.relevance import DirichletConfig, RelevanceField, Sizes

# Wider than any radio or device; inside these bounds every formula of this system stays finite.
Count = Annotated[int, Field(ge=1, le=65_536)]
Size = Annotated[int, Field(ge=1, le=1_000_000_000)]
Speed = Annotated[float, Field(ge=1, le=1e24)]
Power = Annotated[float, Field(ge=1e-9, le=1e6)]
Distance = Annotated[float, Field(ge=0.01, le=1e6)]
# No link is better: that would be an SNR of 193 dB.
LARGEST_EFFICIENCY = 64
# Normal amplitudes of 32 bit never come to more.
LARGEST_FADE = 100.0


class WDMoEConfig(SystemConfig):
    """A base station with gate and attention, and one expert on each of U mobile devices.

    docs/wdmoe.md, this project's reading of arXiv 2405.03131 and 2411.06681; every default is assumed.

    Attributes:
        num_devices: U, devices, each holding one expert of every block.
        num_tokens: J, tokens of the prompt.
        num_blocks: MoE blocks of an episode.
        max_experts: the most experts per token.
        relevance_share: the mean relevance of a block must reach this share of what each token's `max_experts` best
            experts reach together (this project's choice: it makes schedules of different relevance comparable).
        shortfall_price: V of the cost, per unit of mean relevance under the budget (this project's choice).
        hidden_size: m_dim, values of one hidden state.
        expert_hidden_size: m_hidden, values inside an expert.
        bits_per_value: eps, bits of one transmitted value [bit].
        activation_flops: operations of the activation function per value inside an expert [FLOP].
        bandwidth_hz: B, shared by all devices [Hz]; a device has its share in the downlink and in the uplink.
        carrier_hz: carrier frequency [Hz].
        base_station_power_w: P_BS [W].
        device_power_w: P_k [W], of every device.
        noise_dbm_per_hz: noise density N0 [dBm/Hz].
        distance_range_m: smallest and largest distance of a device from the base station [m].
        device_speed_range_flops: C_k of the first and the last device, linear between [FLOP/s].
        device_speeds_flops: C_k of every device [FLOP/s]; where given, the range is not used, but a range that
            is given to a scenario takes their place.
        channel: the fading process, by its `kind` and parameters.
        relevance: the source of gate weights, by its `kind` and parameters; "trace:FILE" for recorded ones.
        csi: what the scheduler knows of the channel.
        residual_reward: of `WDMoE-Residual-v0`, other ids do not look at it: "cost" for minus the block's cost,
            "saving" for what the block costs less than under action 0, which varies far less.
    """

    # the field that says `tokens_together`
    together_field: ClassVar[str] = "num_tokens"

    num_devices: Count = 8
    num_tokens: Count = 32
    num_blocks: Count = 32
    max_experts: Count = 2
    relevance_share: Annotated[float, Field(ge=1e-6, le=1)] = 0.9
    shortfall_price: Annotated[float, Field(ge=0, le=1e9)] = 100.0
    hidden_size: Size = 4096
    expert_hidden_size: Size = 14336
    bits_per_value: Annotated[int, Field(ge=1, le=1024)] = 16
    activation_flops: Annotated[float, Field(ge=0, le=1e9)] = 1.0
    bandwidth_hz: Annotated[float, Field(ge=1, le=1e12)] = 100e6
    carrier_hz: Annotated[float, Field(ge=1e6, le=1e12)] = 3.5e9
    base_station_power_w: Power = 10.0
    device_power_w: Power = 0.2
    noise_dbm_per_hz: Annotated[float, Field(ge=-250, le=0)] = -174.0
    distance_range_m: tuple[Distance, Distance] = (20.0, 200.0)
    device_speed_range_flops: tuple[Speed, Speed] = (20e12, 2e12)
    device_speeds_flops: tuple[Speed, ...] | None = None
    channel: ChannelField = RayleighConfig()
    relevance: RelevanceField = DirichletConfig()
    csi: KnowledgeField = CSIConfig()
    residual_reward: Literal["cost", "saving"] = "cost"

    @model_validator(mode="after")
    def _consistent(self) -> WDMoEConfig:
        if self.max_experts > self.num_devices:
            raise ValueError(
                f"max_experts = {self.max_experts}: valid are whole numbers from 1 to num_devices = {self.num_devices}"
            )
        if self.channel.between_nodes:
            raise ValueError(f"channel = {self.channel!r}: valid are channels of links from one base station")
        if self.distance_range_m[0] > self.distance_range_m[1]:
            raise ValueError(f"distance_range_m = {self.distance_range_m}: valid is the smaller distance first")
        if self.device_speeds_flops is not None and len(self.device_speeds_flops) != self.num_devices:
            raise ValueError(
                f"device_speeds_flops has {len(self.device_speeds_flops)} entries: "
                f"valid is num_devices = {self.num_devices}, or None for device_speed_range_flops"
            )
        self._require_efficiency()
        require_memory(
            self.numbers(),
            f"num_devices = {self.num_devices}, num_tokens = {self.num_tokens} with this channel",
        )
        self.relevance.require_fit(
            Sizes(
                self.num_blocks,
                self.num_devices,
                self.tokens_together,
                "num_blocks",
                "num_devices",
                self.together_field,
            )
        )
        return self

    def _require_efficiency(self) -> None:
        """Refuse links that could be better than `LARGEST_EFFICIENCY`, at the largest gain that fading has."""
        nearest, share = self.distance_range_m[0], self.bandwidth_hz / self.num_devices
        power = max(self.base_station_power_w, self.device_power_w)
        fade = LARGEST_GAIN if is_foreign(self.channel) else LARGEST_FADE
        largest = power * float(path_gain(nearest, self.carrier_hz)) * fade / (self.noise_density * share)
        if not np.log2(1 + largest) <= LARGEST_EFFICIENCY:
            raise ValueError(
                f"distance_range_m = {self.distance_range_m}, carrier_hz = {self.carrier_hz}, base_station_power_w = "
                f"{self.base_station_power_w}, device_power_w = {self.device_power_w}, bandwidth_hz = "
                f"{self.bandwidth_hz}, noise_dbm_per_hz = {self.noise_dbm_per_hz}: the nearest device could reach "
                f"{np.log2(1 + largest):.1f} bit/s/Hz in an equal share of the bandwidth, valid are at most "
                f"{LARGEST_EFFICIENCY}"
            )

    def numbers(self) -> int:
        """See `SystemConfig.numbers`: mostly gate weights and actions over tokens and devices."""
        gains = 2 * self.num_devices
        channel = self.channel.numbers(gains, 1) + self.csi.numbers(gains)
        return channel + 40 * gains + 16 * self.num_tokens * self.num_devices

    def _decided_anew(self, overrides: Mapping[str, Any]) -> set[str]:
        speeds = {"device_speeds_flops"} if "device_speed_range_flops" in overrides else set()
        return super()._decided_anew(overrides) | speeds

    @cached_property
    def device_speeds(self) -> np.ndarray:
        """C_k of every device [FLOP/s], (U,)."""
        given = self.device_speeds_flops
        speeds = np.linspace(*self.device_speed_range_flops, self.num_devices) if given is None else np.array(given)
        speeds.setflags(write=False)
        return speeds

    @property
    def tokens_together(self) -> int:
        """How many tokens stand in one text, whose gate weights are drawn together: all."""
        return self.num_tokens

    @property
    def payload_bit(self) -> float:
        """eps m_dim [bit]: one token's hidden state, the same in both directions."""
        return float(self.bits_per_value * self.hidden_size)

    @property
    def token_flops(self) -> float:
        """6 m_dim m_hidden + activation + m_hidden [FLOP]: a SwiGLU expert's work for one token."""
        return 6.0 * self.hidden_size * self.expert_hidden_size + (self.activation_flops + 1) * self.expert_hidden_size

    @property
    def noise_density(self) -> float:
        """N0 [W/Hz]."""
        return float(10 ** (self.noise_dbm_per_hz / 10 - 3))

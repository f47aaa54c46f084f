"""Configuration of the DMoE system: sizes, radio, energies, relevance; and what follows from them."""

from __future__ import annotations

from functools import cached_property
from typing import Annotated, Any, Literal

import numpy as np
from pydantic import Field, model_validator

from dmoe_gym.channel import ChannelField, CSIConfig, GainLaw, KnowledgeField, RayleighConfig
from dmoe_gym.config import StrictConfig, SystemConfig, require_memory
from dmoe_gym.dmoe.harvest import HarvestField
from dmoe_gym.relevance import DirichletConfig, RelevanceField, Sizes

# Wider than any radio; inside these bounds every formula of this system stays finite.
Positive = Annotated[float, Field(ge=1e-12, le=1e12)]
Price = Annotated[float, Field(ge=0, le=1e9)]
Count = Annotated[int, Field(ge=1, le=65_536)]
Fraction = Annotated[float, Field(ge=0, le=1)]


# What a scheduler may be mistaken about: not sizes, and not what there is to observe.
BELIEVABLE = ("channel", "csi", "mean_snr_db", "slot_duration_s", "relevance_budget", "battery_j", "harvest")


class ResidualConfig(StrictConfig):
    """What residual ids correct and reward; others do not look at it.

    Attributes:
        underneath: the scheduler that is corrected, by its name in tables; None for the scenario's strongest.
        reward: "cost" for minus the round's cost; "saving" for what the round costs less than under action 0, which
            runs beside on the same episode. The sums of both differ by what no action changes, so they have the same
            best policy, and a saving varies far less from episode to episode.
        believes: fields of `BELIEVABLE` that the scheduler underneath takes for other than they are, and their values:
            one that was tuned for one law, on another.
    """

    underneath: str | None = None
    reward: Literal["cost", "saving"] = "cost"
    believes: dict[str, Any] = Field(default_factory=dict, max_length=20)

    def only(self, *used: str) -> None:
        """Refuse what an environment does not use.

        Raises:
            ValueError: for a field that is not the default and not among those used.
        """
        for name, field in type(self).model_fields.items():
            value, default = getattr(self, name), field.get_default(call_default_factory=True)
            if name not in used and value != default:
                raise ValueError(f"residual.{name} = {value!r:.99}: valid in this environment is {default!r}")

    def __hash__(self) -> int:
        # a mapping has none of its own
        return hash((self.underneath, self.reward, repr(sorted(self.believes.items()))))


class DMoEConfig(SystemConfig):
    """One DMoE system (arXiv 2503.13421 in this project's reading; every default is assumed, see docs).

    Attributes:
        num_experts: K, nodes, each holding one expert.
        num_states: N, hidden states per node and round.
        num_subcarriers: M.
        num_layers: L, rounds of an episode.
        max_experts: D, the most experts per hidden state.
        threshold: z of the relevance threshold z * gamma^l.
        importance_factor: gamma, in (0, 1].
        shortfall_price: V of the cost, per unit of mean shortfall.
        subcarrier_bandwidth_hz: B0 [Hz].
        transmit_power_w: P0 [W], per subcarrier.
        state_size_bit: s0 [bit], one hidden state.
        mean_snr_db: mean signal-to-noise ratio of a subcarrier at gain 1 [dB]; it fixes the noise power N0.
        computation_energy_range: a of the first and the last node, linear between, in units of the mean link's
            transmission energy of one hidden state.
        round_energy_j: b [J], every node's constant energy per round.
        channel: the channel process, by its `kind` and parameters.
        relevance: the source of gate scores, by its `kind` and parameters; "trace:FILE" for recorded ones.
        csi: what the scheduler knows of the channel.
        return_transmission: do answers travel back, each as large as the hidden state, over the same subcarrier in the
            other direction? Then a link's spectral efficiency is that of both ways, 1 / (1 / r_ij + 1 / r_ji), in
            observations, schedules, costs and slots; the unit of energies stays that of one way.
        slot_duration_s: T [s], the time that a round leaves for transmission; None for as long as it takes.
        relevance_budget: mean relevance asked for over the whole episode, instead of the threshold of every hidden
            state; None for the threshold.
        battery_j: energy of every node at an episode's start [J], with a harvest what a battery holds; None for no
            limit.
        harvest: energy that arrives at the batteries, which hold `battery_j` at most, by its `kind` ("sun" if left out)
            and parameters; None for none.
        acknowledged: is it observed of every link whether it delivered what it carried in the round before?
        residual: what residual scheduling corrects and rewards.
    """

    num_experts: Annotated[int, Field(ge=2, le=1024)] = 4
    num_states: Count = 1
    num_subcarriers: Count = 16
    num_layers: Count = 8
    max_experts: Count = 2
    threshold: Fraction = 0.5
    importance_factor: Annotated[float, Field(ge=1e-6, le=1)] = 1.0
    shortfall_price: Price = 100.0
    subcarrier_bandwidth_hz: Annotated[float, Field(ge=1, le=1e12)] = 1e6
    transmit_power_w: Positive = 0.01
    state_size_bit: Annotated[float, Field(ge=1, le=1e12)] = 4096 * 16.0
    mean_snr_db: Annotated[float, Field(ge=-50, le=100)] = 10.0
    computation_energy_range: tuple[Price, Price] = (0.5, 1.5)
    round_energy_j: Price = 0.0
    channel: ChannelField = RayleighConfig()
    relevance: RelevanceField = DirichletConfig()
    csi: KnowledgeField = CSIConfig()
    return_transmission: bool = False
    slot_duration_s: Positive | None = None
    relevance_budget: Fraction | None = None
    battery_j: Positive | None = None
    harvest: HarvestField | None = None
    acknowledged: bool = False
    residual: ResidualConfig = ResidualConfig()

    @model_validator(mode="after")
    def _parts_fit(self) -> DMoEConfig:
        if self.max_experts > self.num_experts:
            raise ValueError(
                f"max_experts = {self.max_experts}: valid are whole numbers from 1 to num_experts = {self.num_experts}"
            )
        if self.harvest is not None and self.battery_j is None:
            raise ValueError("harvest without battery_j: valid is a battery that energy can arrive at")
        if self.return_transmission and self.battery_j is not None:
            raise ValueError(
                "return_transmission = True with battery_j: valid is False, for a link has one energy and two payers"
            )
        if self.residual.believes:
            try:
                self.believed()
            except ValueError as error:
                raise ValueError(f"residual.believes: {error}") from None
        if self.acknowledged and self.slot_duration_s is None:
            raise ValueError("acknowledged = True without slot_duration_s: valid is a slot, in which links can fail")
        require_memory(
            self.numbers(),
            f"num_experts = {self.num_experts}, num_states = {self.num_states}, num_subcarriers = "
            f"{self.num_subcarriers}, num_layers = {self.num_layers} with this channel",
        )
        self.relevance.require_fit(Sizes(self.num_layers, self.num_experts, self.num_states))
        return self

    def numbers(self) -> int:
        """See `SystemConfig.numbers`: arrays over links and subcarriers, and over hidden states and experts."""
        links = self.num_experts**2
        gains = links * self.num_subcarriers
        channel = self.channel.numbers(links, self.num_subcarriers) + self.csi.numbers(gains)
        # observations are copied, spaces have two ends, actions are 64 bit, memory of viewers
        return channel + 12 * gains + 16 * links * self.num_states + 40 * links + 4 * self.num_layers

    def believed(self) -> DMoEConfig:
        """The system as the scheduler that `residual` corrects takes it to be.

        Raises:
            ValueError: naming a field that it cannot be mistaken about, or what the system refuses.
        """
        believes = self.residual.believes
        other = self.replace(**believes, residual=self.residual.replace(believes={}))
        for name in believes:
            if name not in BELIEVABLE or (getattr(self, name) is None) != (getattr(other, name) is None):
                valid = f"{', '.join(BELIEVABLE)}, each where the configuration has one"
                raise ValueError(f"{name} = {str(believes[name])[:60]}: valid are {valid}")
        return other

    @property
    def mean_snr(self) -> float:
        """Mean signal-to-noise ratio as a power ratio."""
        return float(10 ** (self.mean_snr_db / 10))

    @property
    def noise_power_w(self) -> float:
        """N0 [W] of one subcarrier: what makes gain 1 arrive at the mean SNR."""
        return self.transmit_power_w / self.mean_snr

    @property
    def mean_link_energy_j(self) -> float:
        """P0 s0 / (B0 log2(1 + mean SNR)) [J]: one hidden state over a mean link."""
        rate = self.subcarrier_bandwidth_hz * np.log2(1 + self.mean_snr)
        return float(self.transmit_power_w * self.state_size_bit / rate)

    @cached_property
    def computation_energy_j(self) -> np.ndarray:
        """a [J], (K,): each node's energy per computed hidden state."""
        energies = self.mean_link_energy_j * np.linspace(*self.computation_energy_range, self.num_experts)
        energies.setflags(write=False)
        return energies

    @cached_property
    def energy_unit_j(self) -> float:
        """E_ref / (K N D) [J]: the unit of energies in observations and solvers."""
        return self.mean_link_energy_j + float(self.computation_energy_j.mean())

    @property
    def reference_energy_j(self) -> float:
        """E_ref [J]: every hidden state served by D experts over mean links."""
        return self.num_experts * self.num_states * self.max_experts * self.energy_unit_j

    @property
    def slot_states(self) -> float:
        """B0 T / s0: hidden states that a link of 1 bit/s/Hz delivers in the slot; infinite without a slot."""
        if self.slot_duration_s is None:
            return float("inf")
        return self.subcarrier_bandwidth_hz * self.slot_duration_s / self.state_size_bit

    @property
    def is_limited(self) -> bool:
        """Is there a slot, a relevance budget or a battery?"""
        return not (self.slot_duration_s is None and self.relevance_budget is None and self.battery_j is None)

    @property
    def enforces_threshold(self) -> bool:
        """Does the environment itself cure shortfalls that are dearer than their cure?

        Only where the round as observed is all there is to know. Under stale or noisy knowledge, a slot, a budget
        or a battery it may be wise to leave relevance out, so there the shortfall is priced and nothing more.
        """
        return not self.is_limited and self.csi.is_perfect

    def gain_law(self, rounds_passed: int) -> GainLaw | None:
        """The law of the present gains given the observed ones when so many rounds have passed.

        None if it is unknown, as that of a link there and back is.
        """
        if self.return_transmission:
            return None
        return self.csi.law(self.channel, rounds_passed)

    def threshold_of_layer(self, layer: int) -> float:
        """z * gamma^l of layer l = 1..L; 0 under a relevance budget."""
        if self.relevance_budget is not None:
            return 0.0
        return float(self.threshold * self.importance_factor**layer)


class NodesConfig(DMoEConfig):
    """A DMoE system whose nodes schedule for themselves.

    Attributes:
        collision: what happens when links take one subcarrier. "lost": all of them transmit in vain, and their hidden
            states fall back on their own node's expert where no other is left. "repair": as in `DMoE-JESA-v0`.
        reward: of a node: "team", an equal part of the central reward; or "own", minus what it spends itself, radio
            and expert, and its own priced shortfall.
        observe: "own", or "neighbours" to see which subcarriers every node used in the last round, too.
        others: as in `DMoEConfig`.
    """

    collision: Literal["lost", "repair"] = "lost"
    reward: Literal["team", "own"] = "team"
    observe: Literal["own", "neighbours"] = "own"

    @model_validator(mode="after")
    def _shares_its_budget(self) -> NodesConfig:
        if self.reward == "own" and self.relevance_budget is not None:
            raise ValueError("reward = 'own': valid under a relevance budget, which the nodes share, is 'team'")
        return self

"""Transmissions and gates by name, as tuned for each kind of them, and named configurations of the environment."""

from __future__ import annotations

from types import MappingProxyType
from typing import Annotated, Any, Literal, Self

from pydantic import Field, field_validator, model_validator

from dmoe_gym.channel import ChannelField, CSIConfig, GaussMarkovConfig, KnowledgeField
from dmoe_gym.config import SystemConfig, kind_alone, named
from dmoe_gym.gating.config import GateKind, GatingConfig
from dmoe_gym.gating.data import CLASSES, DatasetName
from dmoe_gym.gating.transmission import Analog, Digital, Transmission

TRANSMISSIONS: dict[str, Analog | Digital] = {
    transmission.name: transmission
    for transmission in (
        Analog(),
        Analog(repetitions=3),
        Digital(code="uncoded"),
        Digital(code="repetition3"),
        Digital(code="hamming74"),
        Digital(code="golay2312"),
    )
}
# Winners of the experiment `gating-tuning` on digits; "random" takes those of "best_snr".
TUNED: dict[tuple[str, str], dict[str, float]] = {
    ("analog", "naive"): {"learning_rate": 2e-2, "weight_decay": 0.1},
    ("analog", "channel_aware"): {"learning_rate": 2e-2, "weight_decay": 0.1},
    ("analog", "best_snr"): {"learning_rate": 2e-2, "weight_decay": 0.1},
    ("digital", "naive"): {"learning_rate": 2e-2, "weight_decay": 1e-4},
    ("digital", "channel_aware"): {"learning_rate": 2e-2, "weight_decay": 1e-4},
    ("digital", "best_snr"): {"learning_rate": 2e-2, "weight_decay": 1e-4},
}
# On the 45,000 training images of CIFAR: few passes, which one core makes in a minute. The learning rate was tuned by
# `gating-tuning` on CIFAR-10 for LeNet and analog transmission, and is used for all (docs/reports/gating_cifar10.md).
CIFAR_TRAINING: dict[str, float] = {
    "learning_rate": 3e-3,
    "weight_decay": 1e-2,
    "batch_size": 128,
    "stage_one_epochs": 6,
    "stage_two_epochs": 1,
}


def transmission_of(name: str) -> Analog | Digital:
    """The transmission of a name.

    Raises:
        ValueError: for an unknown one.
    """
    if name not in TRANSMISSIONS:
        raise ValueError(f"transmissions = {name!r}: valid are {', '.join(TRANSMISSIONS)}")
    return TRANSMISSIONS[name]


def tuned_config(dataset: DatasetName, transmission: str, gate: GateKind, **fields: Any) -> GatingConfig:
    """Networks and training for one transmission and one gate, tuned on digits; `fields` take precedence."""
    tuned = TUNED.get((transmission_of(transmission).kind, "best_snr" if gate == "random" else gate), {})
    if dataset != "digits":
        tuned = CIFAR_TRAINING
    return GatingConfig(**{**tuned, **dataset_shape(dataset), **fields, "gate": gate})


def dataset_shape(dataset: DatasetName) -> dict[str, int]:
    """The fields of `GatingConfig` that a dataset decides."""
    if dataset == "digits":
        return {"image_size": 8, "image_channels": 1, "classes": 10}
    return {"image_size": 32, "image_channels": 3, "classes": CLASSES[dataset]}


class GatingSystemConfig(SystemConfig):
    """A server with a gate, K expert clients behind channels of their own, and the images they are asked about.

    docs/gating.md, this project's reading of arXiv 2504.00819; every default is assumed.

    Attributes:
        networks: trained backbone, gate and experts: a shipped name, or a path that `GatedModel.save` wrote to (a naive
            gate for the same experts is looked for beside it, as NAME_naive.safetensors).
        inputs: the images that an episode draws from, out of three disjoint parts of the data set: "test", which
            policies are judged by; "validation", which agents train on; "train", which the networks were trained on.
        dataset, data_root: see `data.load_split`; the split is that of seed 0.
        num_inputs: inputs of an episode, one per step.
        top_k: the most experts that may serve an input; 1 makes the action a choice of one.
        reward: what the cost of a step is, and minus the reward: "correctness", 1 for a wrong label and 0 for the right
            one, or "cross_entropy", minus the log of the right label's probability [nat].
        transmission: analog or digital, by its `kind` and parameters.
        mean_snr_db, snr_spread_db: mean and standard deviation of the experts' SNRs, normal in dB, drawn anew for
            every input and expert [dB].
        channel: fading on top, by its `kind` and parameters: it multiplies the linear SNRs; None for none.
        csi: what the server knows of the fading.
    """

    networks: str = "digits_analog"
    inputs: Literal["test", "validation", "train"] = "test"
    dataset: DatasetName = "digits"
    data_root: str | None = None
    num_inputs: Annotated[int, Field(ge=1, le=65_536)] = 32
    top_k: Annotated[int, Field(ge=1, le=65_536)] = 1
    reward: Literal["correctness", "cross_entropy"] = "correctness"
    transmission: Transmission = Analog()
    mean_snr_db: Annotated[float, Field(ge=-100, le=100)] = -5.0
    snr_spread_db: Annotated[float, Field(ge=0, le=50)] = 6.0
    channel: ChannelField | None = None
    csi: KnowledgeField = CSIConfig()

    def numbers(self) -> int:
        """See `SystemConfig.numbers`: features, noise and what copies of them take, and the links of 16 experts."""
        return 10_000 if self.channel is None else 10_000 + self.channel.numbers(16, 1) + self.csi.numbers(16)

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if self.channel is None and self.csi != CSIConfig():
            raise ValueError(f"csi = {self.csi!r}: valid without a channel is the default, for nothing is to be known")
        if self.channel is not None and self.channel.between_nodes:
            raise ValueError(f"channel = {self.channel!r}: valid are channels of links from one server")
        return self

    _kind_alone = field_validator("transmission", mode="before")(kind_alone)


# `stale`: the server's knowledge of the fading is one input old, and the fading has lost part of its memory by then.
SCENARIOS = MappingProxyType(
    {
        "analog": GatingSystemConfig(),
        "digital": GatingSystemConfig(networks="digits_digital", transmission=Digital(), mean_snr_db=0.0),
        "coded": GatingSystemConfig(networks="digits_digital", transmission=Digital(code="hamming74"), mean_snr_db=0.0),
        "stale": GatingSystemConfig(
            mean_snr_db=0.0, snr_spread_db=0.0, channel=GaussMarkovConfig(), csi=CSIConfig(delay_rounds=1)
        ),
    }
)


def scenario(name: str) -> GatingSystemConfig:
    """The preset of that name; `.replace(**overrides)` changes fields.

    Raises:
        ValueError: for an unknown name, listing the valid ones.
    """
    return named(SCENARIOS, name)

"""What a training run is: one YAML file in configs/."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import Field, field_validator, model_validator

from dmoe_gym.config import StrictConfig, list_as_tuple
from dmoe_gym.evaluation import FIRST_HELD_OUT_SEED

Count = Annotated[int, Field(ge=1)]


class EvaluationConfig(StrictConfig):
    """Evaluation on frozen held-out episodes.

    Fields:
        episodes: how many, the same for every run and baseline of a group.
        every: time steps between evaluations during training.
        untrained: evaluate before training, too.
        references: the analytic schedulers and bounds to run on them; all by default. An exact optimum under a slot
            takes a quarter of a second per round.
    """

    episodes: Count = 100
    every: Count = 50_000
    untrained: bool = True
    references: tuple[str, ...] | None = None

    _list_as_tuple = field_validator("references", mode="before")(list_as_tuple)


class EquivariantConfig(StrictConfig):
    """The permutation-equivariant network of `agents.networks`, for the pairs of `EQUIVARIANT`.

    Fields:
        kind: its name.
        width: of the hidden layers.
    """

    kind: Literal["equivariant"] = "equivariant"
    width: Count = 32


class ResidualConfig(StrictConfig):
    """A residual scheduler of `agents.residual`, for `DMoE-JESA-v0`.

    Fields:
        kind: its name.
        underneath: the tuned analytic scheduler whose prices the network corrects, by its name in tables.
        parameters: of the scheduler, as tuning found them; a run keeps its own.
        width: of the network's hidden layer; 0 for a linear map.
    """

    kind: Literal["residual"] = "residual"
    underneath: str
    parameters: dict[str, float | int] = Field(default_factory=dict)
    width: Annotated[int, Field(ge=0)] = 8


class PricesConfig(StrictConfig):
    """Scheduling at learned prices of `agents.prices`, for `WDMoE-Joint-v0`.

    Fields:
        kind: its name.
        rounds: pricings per block, of which the fastest is kept.
        polish: improve every pricing's selection by the greedy scheduler's changes.
        width: of the network's hidden layer; 0 for a linear map.
    """

    kind: Literal["prices"] = "prices"
    rounds: Count = 2
    polish: bool = True
    width: Annotated[int, Field(ge=0)] = 8


# where equivariant networks act, and by which algorithms they learn there
EQUIVARIANT: dict[str, tuple[str, ...]] = {
    "DMoE-JESA-Sequential-v0": ("maskable_ppo",),
    "DMoE-JESA-v0": ("ppo",),
    "DMoE-JESA-Price-v0": ("ppo", "sac"),
}
# where imitation is possible, and with which algorithm
IMITATING = (("DMoE-JESA-Sequential-v0", "maskable_ppo"), ("DMoE-JESA-v0", "ppo"))
# by network: where an evolution strategy acts
EVOLVED: dict[type, str] = {ResidualConfig: "DMoE-JESA-v0", PricesConfig: "WDMoE-Joint-v0"}


class ImitationConfig(StrictConfig):
    """Supervised training on a teacher's decisions before reinforcement learning (`agents.imitation`).

    Fields:
        teacher: whose plans are learned: an analytic policy by its name in tables, or "exact", the optimum of the
            observed round, which is slow.
        steps: environment steps, all environments together; they count as the first of `total_timesteps`.
        rollout: steps of each environment between two passes of training.
        epochs: passes over each rollout.
        batch_size: decisions per gradient step.
        learning_rate: of Adam at the start; it falls to a twentieth along a cosine.
        entropy_weight: of the policy's entropy, which keeps alternatives alive for reinforcement learning to compare.
        value_weight: weight of the value's squared error beside the policy's loss.
    """

    teacher: str = "JESA"
    steps: Count
    rollout: Count = 16
    epochs: Count = 1
    batch_size: Count = 512
    learning_rate: Annotated[float, Field(gt=0)] = 0.003
    entropy_weight: Annotated[float, Field(ge=0)] = 0.0
    value_weight: Annotated[float, Field(ge=0)] = 1.0


class TrainingConfig(StrictConfig):
    """One recipe.

    Fields:
        algorithm: which learner.
        env_id, scenario, overrides: as in `gym.make`.
        training_overrides: further overrides of the training environments alone; num_layers: 1 makes every round an
            episode, which says that no decision reaches beyond its round.
        group: folder that runs on the same environment share, so that TensorBoard overlays them; a name, no path, for
            recipes also come from others.
        num_envs: environments in the batch.
        total_timesteps: environment steps, all environments together.
        seeds: one run each; below the held-out seeds.
        policy: Stable-Baselines3's policy name, or "BatchedMultiInputPolicy" (`agents.distributions`), which is faster
            on MultiDiscrete actions.
        network: widths of the hidden layers, "equivariant", or, for `evolution`, a residual scheduler or "prices".
        imitation: a warm start, for the sequential environment and for `DMoE-JESA-v0`.
        relative_to: an analytic scheduler whose cost on the same round is taken off the reward, which has far less
            noise then (`agents.relative`); for the sequential environment.
        hyperparameters: keyword arguments of the algorithm.
        checkpoint_every: time steps between checkpoints.
        evaluation: see there.
    """

    algorithm: Literal["ppo", "maskable_ppo", "sac", "dqn", "evolution"]
    env_id: str
    scenario: str | None = None
    overrides: dict[str, Any] = Field(default_factory=dict)
    training_overrides: dict[str, Any] = Field(default_factory=dict)
    group: Annotated[str, Field(pattern=r"^\w[\w.-]*$")]
    num_envs: Count = 16
    total_timesteps: Count
    seeds: tuple[Annotated[int, Field(ge=0, lt=FIRST_HELD_OUT_SEED)], ...] = (0,)
    policy: str = "MultiInputPolicy"
    network: (
        tuple[Count, ...] | Annotated[EquivariantConfig | ResidualConfig | PricesConfig, Field(discriminator="kind")]
    ) = (256, 256)
    imitation: ImitationConfig | None = None
    relative_to: str | None = None
    hyperparameters: dict[str, Any] = Field(default_factory=dict)
    checkpoint_every: Count = 200_000
    evaluation: EvaluationConfig = EvaluationConfig()

    @field_validator("seeds", "network", mode="before")
    @classmethod
    def _list_as_tuple(cls, value: Any) -> Any:
        """YAML has no tuples; a bare name is the network with its default parameters."""
        if isinstance(value, str):
            return {"kind": value}
        return tuple(value) if isinstance(value, list) else value

    @model_validator(mode="after")
    def _parts_fit(self) -> TrainingConfig:
        if self.relative_to is not None and self.env_id != "DMoE-JESA-Sequential-v0":
            raise ValueError(f"relative_to with env_id = {self.env_id!r}: valid is DMoE-JESA-Sequential-v0")
        if isinstance(self.network, EquivariantConfig) and self.algorithm not in EQUIVARIANT.get(self.env_id, ()):
            valid = "; ".join(f"{' or '.join(names)} in {place}" for place, names in EQUIVARIANT.items())
            raise ValueError(
                f"network = 'equivariant' with algorithm = {self.algorithm!r} and env_id = {self.env_id!r}: "
                f"valid is {valid}"
            )
        evolved, place = self.algorithm == "evolution", EVOLVED.get(type(self.network))
        if evolved != (place is not None) or (evolved and self.env_id != place):
            raise ValueError(
                f"network = {self.network!r} with algorithm = {self.algorithm!r} and env_id = {self.env_id!r}: "
                "a residual network goes with evolution in DMoE-JESA-v0, prices with evolution in WDMoE-Joint-v0, "
                "and nothing else with evolution"
            )
        if self.imitation is not None:
            if (self.env_id, self.algorithm) not in IMITATING:
                valid = "; ".join(f"{algorithm} in {place}" for place, algorithm in IMITATING)
                raise ValueError(
                    f"imitation with algorithm = {self.algorithm!r} and env_id = {self.env_id!r}: valid is {valid}"
                )
            if self.imitation.steps > self.total_timesteps:
                raise ValueError(
                    f"imitation.steps = {self.imitation.steps}: valid are at most total_timesteps = "
                    f"{self.total_timesteps}, which they are part of"
                )
        return self


def load_config(path: Path) -> TrainingConfig:
    """The recipe in a YAML file.

    Raises:
        ValueError: naming the file and what is wrong with it.
        OSError: if it cannot be read.
    """
    try:
        fields = yaml.safe_load(path.read_text())
    except yaml.YAMLError as error:
        raise ValueError(f"{path}: is no YAML ({' '.join(str(error).split())})") from None
    except UnicodeDecodeError as error:
        raise ValueError(f"{path}: is no text ({error})") from None
    if not isinstance(fields, dict):
        raise ValueError(f"{path}: holds {type(fields).__name__}, valid is a mapping of fields")
    try:
        return TrainingConfig(**fields)
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from None


def dump_config(config: TrainingConfig) -> str:
    """The recipe as YAML."""
    return yaml.safe_dump(config.model_dump(mode="json"), sort_keys=False)

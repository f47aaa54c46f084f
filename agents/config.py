"""What a training run is: one YAML file in configs/; and the names of algorithms and networks that it may use."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field, SerializeAsAny, field_validator, model_validator
from sb3_contrib import ARS, QRDQN, TQC, TRPO, CrossQ, MaskablePPO, RecurrentPPO
from stable_baselines3 import A2C, DDPG, DQN, PPO, SAC, TD3
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.policies import BasePolicy

from dmoe_gym.config import StrictConfig, kind_alone
from dmoe_gym.evaluation.run import FIRST_VALIDATION_SEED
from dmoe_gym.facades.stable_baselines import BatchedVecEnv
from dmoe_gym.io.yaml_file import dump_yaml, read_yaml
from dmoe_gym.registration import system_of


class NetworkKind(StrictConfig):
    """Base class of networks that recipes name; a subclass adds its own fields.

    Attributes:
        kind: the name that it is registered under (`agents.register`).
    """

    kind: str

    def check(self, recipe: TrainingConfig) -> None:
        """Refuse a recipe that this network cannot be part of; by default none is refused.

        Raises:
            ValueError: naming field, value and what is valid.
        """

    def policy(self, recipe: TrainingConfig, env: BatchedVecEnv) -> tuple[type[BasePolicy] | str, Mapping[str, Any]]:
        """Stable-Baselines3's policy for the recipe's algorithm, a class or a name, and its keyword arguments.

        Args:
            recipe: what is trained.
            env: the environments without wrappers.

        Raises:
            ValueError: if the network cannot act there, saying why.
        """
        raise NotImplementedError


ALGORITHMS: dict[str, type[BaseAlgorithm]] = {
    "ppo": PPO,
    "a2c": A2C,
    "sac": SAC,
    "td3": TD3,
    "ddpg": DDPG,
    "dqn": DQN,
    "tqc": TQC,
    "crossq": CrossQ,
    "trpo": TRPO,
    "ars": ARS,
    "recurrent_ppo": RecurrentPPO,
    "maskable_ppo": MaskablePPO,
    "qrdqn": QRDQN,
}
NETWORKS: dict[str, type[NetworkKind]] = {}
# Modules that `import_modules` has imported, for processes that are started from this one.
IMPORTED: list[str] = []


def register(name: str, kind: type[BaseAlgorithm] | type[NetworkKind]) -> None:
    """Let recipes name an own algorithm (`algorithm: name`) or network (`network: name`).

    Args:
        name: what recipes call it.
        kind: a subclass of Stable-Baselines3's `BaseAlgorithm`, or of `NetworkKind`.

    Raises:
        ValueError: for a name that is taken by another one, or anything else than such a class.
    """
    if isinstance(kind, type) and issubclass(kind, BaseAlgorithm):
        known: dict[str, type] = ALGORITHMS  # type: ignore[assignment]
    elif isinstance(kind, type) and issubclass(kind, NetworkKind):
        known = NETWORKS  # type: ignore[assignment]
    else:
        raise ValueError(f"register({name!r}, {kind!r}): valid are subclasses of BaseAlgorithm and NetworkKind")
    if known.get(name, kind) is not kind:
        raise ValueError(f"register({name!r}): is taken by {known[name].__name__}")
    known[name] = kind


def import_modules(names: list[str]) -> None:
    """Import a user's modules, which call `register`.

    Raises:
        ValueError: for a module that there is not.
    """
    for name in names:
        try:
            importlib.import_module(name)
        except ModuleNotFoundError as error:
            raise ValueError(f"--import {name}: {error}") from None
        if name not in IMPORTED:
            IMPORTED.append(name)


# Hyperparameters that may fall linearly to 0 over the training: "lin_0.001", as rl-baselines3-zoo writes it.
SCHEDULED = ("learning_rate", "clip_range")


def scheduled(key: str, value: Any) -> float | None:
    """Where a hyperparameter begins that falls linearly to 0; None for a constant one."""
    if key not in SCHEDULED or not isinstance(value, str) or not value.startswith("lin_"):
        return None
    try:
        return float(value.removeprefix("lin_"))
    except ValueError:
        return None


Count = Annotated[int, Field(ge=1, le=10**12)]
Name = Annotated[str, Field(max_length=200)]
Small = Annotated[int, Field(ge=1, le=100_000)]
Option = Annotated[int, Field(ge=1, le=8192)] | float | str | bool | None
Width = Annotated[int, Field(ge=1, le=65_536)]


class EvaluationConfig(StrictConfig):
    """Evaluation on frozen held-out episodes.

    Attributes:
        episodes: how many, the same for every run and baseline of a group.
        every: time steps between evaluations during training.
        untrained: evaluate before training, too.
        references: the analytic schedulers and bounds to run on them; all by default. An exact optimum under a slot
            takes a quarter of a second per round.
    """

    episodes: Small = 100
    every: Count = 50_000
    untrained: bool = True
    references: tuple[Name, ...] | None = None


class NormalizationConfig(StrictConfig):
    """Stable-Baselines3's `VecNormalize`: running means and variances, kept with the weights.

    Attributes:
        observations, rewards: what is normalized; rewards by the running variance of discounted returns.
        clip_observations, clip_rewards: largest absolute values after it.
    """

    observations: bool = True
    rewards: bool = True
    clip_observations: Annotated[float, Field(gt=0)] = 10.0
    clip_rewards: Annotated[float, Field(gt=0)] = 10.0


class ImitationConfig(StrictConfig):
    """Supervised training on a teacher's decisions before reinforcement learning (`agents.imitation`).

    Attributes:
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

    teacher: Name = "JESA"
    steps: Count
    rollout: Small = 16
    epochs: Small = 1
    batch_size: Count = 512
    learning_rate: Annotated[float, Field(gt=0, le=1e6)] = 0.003
    entropy_weight: Annotated[float, Field(ge=0)] = 0.0
    value_weight: Annotated[float, Field(ge=0)] = 1.0


class TrainingConfig(StrictConfig):
    """One recipe.

    Attributes:
        algorithm: which learner, by its name in `agents.config`.
        env_id, scenario, overrides: as in `gym.make`.
        training_overrides: further overrides of the training environments alone; num_layers: 1 makes every round an
            episode, which says that no decision reaches beyond its round.
        group: folder that runs on the same environment share, so that TensorBoard overlays them; a name, no path, for
            recipes also come from others.
        num_envs: environments in the batch.
        total_timesteps: environment steps, all environments together.
        seeds: one run each; below the validation and held-out seeds.
        history: observations that are stacked, the newest last, before an episode's first ones zeros; flat
            observations only.
        normalization: of observations and rewards; `true` for its defaults.
        policy: Stable-Baselines3's policy name, by default "MlpPolicy" on flat and "MultiInputPolicy" on dictionary
            observations, or the algorithm's counterpart with an LSTM; or "BatchedMultiInputPolicy"
            (`agents.networks.heads`), which is faster on MultiDiscrete actions.
        policy_options: keyword arguments of the policy, as lstm_hidden_size; activation_fn by its name.
        network: widths of the hidden layers, or a kind of network by its name ("equivariant").
        imitation: a warm start, for the sequential environment and for `DMoE-JESA-v0`.
        hyperparameters: keyword arguments of the algorithm; action_noise is the standard deviation of Gaussian noise, a
            learning_rate or clip_range of "lin_0.001" falls linearly from there to 0.
        checkpoint_every: time steps between checkpoints.
        evaluation: see there.
    """

    algorithm: Name
    env_id: Name
    scenario: Name | None = None
    overrides: dict[str, Any] = Field(default_factory=dict)
    training_overrides: dict[str, Any] = Field(default_factory=dict)
    group: Annotated[str, Field(pattern=r"^\w[\w.-]*$", max_length=100)]
    num_envs: Annotated[int, Field(ge=1, le=65_536)] = 16
    total_timesteps: Count
    seeds: Annotated[
        tuple[Annotated[int, Field(ge=0, lt=FIRST_VALIDATION_SEED)], ...], Field(min_length=1, max_length=10_000)
    ] = (0,)
    history: Annotated[int, Field(ge=1, le=64)] = 1
    normalization: NormalizationConfig | None = None
    policy: Name | None = None
    policy_options: dict[str, Option] = Field(default_factory=dict)
    network: Annotated[tuple[Width, ...], Field(max_length=32)] | SerializeAsAny[NetworkKind] = (256, 256)
    imitation: ImitationConfig | None = None
    hyperparameters: dict[str, Any] = Field(default_factory=dict)
    checkpoint_every: Count = 200_000
    evaluation: EvaluationConfig = EvaluationConfig()

    @field_validator("algorithm")
    @classmethod
    def _known(cls, value: str) -> str:
        if value not in ALGORITHMS:
            raise ValueError(f"algorithm = {value[:60]!r}: valid are {', '.join(ALGORITHMS)}")
        return value

    @field_validator("normalization", mode="before")
    @classmethod
    def _switch(cls, value: Any) -> Any:
        return {True: {}, False: None}[value] if isinstance(value, bool) else value

    @field_validator("network", mode="before")
    @classmethod
    def _kind_of_network(cls, value: Any) -> Any:
        """A bare name is the network with its default parameters."""
        fields = kind_alone(value)
        if not isinstance(fields, dict):
            return value
        kind = fields.get("kind")
        if not isinstance(kind, str) or kind not in NETWORKS:
            valid = "widths of layers, or a kind among"
            raise ValueError(f"network = {str(value)[:60]!r}: valid are {valid} {', '.join(NETWORKS)}")
        return NETWORKS[kind](**fields)

    @model_validator(mode="after")
    def _parts_fit(self) -> TrainingConfig:
        if len(set(self.seeds)) < len(self.seeds):
            raise ValueError(f"seeds = {list(self.seeds)}: valid are different ones")
        if isinstance(self.network, NetworkKind):
            self.network.check(self)
        if self.imitation is not None:
            imitating = system_of(self.env_id).imitation
            if self.algorithm not in imitating.get(self.env_id, ()):
                valid = "; ".join(f"{' or '.join(names)} in {place}" for place, names in imitating.items())
                raise ValueError(
                    f"imitation with algorithm = {self.algorithm!r} and env_id = {self.env_id!r}: "
                    f"valid is {valid or 'none'}"
                )
            if self.normalization is not None or self.history > 1:
                raise ValueError("imitation with normalization or history: valid without, teachers read observations")
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
    fields = read_yaml(path)
    try:
        return TrainingConfig(**fields)
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from None


def dump_config(config: TrainingConfig) -> str:
    """The recipe as YAML."""
    return dump_yaml(config.model_dump(mode="json"))


ROOT = Path(__file__).resolve().parents[1]
RECIPES, WEIGHTS = ROOT / "configs", ROOT / "agents" / "weights"


def recipe_file(named: Path) -> Path:
    """A recipe of that path, or one that ships, as demo.

    Raises:
        ValueError: naming what ships, if there is neither.
    """
    return _found(named, RECIPES, ".yaml")


def run_folder(named: Path) -> Path:
    """A run's folder, or the weights that ship under that name.

    Raises:
        ValueError: naming what ships, if there is neither.
    """
    return _found(named, WEIGHTS, "")


def _found(named: Path, home: Path, suffix: str) -> Path:
    for place in (named, ROOT / named, home / f"{named}{suffix}"):
        if place.exists():
            return place
    shipped = sorted(path.name.removesuffix(suffix) for path in home.glob(f"[!.]*{suffix}"))
    raise ValueError(f"{named}: is not there, and does not ship; valid are paths, and {', '.join(shipped)}")

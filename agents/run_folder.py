"""A run's folder: its status, its learner's tensors, and everything that tells how its numbers came about."""

from __future__ import annotations

import io
import json
import time
from collections import deque
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from filelock import FileLock, Timeout
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.save_util import recursive_getattr
from stable_baselines3.common.vec_env import VecNormalize

from agents.config import TrainingConfig, dump_config, load_config
from dmoe_gym.evaluation import Row, read_rows
from dmoe_gym.io.command_line import told_command
from dmoe_gym.io.files import write_json, write_whole
from dmoe_gym.io.provenance import provenance

STATUS = "status.json"
State = Literal["training", "finished", "interrupted", "failed"]
# Seconds between two updates of the file.
INTERVAL = 1.0


@dataclass(frozen=True)
class Status:
    """A run's state.

    Attributes:
        state: what it is.
        steps, total_steps: environment steps, all environments together.
        wall_seconds, cpu_seconds: of all training processes so far, evaluations included.
        deaths: processes that were killed while training it.
        error: why it failed, one line.
    """

    state: State
    steps: int = 0
    total_steps: int = 0
    wall_seconds: float = 0.0
    cpu_seconds: float = 0.0
    deaths: int = 0
    error: str = ""


def read_status(folder: Path) -> Status | None:
    """The status in a run folder; None where there is none or it cannot be read, as nothing depends on it."""
    try:
        content = json.loads((folder / STATUS).read_text())
        return Status(**{field.name: content[field.name] for field in fields(Status)})
    except (OSError, ValueError, KeyError, TypeError):
        return None


def write_status(folder: Path, status: Status) -> None:
    """Write the status, whole or not at all."""
    write_json(folder / STATUS, asdict(status))


class StatusKeeper:
    """Keeps a run's status up to date while this process trains it."""

    def __init__(self, folder: Path, total_steps: int) -> None:
        self._folder = folder
        self._before = replace(read_status(folder) or Status("training"), total_steps=total_steps)
        self._began = time.perf_counter(), time.process_time()
        self._written = -INTERVAL

    def update(self, steps: int, state: State = "training", error: str = "") -> None:
        """Write the status, at most once a second while the state is "training"."""
        now = time.perf_counter()
        if state == "training" and now - self._written < INTERVAL:
            return
        self._written = now
        status = replace(
            self._before,
            state=state,
            steps=steps,
            wall_seconds=round(self._before.wall_seconds + now - self._began[0], 1),
            cpu_seconds=round(self._before.cpu_seconds + time.process_time() - self._began[1], 1),
            error=error,
        )
        write_status(self._folder, status)


# Counters of learners: gradient steps, by which TD3 delays its policy, and episodes, by which logs are written.
COUNTERS = ("_n_updates", "_episode_num")
# Figures by name, with the kinds of logs that they are left out of.
Pending = dict[str, tuple[float, tuple[str, ...]]]
# Names under which running statistics stand beside a policy's tensors.
STATISTICS = "normalization"


def normalization_tensors(model: BaseAlgorithm) -> dict[str, torch.Tensor]:
    """`normalization.PART.mean | var | count` of the learner's `VecNormalize`, float64; nothing without one."""
    normalizer = model.get_vec_normalize_env()
    if normalizer is None:
        return {}
    return {
        f"{STATISTICS}.{part}.{name}": torch.as_tensor(getattr(running, name), dtype=torch.float64).clone()
        for part, running in _statistics(normalizer).items()
        for name in ("mean", "var", "count")
    }


def load_normalization(model: BaseAlgorithm, tensors: dict[str, torch.Tensor]) -> None:
    """Put statistics of `normalization_tensors` into the learner's `VecNormalize`.

    Raises:
        ValueError: if names or shapes are others than its own, or a variance or count is negative.
    """
    own = normalization_tensors(model)
    odd = sorted(set(own) ^ set(tensors))
    if odd:
        raise ValueError(f"{odd[0]} is in only one of statistics and recipe")
    normalizer = model.get_vec_normalize_env()
    for part, running in _statistics(normalizer).items() if normalizer is not None else ():
        for name in ("mean", "var", "count"):
            key = f"{STATISTICS}.{part}.{name}"
            value = torch.as_tensor(tensors[key], dtype=torch.float64)
            wrong = ~torch.isfinite(value) | ((value < 0) if name != "mean" else torch.tensor(False))
            if value.shape != own[key].shape or wrong.any():
                raise ValueError(f"{key}: valid are finite numbers of shape {tuple(own[key].shape)}")
            setattr(running, name, float(value) if name == "count" else value.numpy().copy())


def _statistics(normalizer: VecNormalize) -> dict[str, Any]:
    """Its running means and variances by name."""
    parts: dict[str, Any] = {"reward": normalizer.ret_rms}
    if normalizer.norm_obs:
        observed = normalizer.obs_rms
        entries = observed if isinstance(observed, dict) else {"flat": observed}
        parts |= {f"observation.{key}": running for key, running in entries.items()}
    return parts


def save_checkpoint(model: BaseAlgorithm, path: Path, steps: int | None = None) -> None:
    """Parameters, optimizer states, running statistics, counters and unwritten logs, whole or not at all.

    Args:
        steps: environment steps that the learner has learned from, if not all that it has counted.
    """
    variables = {name: recursive_getattr(model, name).detach() for name in _variables(model)}
    content = {
        "num_timesteps": int(model.num_timesteps if steps is None else steps),
        "parameters": model.get_parameters(),
        "variables": variables,
        "normalization": normalization_tensors(model),
        "counters": {name: int(getattr(model, name, 0)) for name in COUNTERS},
        "episodes": [{key: float(value) for key, value in each.items()} for each in model.ep_info_buffer or ()],
        "pending": _pending(model),
    }
    buffer = io.BytesIO()
    torch.save(content, buffer)
    write_whole(path, buffer.getvalue())


def _variables(model: BaseAlgorithm) -> list[str]:
    """Tensors that are no module's, as the logarithm of SAC's temperature."""
    return [name for name in model._get_torch_save_params()[1] if recursive_getattr(model, name, None) is not None]


def load_checkpoint(model: BaseAlgorithm, path: Path) -> Pending:
    """Continue a learner from a checkpoint; only tensors and numbers are read, never code.

    Returns:
        figures that were recorded and are to stand in the next row of logs.

    Raises:
        ValueError: naming the file, if it is damaged or of another learner.
    """
    content = read_tensors(path)
    try:
        model.set_parameters(content["parameters"], exact_match=True)
        with torch.no_grad():
            for name in _variables(model):
                recursive_getattr(model, name).copy_(content["variables"][name])
        load_normalization(model, content["normalization"])
        for name in COUNTERS:
            setattr(model, name, int(content["counters"][name]))
        model.num_timesteps = int(content["num_timesteps"])
        # the learner would make both anew if one were missing; episodes here have no success
        model.ep_info_buffer = deque(content["episodes"], maxlen=model._stats_window_size)
        model.ep_success_buffer = deque(maxlen=model._stats_window_size)
        pending = {str(name): (float(value), tuple(left_out)) for name, (value, left_out) in content["pending"].items()}
    except (KeyError, TypeError, ValueError, RuntimeError, AttributeError) as error:
        message = " ".join(str(error).split())[:200]
        raise ValueError(f"{path}: does not fit the recipe beside it ({message})") from None
    if hasattr(model, "weights"):  # sb3-contrib's ARS moves a copy of its policy's parameters
        model.weights = torch.nn.utils.parameters_to_vector(model.policy.parameters()).detach()
    return pending


def _pending(model: BaseAlgorithm) -> Pending:
    """What is recorded and not written yet: the last update's figures, which stand in the next row of logs."""
    logger = getattr(model, "_logger", None)
    if logger is None:
        return {}
    return {
        name: (float(value), tuple(logger.name_to_excluded.get(name) or ()))
        for name, value in logger.name_to_value.items()
        if isinstance(value, int | float | np.number)
    }


def checkpoint_steps(path: Path) -> int:
    """Environment steps that a checkpoint has behind it; 0 where there is none.

    Raises:
        ValueError: naming the file, if it is damaged.
    """
    if not path.exists():
        return 0
    content = read_tensors(path)
    if not isinstance(content, dict) or not isinstance(content.get("num_timesteps"), int):
        raise ValueError(f"{path}: is no readable checkpoint (num_timesteps is missing)")
    return content["num_timesteps"]


def read_tensors(path: Path) -> Any:
    """A file of `torch.save`, restricted to tensors and plain containers.

    Raises:
        ValueError: naming the file, if it holds anything else or is damaged.
        OSError: if it cannot be read.
    """
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except OSError:
        raise
    except Exception as error:  # torch raises many kinds for a damaged file
        message = " ".join(str(error).split())[:120]
        raise ValueError(f"{path}: is no readable checkpoint ({message})") from None


CONFIG, CHECKPOINT, EVALUATIONS, PROVENANCE = "config.yaml", "checkpoint.pt", "evaluations.csv", "provenance.json"
REPLAY, TRACEBACK, LOCK = "replay.safetensors", "traceback.txt", ".lock"


class RunFolder:
    """`root/group/name-seed`: config.yaml, provenance.json, status.json, checkpoint.pt, evaluations.csv, events.

    An unfinished off-policy run also has its replay buffer, a failed one its traceback.

    Attributes:
        config_file: the recipe as it was run; checkpoint_file: the newest tensors.
        replay_file: the replay buffer; evaluations_file: one row per evaluation episode.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.config_file, self.checkpoint_file = path / CONFIG, path / CHECKPOINT
        self.replay_file, self.evaluations_file = path / REPLAY, path / EVALUATIONS

    @classmethod
    def of(cls, root: Path, config: TrainingConfig, name: str, seed: int) -> RunFolder:
        """The folder of one seed of a recipe called `name`."""
        return cls(root / config.group / f"{name}-seed{seed}")

    def prepare(self, config: TrainingConfig, seed: int, *, resume: bool) -> None:
        """Make the folder, or check that the run in it can be continued.

        A run that failed makes room for its corrected self: what it left is moved to `.failed-NUMBER` beside it if it
        got as far as a checkpoint, and forgotten if not.

        Raises:
            ValueError: if a run is there already and `resume` is False, or it was of another recipe.
        """
        if self.config_file.exists() and self._failed_otherwise(config):
            self._make_room()
        if self.config_file.exists():
            if not resume:
                raise ValueError(f"{self.path}: holds a run already; --resume continues it, --runs names another root")
            if load_config(self.config_file) != config:
                raise ValueError(f"{self.config_file}: differs from the recipe given; valid is the same one")
            return
        write_json(self.path / PROVENANCE, {"seed": seed, **provenance(told_command())})
        write_whole(self.config_file, dump_config(config))

    def _failed_otherwise(self, config: TrainingConfig) -> bool:
        """Did a run fail here before its first checkpoint, or with another recipe?"""
        status = read_status(self.path)
        if status is None or status.state != "failed":
            return False
        return not self.checkpoint_file.exists() or self._own_config() != config

    def _own_config(self) -> TrainingConfig | None:
        try:
            return load_config(self.config_file)
        except ValueError:
            return None

    def _make_room(self) -> None:
        """Move or remove everything but the lock and a sweep's log."""
        files = [file for file in self.path.iterdir() if file.name not in (LOCK, "train.log")]
        number = 1
        while (aside := self.path.with_name(f".{self.path.name}.failed-{number}")).exists():
            number += 1
        if self.checkpoint_file.exists():
            aside.mkdir()
            for file in files:
                file.rename(aside / file.name)
            return
        for file in files:
            if file.is_file():
                file.unlink()

    def evaluations(self, config: TrainingConfig) -> list[Row]:
        """Rows of the evaluations so far; none if there were none.

        Raises:
            ValueError: naming the file, if it is damaged, empty or of another run than this one of that recipe.
        """
        file = self.evaluations_file
        if not file.exists():
            return []
        rows = read_rows(file)
        if not rows:
            raise ValueError(f"{file}: holds no rows, valid are those of an evaluation at least")
        own = {"policy": self.path.resolve().name, "env_id": config.env_id, "scenario": config.scenario or "default"}
        for row in rows:
            for field, value in own.items():
                if row.get(field) != value:
                    raise ValueError(f"{file}: {field} = {row.get(field)!r:.60}, valid is this run's {value!r}")
            if not isinstance(row.get("step"), int):
                raise ValueError(f"{file}: step = {row.get('step')!r:.60}, valid are whole numbers")
        return rows

    def is_finished(self, config: TrainingConfig) -> bool:
        """Has the run all steps of its recipe behind it, and is its last policy evaluated?

        Raises:
            ValueError: naming the file, if one is damaged.
        """
        steps = checkpoint_steps(self.checkpoint_file)
        return steps >= config.total_timesteps and any(row["step"] == steps for row in self.evaluations(config))

    def locked(self) -> AbstractContextManager[None]:
        """Keep every other process from training this run: see `alone`."""
        return alone(self.path, "training this run")


@contextmanager
def alone(folder: Path, doing: str) -> Iterator[None]:
    """Keep every other process from what is done in a folder; the lock ends with the process at the latest.

    Raises:
        ValueError: if another process does it.
    """
    folder.mkdir(parents=True, exist_ok=True)
    lock = FileLock(folder / LOCK)
    try:
        lock.acquire(timeout=0)
    except Timeout:
        raise ValueError(f"{folder}: another process is {doing}") from None
    try:
        yield
    finally:
        lock.release()

"""What is kept of a learner on disk: tensors and numbers, and nothing that could run code."""

from __future__ import annotations

import io
from collections import deque
from pathlib import Path
from typing import Any

import numpy as np
import torch
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.save_util import recursive_getattr
from stable_baselines3.common.vec_env import VecNormalize

from dmoe_gym.io.files import write_whole

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

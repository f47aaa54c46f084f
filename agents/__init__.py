"""Training, evaluation and export of schedulers learned with Stable-Baselines3; `register` adds own learners."""

from agents import networks  # noqa: F401  registers the networks of this project
from agents.config import NetworkKind, register

__all__ = ["NetworkKind", "register"]

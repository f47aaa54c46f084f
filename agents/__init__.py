"""Training, evaluation and export of schedulers learned with Stable-Baselines3; `register` adds own learners."""

from agents.networks import NetworkKind
from agents.registry import register

__all__ = ["NetworkKind", "register"]

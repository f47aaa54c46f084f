"""Optuna studies of a recipe's hyperparameters."""

from agents.study.objective import Objective
from agents.study.space import Space
from agents.study.study import Budget, run_study

__all__ = ["Budget", "Objective", "Space", "run_study"]

"""Residual schedulers: tuned analytic ones that a small network corrects."""

from __future__ import annotations

from collections.abc import Mapping

from agents.residual.base import Residual, Surveyed
from agents.residual.battery import BatteryResidual
from agents.residual.budget import BudgetResidual
from agents.residual.detours import ExpectedDetours, ValuedDetours
from agents.residual.learner import ResidualEvolution
from agents.residual.one_shot import OneShotResidual
from agents.residual.policy import ResidualPolicy
from dmoe_gym.dmoe.config import DMoEConfig

# by the name of the analytic scheduler underneath
RESIDUALS: dict[str, type[Residual]] = {
    kind.underneath: kind for kind in (BatteryResidual, BudgetResidual, ExpectedDetours, ValuedDetours, OneShotResidual)
}


def build_residual(underneath: str, config: DMoEConfig, parameters: Mapping[str, float]) -> Residual:
    """The residual scheduler of that name.

    Raises:
        ValueError: for an unknown name or parameter, or a configuration that it is not for.
    """
    if underneath not in RESIDUALS:
        raise ValueError(f"network.underneath = {underneath!r}: valid are {', '.join(RESIDUALS)}")
    try:
        return RESIDUALS[underneath](config, **parameters)  # type: ignore[arg-type]
    except TypeError as error:
        raise ValueError(f"network.parameters = {dict(parameters)}: {error}") from None


__all__ = [
    "RESIDUALS",
    "OneShotResidual",
    "Residual",
    "ResidualEvolution",
    "ResidualPolicy",
    "Surveyed",
    "build_residual",
]

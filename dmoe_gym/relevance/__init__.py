"""Sources of gate scores: NumPy only, they know nothing of schedulers or of Gymnasium."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from dmoe_gym.relevance.dirichlet import DirichletConfig
from dmoe_gym.relevance.process import RelevanceProcess

# a discriminated union over `kind` as soon as there is a second source
RelevanceConfig = Annotated[DirichletConfig, Field()]

__all__ = ["DirichletConfig", "RelevanceConfig", "RelevanceProcess"]

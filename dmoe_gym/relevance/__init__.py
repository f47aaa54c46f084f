"""Sources of gate scores: NumPy only, they know nothing of schedulers or of Gymnasium.

A configuration (`RelevanceConfig`, told apart by `kind`) builds a `RelevanceProcess`; `trace_file` is the format of
recorded gate scores.
"""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from dmoe_gym.config import kind_alone
from dmoe_gym.relevance.dirichlet import DirichletConfig
from dmoe_gym.relevance.process import RelevanceProcess, RelevanceSource, Sizes
from dmoe_gym.relevance.trace import TraceConfig, load_trace
from dmoe_gym.relevance.trace_file import Trace, read_trace, write_trace

RelevanceConfig = Annotated[DirichletConfig | TraceConfig, Field(discriminator="kind")]

__all__ = [
    "DirichletConfig",
    "RelevanceConfig",
    "RelevanceProcess",
    "RelevanceSource",
    "Sizes",
    "Trace",
    "TraceConfig",
    "load_trace",
    "named_source",
    "read_trace",
    "write_trace",
]


def named_source(value: object) -> object:
    """Read relevance="trace:FILE" as that file's scores, and a bare name as the kind with its default parameters."""
    if isinstance(value, str) and value.startswith("trace:"):
        return {"kind": "trace", "file": value.removeprefix("trace:")}
    return kind_alone(value)

"""Sources of gate scores: NumPy only, they know nothing of schedulers or of Gymnasium.

A configuration (`RelevanceConfig`) builds a `RelevanceProcess`; `trace_file` is the format of recorded gate scores. The
package's own are looked up by their `kind`; an own one is a subclass, of which an instance goes in
(`docs/guides/extending.md`).
"""

from __future__ import annotations

from typing import Annotated

from pydantic import BeforeValidator, SerializeAsAny

from dmoe_gym.config import read_as
from dmoe_gym.relevance.process import DirichletConfig, RelevanceConfig, RelevanceProcess, Sizes
from dmoe_gym.relevance.trace import Trace, TraceConfig, load_trace, named_trace, read_trace, write_trace

# the field of a system's configuration; "trace:FILE" is that file's scores
RelevanceField = Annotated[SerializeAsAny[RelevanceConfig], read_as(RelevanceConfig), BeforeValidator(named_trace)]

__all__ = [
    "DirichletConfig",
    "RelevanceConfig",
    "RelevanceField",
    "RelevanceProcess",
    "Sizes",
    "Trace",
    "TraceConfig",
    "load_trace",
    "read_trace",
    "write_trace",
]

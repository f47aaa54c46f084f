"""A trace in memory and in a file."""

from __future__ import annotations

import pytest
from traces import make_trace

from dmoe_gym.relevance import Trace, write_trace


@pytest.fixture
def trace() -> Trace:
    return make_trace()


@pytest.fixture
def trace_file(tmp_path, trace) -> str:
    return str(write_trace(trace, tmp_path / "some.npz"))

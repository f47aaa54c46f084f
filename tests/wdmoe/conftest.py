"""Compiling a kernel takes a second at its first call: no deadline for a single example."""

from __future__ import annotations

from hypothesis import settings

settings.register_profile("compiled", deadline=None)
settings.load_profile("compiled")

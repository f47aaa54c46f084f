"""What every test shares."""

from __future__ import annotations

from hypothesis import settings

# Compiling takes longer than Hypothesis's deadline for one example. The same examples in every run by default;
# `--hypothesis-profile=explore` looks for new ones.
settings.register_profile("repeatable", deadline=None, derandomize=True)
settings.register_profile("explore", deadline=None, max_examples=1000, print_blob=True)
settings.load_profile("repeatable")

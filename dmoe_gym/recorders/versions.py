"""What a recording says of the software that made it."""

from __future__ import annotations

from importlib.metadata import version

import dmoe_gym


def versions(*packages: str) -> str:
    """This library's version and those of installed packages, as "dmoe_gym 0.1.0, numpy 2.4.6"."""
    own = f"dmoe_gym {dmoe_gym.__version__}"  # runs from a checkout too, where it is not installed
    return ", ".join([own, *(f"{package} {version(package)}" for package in packages)])

"""Names that recipes may use: algorithms of Stable-Baselines3 and sb3-contrib, kinds of networks, and a user's own."""

from __future__ import annotations

import importlib

from sb3_contrib import ARS, QRDQN, TQC, TRPO, CrossQ, MaskablePPO, RecurrentPPO
from stable_baselines3 import A2C, DDPG, DQN, PPO, SAC, TD3
from stable_baselines3.common.base_class import BaseAlgorithm

from agents.networks import EquivariantNetworks, NetworkKind, NodeNetworks

ALGORITHMS: dict[str, type[BaseAlgorithm]] = {
    "ppo": PPO,
    "a2c": A2C,
    "sac": SAC,
    "td3": TD3,
    "ddpg": DDPG,
    "dqn": DQN,
    "tqc": TQC,
    "crossq": CrossQ,
    "trpo": TRPO,
    "ars": ARS,
    "recurrent_ppo": RecurrentPPO,
    "maskable_ppo": MaskablePPO,
    "qrdqn": QRDQN,
}
NETWORKS: dict[str, type[NetworkKind]] = {"equivariant": EquivariantNetworks, "nodes": NodeNetworks}
# Modules that `import_modules` has imported, for processes that are started from this one.
IMPORTED: list[str] = []


def register(name: str, kind: type[BaseAlgorithm] | type[NetworkKind]) -> None:
    """Let recipes name an own algorithm (`algorithm: name`) or network (`network: name`).

    Args:
        name: what recipes call it.
        kind: a subclass of Stable-Baselines3's `BaseAlgorithm`, or of `agents.networks.NetworkKind`.

    Raises:
        ValueError: for a name that is taken by another one, or anything else than such a class.
    """
    if isinstance(kind, type) and issubclass(kind, BaseAlgorithm):
        known: dict[str, type] = ALGORITHMS  # type: ignore[assignment]
    elif isinstance(kind, type) and issubclass(kind, NetworkKind):
        known = NETWORKS  # type: ignore[assignment]
    else:
        raise ValueError(f"register({name!r}, {kind!r}): valid are subclasses of BaseAlgorithm and NetworkKind")
    if known.get(name, kind) is not kind:
        raise ValueError(f"register({name!r}): is taken by {known[name].__name__}")
    known[name] = kind


def import_modules(names: list[str]) -> None:
    """Import a user's modules, which call `register`.

    Raises:
        ValueError: for a module that there is not.
    """
    for name in names:
        try:
            importlib.import_module(name)
        except ModuleNotFoundError as error:
            raise ValueError(f"--import {name}: {error}") from None
        if name not in IMPORTED:
            IMPORTED.append(name)

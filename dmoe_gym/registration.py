"""The environments by id: each has a core, which runs it, and a system's record, which knows everything else of it."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from typing import TYPE_CHECKING, Any, NamedTuple

import gymnasium as gym

if TYPE_CHECKING:  # `import dmoe_gym` shall not wait for what nobody has asked for yet
    from dmoe_gym.core import BatchedCore
    from dmoe_gym.system import LineUp, System


class Environment(NamedTuple):
    """What an id stands for, each as an object or as "module:name", which is imported when it is asked for.

    Fields:
        core: a `BatchedCore` class, made from a number of environments and a configuration.
        system: a `System`.
        masked: does the core have action masks?
    """

    core: str | type[BatchedCore]
    system: str | System
    masked: bool = False


ENVIRONMENTS: dict[str, Environment] = {}


def register(env_id: str, core: str | type[BatchedCore], system: str | System, *, masked: bool = False) -> None:
    """Make an environment known to Gymnasium and to every command of the suite.

    Args:
        env_id: as in `gym.make(env_id)`.
        core, system, masked: see `Environment`.
    """
    ENVIRONMENTS[env_id] = Environment(core, system, masked)
    gym.register(
        id=env_id,
        entry_point=f"dmoe_gym.facades.single:{'Masked' if masked else ''}SingleEnv",
        vector_entry_point=f"dmoe_gym.facades.vector:{'Masked' if masked else 'Batched'}VectorEnv",
        kwargs={"env_id": env_id},
    )


def register_environments() -> None:
    """Register the suite's own."""
    dmoe, inference = "dmoe_gym.dmoe.system:DMOE", "dmoe_gym.dmoe.system:INFERENCE"
    register("DMoE-DES-v0", "dmoe_gym.dmoe.env.des:DESCore", "dmoe_gym.dmoe.system:DES")
    register("DMoE-JESA-v0", "dmoe_gym.dmoe.env.joint:JointCore", dmoe)
    register("DMoE-JESA-Sequential-v0", "dmoe_gym.dmoe.env.sequential:SequentialCore", dmoe, masked=True)
    register("DMoE-JESA-Price-v0", "dmoe_gym.dmoe.env.price:PriceCore", dmoe)
    register("DMoE-Inference-v0", "dmoe_gym.dmoe.env.inference:InferenceCore", inference)
    register("DMoE-Inference-Joint-v0", "dmoe_gym.dmoe.env.inference:InferenceJointCore", inference)
    register("WDMoE-v0", "dmoe_gym.wdmoe.env.discount:DiscountCore", "dmoe_gym.wdmoe.system:WDMOE")
    register("WDMoE-Joint-v0", "dmoe_gym.wdmoe.env.joint:JointCore", "dmoe_gym.wdmoe.system:WDMOE")
    register("ChannelAwareGating-v0", "dmoe_gym.gating.env.core:GatingCore", "dmoe_gym.gating.system:GATING")


def create_core(env_id: str, num_envs: int, scenario: str | None, overrides: Mapping[str, Any]) -> BatchedCore:
    """A batch of environments.

    Raises:
        ValueError: for an unknown id, scenario or override, or an invalid value.
    """
    config = system_of(env_id).configuration(scenario, overrides)
    return _loaded(_environment(env_id).core)(num_envs, config)


def system_of(env_id: str) -> System:
    """The record of an environment's system.

    Raises:
        ValueError: for an id that is not registered here.
        ImportError: naming what to install, if the system needs a package that is not there.
    """
    return _loaded(_environment(env_id).system)


def systems() -> dict[str, System]:
    """All records by name, in the order of the ids."""
    records = (system_of(env_id) for env_id in ENVIRONMENTS)
    return {record.name: record for record in records}


def line_up_of(env_id: str, scenario: str | None = None, **overrides: Any) -> LineUp:
    """The analytic policies and bounds of an environment.

    Raises:
        ValueError: for an unknown id, scenario or override.
    """
    system = system_of(env_id)
    return system.line_up(system.configuration(scenario, overrides))


def _environment(env_id: str) -> Environment:
    if env_id not in ENVIRONMENTS:
        raise ValueError(f"env_id = {env_id!r}: valid are {', '.join(ENVIRONMENTS)}, which dmoe_gym registers")
    return ENVIRONMENTS[env_id]


def _loaded(named: Any) -> Any:
    """The object, or what "module:name" names."""
    if not isinstance(named, str):
        return named
    module, _, name = named.partition(":")
    try:
        return getattr(import_module(module), name)
    except ModuleNotFoundError as error:
        if (error.name or "").startswith("dmoe_gym"):
            raise
        raise ImportError(f"{named} needs {error.name}: pip install 'dmoe_gym[train]'") from None

"""The environments by id: each has a core, which runs it, and a system's record, which knows everything else of it."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from typing import TYPE_CHECKING, Any, NamedTuple

import gymnasium as gym

from dmoe_gym.io.extras import needed_for

if TYPE_CHECKING:  # `import dmoe_gym` shall not wait for what nobody has asked for yet
    from dmoe_gym.core import BatchedCore
    from dmoe_gym.system import LineUp, System


class Environment(NamedTuple):
    """What an id stands for, each as an object or as "module:name", which is imported when it is asked for.

    Attributes:
        core: a `BatchedCore` class, made from a number of environments and a configuration.
        system: a `System`.
        masked: does the core have action masks?
    """

    core: str | type[BatchedCore]
    system: str | System
    masked: bool = False


class Shown(NamedTuple):
    """A further id of an environment, for libraries that know no dictionaries or no `MultiBinary` actions.

    Attributes:
        env_id: whose episodes it shows, bit for bit.
        flat, multi_discrete: how, see `facades.view.View`.
    """

    env_id: str
    flat: bool = False
    multi_discrete: bool = False


ENVIRONMENTS: dict[str, Environment] = {}
VIEWS: dict[str, Shown] = {}


def register(
    env_id: str,
    core: str | type[BatchedCore],
    system: str | System,
    *,
    masked: bool = False,
    multi_binary: bool = False,
) -> None:
    """Make an environment and its views known to Gymnasium and to every command of the suite.

    Args:
        env_id: as in `gym.make(env_id)`; it ends in its version, "-v0".
        core, system, masked: see `Environment`.
        multi_binary: may its actions be bits? Then there are views whose actions are choices.
    """
    ENVIRONMENTS[env_id] = Environment(core, system, masked)
    name, version = env_id.rsplit("-v", 1)
    views = {f"{name}-Flat-v{version}": Shown(env_id, flat=True)}
    if multi_binary:
        views[f"{name}-MultiDiscrete-v{version}"] = Shown(env_id, multi_discrete=True)
        views[f"{name}-MultiDiscrete-Flat-v{version}"] = Shown(env_id, flat=True, multi_discrete=True)
    VIEWS.update(views)
    for shown in (env_id, *views):
        gym.register(
            id=shown,
            entry_point=f"dmoe_gym.facades.single:{'Masked' if masked else ''}SingleEnv",
            vector_entry_point=f"dmoe_gym.facades.vector:{'Masked' if masked else 'Batched'}VectorEnv",
            kwargs={"registered_id": shown},
        )


def register_environments() -> None:
    """Register the suite's own, and the views of them with vector rewards."""
    for env_id in ("DMoE-JESA-v0", "DMoE-Inference-v0", "WDMoE-v0"):
        gym.register(
            id=f"mo-{env_id}",
            entry_point="dmoe_gym.facades.single:MultiObjectiveEnv",
            kwargs={"registered_id": env_id},
            disable_env_checker=True,  # it takes a reward of two numbers for a mistake
        )
    dmoe, inference = "dmoe_gym.dmoe.system:DMOE", "dmoe_gym.dmoe.system:INFERENCE"
    register("DMoE-DES-v0", "dmoe_gym.dmoe.env.des:DESCore", "dmoe_gym.dmoe.system:SELECTION", multi_binary=True)
    register("DMoE-JESA-v0", "dmoe_gym.dmoe.env.joint:JointCore", dmoe)
    register("DMoE-JESA-Sequential-v0", "dmoe_gym.dmoe.env.sequential:SequentialCore", dmoe, masked=True)
    register("DMoE-JESA-Price-v0", "dmoe_gym.dmoe.env.joint:PriceCore", dmoe)
    register("DMoE-JESA-Residual-v0", "dmoe_gym.dmoe.env.residual:ResidualCore", dmoe)
    register("DMoE-Nodes-v0", "dmoe_gym.dmoe.env.nodes:NodesCore", "dmoe_gym.dmoe.system:NODES")
    register("DMoE-Nodes-Residual-v0", "dmoe_gym.dmoe.env.node_residual:NodeResidualCore", "dmoe_gym.dmoe.system:NODES")
    register("DMoE-Inference-v0", "dmoe_gym.dmoe.env.inference:InferenceCore", inference)
    residual = "dmoe_gym.dmoe.env.inference_residual:InferenceResidualCore"
    register("DMoE-Inference-Residual-v0", residual, inference)
    register("DMoE-Inference-Joint-v0", "dmoe_gym.dmoe.env.inference:InferenceJointCore", inference)
    register("WDMoE-v0", "dmoe_gym.wdmoe.env.joint:DiscountCore", "dmoe_gym.wdmoe.system:WDMOE")
    register("WDMoE-Residual-v0", "dmoe_gym.wdmoe.env.residual:ResidualCore", "dmoe_gym.wdmoe.system:WDMOE")
    register("WDMoE-Joint-v0", "dmoe_gym.wdmoe.env.joint:JointCore", "dmoe_gym.wdmoe.system:WDMOE")
    served = "dmoe_gym.wdmoe.system:INFERENCE"
    register("WDMoE-Inference-v0", "dmoe_gym.wdmoe.env.inference:InferenceCore", served)
    register("WDMoE-Inference-Residual-v0", "dmoe_gym.wdmoe.env.inference:InferenceResidualCore", served)
    register("WDMoE-Inference-Joint-v0", "dmoe_gym.wdmoe.env.inference:InferenceJointCore", served)
    gating = "dmoe_gym.gating.system:GATING"
    register("ChannelAwareGating-v0", "dmoe_gym.gating.env:GatingCore", gating, multi_binary=True)


def create_core(env_id: str, num_envs: int, scenario: str | None, overrides: Mapping[str, Any]) -> BatchedCore:
    """A batch of environments.

    Raises:
        UnknownFieldError: for an unknown override.
        ValueError: for an unknown id or scenario, or an invalid value; if the scenario brought it, naming the scenario.
    """
    config = system_of(env_id).configuration(scenario, overrides)
    try:
        return _loaded(_environment(env_id).core, env_id)(num_envs, config)
    except ValueError as error:
        said = str(error)
        if scenario is None or any(name in said for name in ("num_envs", *overrides)):
            raise
        raise ValueError(f"scenario = {scenario!r}: {said}") from None


def parallel_env(env_id: str = "DMoE-JESA-v0", scenario: str | None = None, **options: Any) -> Any:
    """The nodes of a DMoE system as agents of a PettingZoo `ParallelEnv`.

    Args:
        env_id: "DMoE-JESA-v0", whose episodes it has.
        scenario, options: see `facades.pettingzoo.NodesEnv`.

    Raises:
        ImportError: with the command that installs PettingZoo, if it is missing.
        ValueError: for another id, or an invalid option.
    """
    if env_id != "DMoE-JESA-v0":
        raise ValueError(f"env_id = {env_id!r}: valid is 'DMoE-JESA-v0'")
    with needed_for("parallel_env"):
        return import_module("dmoe_gym.facades.pettingzoo").NodesEnv(scenario, **options)


def system_of(env_id: str) -> System:
    """The record of an environment's system.

    Raises:
        ValueError: for an id that is not registered here.
        ImportError: naming what to install, if the system needs a package that is not there.
    """
    return _loaded(_environment(env_id).system, env_id)


def systems() -> dict[str, System]:
    """All records by name, in the order of the ids."""
    records = (system_of(env_id) for env_id in ENVIRONMENTS)
    return {record.name: record for record in records}


def line_up_of(env_id: str, scenario: str | None = None, /, **overrides: Any) -> LineUp:
    """The analytic policies and bounds of an environment.

    Raises:
        ValueError: for an unknown id, scenario or override.
    """
    system = system_of(env_id)
    return system.line_up(system.configuration(scenario, overrides))


def _environment(env_id: str) -> Environment:
    return ENVIRONMENTS[shown_by(env_id).env_id]


def shown_by(env_id: str) -> Shown:
    """Whose episodes an id shows, and how.

    Raises:
        ValueError: for an id that is not registered here.
    """
    if not isinstance(env_id, str) or (env_id not in ENVIRONMENTS and env_id not in VIEWS):
        raise ValueError(f"env_id = {env_id!r}: valid are {', '.join(ENVIRONMENTS)} and their views")
    return VIEWS.get(env_id, Shown(env_id))


def _loaded(named: Any, env_id: str) -> Any:
    """The object, or what "module:name" names."""
    if not isinstance(named, str):
        return named
    module, _, name = named.partition(":")
    with needed_for(env_id):
        return getattr(import_module(module), name)

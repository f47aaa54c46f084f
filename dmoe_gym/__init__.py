"""Gymnasium environments for scheduling mixture-of-experts inference over wireless networks.

Importing the package registers its environments: `gymnasium.make("DMoE-JESA-v0", scenario="small")`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from dmoe_gym.registration import ENVIRONMENTS, register_environments

__version__ = "0.2.0.dev0"
__all__ = ["ENVIRONMENTS", "__version__", "parallel_env"]

if TYPE_CHECKING:
    from dmoe_gym.facades.pettingzoo import NodesEnv

register_environments()


def parallel_env(env_id: str = "DMoE-JESA-v0", scenario: str | None = None, **options: Any) -> NodesEnv:
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
    try:
        from dmoe_gym.facades.pettingzoo import NodesEnv
    except ModuleNotFoundError as error:
        if error.name != "pettingzoo":
            raise
        raise ImportError("parallel_env needs PettingZoo: pip install 'dmoe_gym[views]'") from None
    return NodesEnv(scenario, **options)

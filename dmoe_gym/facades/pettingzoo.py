"""Every node for itself: `DMoE-JESA-v0` as a PettingZoo `ParallelEnv`, the same episodes bit for bit."""

from __future__ import annotations

from typing import Any, ClassVar, Literal

import gymnasium as gym
import numpy as np
from gymnasium import spaces
from pettingzoo import ParallelEnv

from dmoe_gym.actions import ActionCheck
from dmoe_gym.facades.view import FRAMES_PER_SECOND, seeded_pair, watched
from dmoe_gym.registration import create_core
from dmoe_gym.rendering import Viewer

NODES_ID = "DMoE-Nodes-v0"
# What a node has of its own past and what it hears, which the central observation lacks.
PAST = ("asked", "arrived", "announced")
# Figures of a node's infos, by name, and where `NodesCore.nodes` has them.
FIGURES = {"energy_J": "energy_j", "relevance": "relevance", "shortfall": "shortfall", "collisions": "collisions"}


class NodesEnv(ParallelEnv):
    """The nodes of a DMoE system as agents "node_0" to "node_{K-1}"; every one schedules its own hidden states.

    Observation of node i, a dictionary of float32 boxes: its part of the central observation (its own rows of
    `gate_scores` (N, K), `spectral_efficiency` (K, M) and of whatever else has one entry per node; `threshold`,
    `progress` and `computation_energy` (K,), which all know), and its own past: `asked` and `arrived` (N, K), whom it
    chose in the last round and who served it, zeros in the first. With `observe="neighbours"` also `announced` (K, M),
    which subcarriers every node used in the last round.

    Action of node i: N K selection bits, then the wished subcarrier of its link to every other node: its part of the
    central action, in the same order.

    Args:
        scenario, overrides: as in `gym.make`.
        reward: "team", every node's equal part of the central reward, of which the sum is the reward exactly; or "own",
            minus what the node itself spends, radio and expert, and its own priced shortfall.
        collision: what happens when links take one subcarrier. "lost": all of them transmit in vain, and their hidden
            states fall back on their own node's expert where no other is left. "repair": as in the central
            environment.
        observe: "own" or "neighbours".
        render_mode: None, "rgb_array" or "ansi".

    Raises:
        UnknownFieldError: for an override that the configuration does not have.
        ValueError: for an invalid value; "own" rewards under a relevance budget, which is the team's.
    """

    metadata: ClassVar[dict[str, Any]] = {  # type: ignore[misc]
        "name": "dmoe_nodes_v0",
        "render_modes": ["rgb_array", "ansi"],
        "render_fps": FRAMES_PER_SECOND,
        "is_parallelizable": True,
    }

    def __init__(
        self,
        scenario: str | None = None,
        *,
        reward: Literal["team", "own"] = "team",
        collision: Literal["lost", "repair"] = "lost",
        observe: Literal["own", "neighbours"] = "own",
        render_mode: str | None = None,
        **overrides: Any,
    ) -> None:
        options = {"reward": reward, "collision": collision, "observe": observe}
        core: Any = create_core(NODES_ID, 1, scenario, {**options, **overrides})
        self.core: Any = core
        self.render_mode = render_mode
        self._viewer = watched(self.core, NODES_ID, render_mode, Viewer.modes[:2])
        self._team = reward == "team"
        self.possible_agents = [f"node_{node}" for node in range(core.config.num_experts)]
        self.agents: list[str] = []
        action, observed = core.node_action_space(), core.node_observation_space()
        self._check = ActionCheck(action, 1)
        self.observation_spaces = {agent: spaces.Dict(observed.spaces) for agent in self.possible_agents}
        self.action_spaces = {agent: spaces.MultiDiscrete(action.nvec) for agent in self.possible_agents}
        central = {key: space for key, space in core.observation_space.spaces.items() if key not in PAST}
        self.state_space = gym.spaces.flatten_space(spaces.Dict(central))

    @property
    def config(self) -> Any:
        """The system's configuration."""
        return self.core.config

    def observation_space(self, agent: str) -> spaces.Space:
        """Of one node; always the same object."""
        return self.observation_spaces[agent]

    def action_space(self, agent: str) -> spaces.Space:
        """Of one node; always the same object."""
        return self.action_spaces[agent]

    def reset(
        self, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[dict[str, dict[str, np.ndarray]], dict[str, dict[str, Any]]]:
        """Start the next episode; with a seed, episode 0 of that seed, as `SingleEnv.reset`.

        Options other than `environment_index` are left to whoever wraps the environment: PettingZoo's own test sends
        one that it has made up.

        Raises:
            ValueError: for an invalid seed or environment index.
        """
        known = {key: value for key, value in (options or {}).items() if key == "environment_index"}
        pair = seeded_pair(seed, known)
        if pair is not None:
            self.core.seed([0], [pair])
        self.core.start(self.core.all_rows)
        self.agents = list(self.possible_agents)
        return self._observations(), self._infos()

    def step(self, actions: dict[str, Any]) -> tuple[Any, Any, Any, Any, Any]:
        """Apply one action per node.

        Raises:
            ValueError: for a node without action, an unknown one, or an action that is no member of its space.
            RuntimeError: before the first `reset`, and after an episode's end before the next.
        """
        core = self.core
        if not self.agents:
            raise RuntimeError("no episode is running: call reset() before step()")
        core.step(core.joined(self._joint(actions)[None]), core.all_rows)
        rewards = equal_parts(core.rewards.item(0), len(self.agents)) if self._team else core.node_rewards[0]
        ended = bool(core.terminated[0])
        results = (
            self._observations(),
            dict(zip(self.agents, rewards.tolist(), strict=True)),
            dict.fromkeys(self.agents, ended),
            dict.fromkeys(self.agents, False),
            self._infos(),
        )
        if ended:
            self.agents = []
        return results

    def _joint(self, actions: Any) -> np.ndarray:
        """Actions of all nodes, (K, entries)."""
        if not isinstance(actions, dict) or actions.keys() != set(self.agents):
            given = ", ".join(map(str, actions)) if isinstance(actions, dict) else type(actions).__name__
            raise ValueError(f"actions: has {given or 'nothing'}; valid is one of each of {', '.join(self.agents)}")
        parts = []
        for agent in self.agents:
            try:
                parts.append(self._check.single(actions[agent])[0])
            except ValueError as error:
                raise ValueError(f"{agent}: {error}") from None
        return np.stack(parts)

    def _observations(self) -> dict[str, dict[str, np.ndarray]]:
        views = self.core.node_views()
        return {
            agent: {key: values[0, node].copy() for key, values in views.items()}
            for node, agent in enumerate(self.possible_agents)
        }

    def _infos(self) -> dict[str, dict[str, float]]:
        figures = {name: getattr(self.core.nodes, of)[0].tolist() for name, of in FIGURES.items()}
        return {
            agent: {name: values[node] for name, values in figures.items()} for node, agent in enumerate(self.agents)
        }

    def global_state(self) -> dict[str, np.ndarray]:
        """The central observation, for critics that are trained in one place."""
        return {key: value.copy() for key, value in self.core.first_observation.items() if key not in PAST}

    def state(self) -> np.ndarray:
        """`global_state` as one vector, as `DMoE-JESA-Flat-v0` shows it."""
        return np.concatenate([value.ravel() for _, value in sorted(self.global_state().items())])

    def render(self) -> Any:
        """A picture (rgb_array) or text (ansi)."""
        if self._viewer is None:
            gym.logger.warn("render() without render_mode: name one in parallel_env(..., render_mode=...)")
            return None
        return self._viewer.render(self.core, 0, str(self.render_mode))

    def close(self) -> None:
        """Nothing is held open."""


def equal_parts(reward: float, count: int) -> np.ndarray:
    """(count,) numbers, equal but for the last digits, of which the sum in any order is the reward to the last bit.

    All are multiples of the reward's last digit, so no sum of some of them is rounded.
    """
    digit = np.spacing(abs(reward))
    parts = np.full(count, np.round(reward / count / digit) * digit)
    parts[-1] = reward - (count - 1) * parts[0]
    return parts

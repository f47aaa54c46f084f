"""Every node for itself: `DMoE-JESA-v0` as a PettingZoo `ParallelEnv`, the same episodes bit for bit."""

from __future__ import annotations

from typing import Any, ClassVar, Literal

import gymnasium as gym
import numpy as np
from gymnasium import spaces
from pettingzoo import ParallelEnv

from dmoe_gym.actions import ActionCheck
from dmoe_gym.dmoe.env.nodes import Charged, Choices, charge_nodes
from dmoe_gym.facades.view import FRAMES_PER_SECOND, View, seeded_pair, watched
from dmoe_gym.registration import create_core
from dmoe_gym.rendering import Viewer

ENV_ID = "DMoE-JESA-v0"


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
        for name, given, valid in (
            ("reward", reward, ("team", "own")),
            ("collision", collision, ("lost", "repair")),
            ("observe", observe, ("own", "neighbours")),
        ):
            if given not in valid:
                raise ValueError(f"{name} = {given!r}: valid are {', '.join(map(repr, valid))}")
        self.core: Any = create_core(ENV_ID, 1, scenario, overrides)
        config: Any = self.core.config
        if reward == "own" and config.relevance_budget is not None:
            raise ValueError("reward = 'own': valid under a relevance budget, which the nodes share, is 'team'")
        self.render_mode = render_mode
        self._viewer = watched(self.core, ENV_ID, render_mode, Viewer.modes[:2])
        self._own_reward, self._lost, self._neighbours = reward == "own", collision == "lost", observe == "neighbours"
        nodes, states, subcarriers = config.num_experts, config.num_states, config.num_subcarriers
        self.possible_agents = [f"node_{node}" for node in range(nodes)]
        self.agents: list[str] = []
        self._asked = np.zeros((nodes, states, nodes), np.float32)
        self._arrived = np.zeros_like(self._asked)
        self._announced = np.zeros((nodes, subcarriers), np.float32)
        self._flat = View(self.core, flat=True)
        self.state_space = self._flat.observation_space
        action = spaces.MultiDiscrete(np.r_[np.full(states * nodes, 2), np.full(nodes - 1, subcarriers)])
        self._check = ActionCheck(action, 1)
        space: Any = self.core.observation_space
        upper = space.spaces
        observation: dict[str, spaces.Space] = {
            key: spaces.Box(0, float(upper[key].high.max()) if key in upper else 1, value.shape, np.float32)
            for key, value in self._observation(0).items()
        }
        self.observation_spaces = {agent: spaces.Dict(observation) for agent in self.possible_agents}
        self.action_spaces = {agent: spaces.MultiDiscrete(action.nvec) for agent in self.possible_agents}

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
        for past in (self._asked, self._arrived, self._announced):
            past[:] = 0
        nothing = {"energy_J": 0.0, "relevance": 0.0, "shortfall": 0.0, "collisions": 0.0}
        return self._observations(), {agent: dict(nothing) for agent in self.agents}

    def step(self, actions: dict[str, Any]) -> tuple[Any, Any, Any, Any, Any]:
        """Apply one action per node.

        Raises:
            ValueError: for a node without action, an unknown one, or an action that is no member of its space.
            RuntimeError: before the first `reset`, and after an episode's end before the next.
        """
        core = self.core
        if not self.agents:
            raise RuntimeError("no episode is running: call reset() before step()")
        choices = Choices.of(core)
        joint = self._joint(actions)
        if self._lost:
            charged = charge_nodes(core, choices, *_decoded(joint, core.config), collide=True)
            core.term_values[0] = charged.terms
            core.rewards[0] = -charged.terms[0]
            core.skip_round(core.all_rows)
        else:
            core.step(core.checked_actions(joint[None]), core.all_rows)
            charged = charge_nodes(core, choices, core.selected[0].copy(), core.subcarrier[0].copy(), collide=False)
        self._remember(charged)
        rewards = -charged.own_cost if self._own_reward else equal_parts(core.rewards.item(0), len(self.agents))
        ended = bool(core.terminated[0])
        infos = {
            agent: {
                "energy_J": float(charged.energy_j[node]),
                "relevance": float(charged.relevance[node]),
                "shortfall": float(charged.shortfall[node]),
                "collisions": float(charged.collisions[node]),
            }
            for node, agent in enumerate(self.agents)
        }
        results = (
            self._observations(),
            dict(zip(self.agents, rewards.tolist(), strict=True)),
            dict.fromkeys(self.agents, ended),
            dict.fromkeys(self.agents, False),
            infos,
        )
        if ended:
            self.agents = []
        return results

    def _joint(self, actions: Any) -> np.ndarray:
        """The central action: all nodes' bits, then all their wishes."""
        if not isinstance(actions, dict) or actions.keys() != set(self.agents):
            given = ", ".join(map(str, actions)) if isinstance(actions, dict) else type(actions).__name__
            raise ValueError(f"actions: has {given or 'nothing'}; valid is one of each of {', '.join(self.agents)}")
        parts = []
        for agent in self.agents:
            try:
                parts.append(self._check.single(actions[agent])[0])
            except ValueError as error:
                raise ValueError(f"{agent}: {error}") from None
        bits = self.config.num_states * self.config.num_experts
        return np.concatenate([part[:bits] for part in parts] + [part[bits:] for part in parts])

    def _remember(self, charged: Charged) -> None:
        self._asked[:] = charged.selected
        self._arrived[:] = charged.served
        self._announced[:] = 0
        node, receiver = np.nonzero(charged.subcarrier >= 0)
        self._announced[node, charged.subcarrier[node, receiver]] = 1

    def _observation(self, node: int) -> dict[str, np.ndarray]:
        own = {
            key: value.copy()
            if value.shape == (1,) or key == "computation_energy"
            else np.atleast_1d(value[node]).copy()
            for key, value in self.core.first_observation.items()
        }
        past = {"asked": self._asked[node].copy(), "arrived": self._arrived[node].copy()}
        return {**own, **past, **({"announced": self._announced.copy()} if self._neighbours else {})}

    def _observations(self) -> dict[str, dict[str, np.ndarray]]:
        return {agent: self._observation(node) for node, agent in enumerate(self.possible_agents)}

    def global_state(self) -> dict[str, np.ndarray]:
        """The central observation, for critics that are trained in one place."""
        return {key: value.copy() for key, value in self.core.first_observation.items()}

    def state(self) -> np.ndarray:
        """`global_state` as one vector, as `DMoE-JESA-Flat-v0` shows it."""
        return self._flat.first()

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


def _decoded(joint: np.ndarray, config: Any) -> tuple[np.ndarray, np.ndarray]:
    """Selections (K, N, K) bool and subcarriers (K, K) int64 of a central action."""
    nodes, states = config.num_experts, config.num_states
    selected = joint[: nodes * states * nodes].reshape(nodes, states, nodes) == 1
    subcarrier = np.full((nodes, nodes), -1, np.int64)
    subcarrier[~np.eye(nodes, dtype=bool)] = joint[nodes * states * nodes :]
    return selected, subcarrier

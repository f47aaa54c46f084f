"""Playing fixed actions through any of the three facades, and comparing what came back bit for bit."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from typing import Any

import gymnasium as gym
import numpy as np
from dmoe_builders import DES, SEQUENTIAL, make

import dmoe_gym
from dmoe_gym.policy import BatchPolicy

ALL_IDS = tuple(dmoe_gym.ENVIRONMENTS)


def system_of(env_id: str) -> str:
    """Ids of one system take the same scenarios."""
    system, second = env_id.split("-")[:2]
    return system if second != "Inference" else "Inference" if system == "DMoE" else "WDMoE Inference"


def short_episodes(env_id: str, rounds: int = 2) -> dict[str, Any]:
    """Options under which an episode has few rounds; for DMoE scarce ones, where repairs and cures take part."""
    return {
        "DMoE": {"scenario": "scarce", "num_layers": rounds},
        "WDMoE": {"scenario": "testbed", "num_blocks": rounds},
        "Inference": {"scenario": "digits-scarce"},  # its model's layers, no fewer
        "WDMoE Inference": {"scenario": "digits"},
        "ChannelAwareGating": {"scenario": "analog", "num_inputs": rounds},
    }.get(system_of(env_id), {})


def steps_across_ends(env_id: str) -> int:
    """Steps in which an environment with short episodes ends more than once."""
    return 20 if "Inference" in env_id else {DES: 60, SEQUENTIAL: 90}.get(env_id, 7)


def draw_actions(space: gym.Space, steps: int, num_envs: int, seed: int = 0) -> np.ndarray:
    """(steps, num_envs, ...) random actions of a single environment's space, infeasible ones among them."""
    space.seed(seed)
    flat = [space.sample() for _ in range(steps * num_envs)]
    return np.array(flat).reshape(steps, num_envs, *np.shape(flat[0]))


def assert_equal(one: Any, other: Any, where: str = "") -> None:
    """Equality to the last bit of nested dictionaries, arrays and numbers."""
    if isinstance(one, dict):
        assert one.keys() == other.keys(), where
        for key, value in one.items():
            assert_equal(value, other[key], f"{where}.{key}")
    else:
        one, other = np.asarray(one), np.asarray(other)
        assert one.dtype == other.dtype, where
        np.testing.assert_array_equal(one, other, err_msg=where)


def row_of(batch: Any, row: int) -> Any:
    """One environment's part of a batch of dictionaries, or of vectors."""
    if isinstance(batch, np.ndarray):
        return batch[row]
    return {key: values[row] for key, values in batch.items()}


class Singles:
    """`num_envs` single environments, seeded as a batch with one seed is: the reference for batches.

    Attributes:
        observations, infos: what each returned last.
    """

    def __init__(self, env_id: str, num_envs: int, seed: int, **options: Any) -> None:
        self.envs = [make(env_id, **options) for _ in range(num_envs)]
        first = [env.reset(seed=seed, options={"environment_index": index}) for index, env in enumerate(self.envs)]
        self.observations = [observation for observation, _ in first]
        self.infos = [info for _, info in first]

    def step(self, row: int, action: Any) -> tuple[float, bool]:
        """Step one environment; reward and termination."""
        self.observations[row], reward, terminated, truncated, self.infos[row] = self.envs[row].step(action)
        assert not truncated
        return reward, terminated

    def reset(self, row: int) -> None:
        """The next episode of one environment."""
        self.observations[row], self.infos[row] = self.envs[row].reset()


def play(env: gym.Env, actions: Any) -> Iterator[tuple[Any, ...]]:
    """What every step returns; a new episode begins as soon as one ends."""
    for action in actions:
        step = env.step(action)
        yield step
        if step[2] or step[3]:
            yield env.reset()


def digest(steps: Any) -> str:
    """A fingerprint of everything that steps returned, sensitive to the last bit."""
    fingerprint = hashlib.sha256()

    def add(value: Any) -> None:
        if isinstance(value, dict):
            for key in sorted(value):
                fingerprint.update(key.encode())
                add(value[key])
        elif isinstance(value, tuple | list):
            for part in value:
                add(part)
        else:
            array = np.asarray(value)
            fingerprint.update(f"{array.dtype}{array.shape}".encode() + array.tobytes())

    add(list(steps))
    return fingerprint.hexdigest()


def episode_digest(env_id: str, **options: Any) -> str:
    """The fingerprint of two episodes of one environment, seed 11; importable by other processes."""
    env = make(env_id, **options)
    first = env.reset(seed=11)
    return digest([first, *play(env, draw_actions(env.action_space, 20, 1)[:, 0])])


def batch_digest(env_id: str, num_envs: int, steps: int, **options: Any) -> str:
    """The fingerprint of a batch that is large enough for threads."""
    envs = gym.make_vec(env_id, num_envs=num_envs, **options)
    first = envs.reset(seed=12)
    return digest([first, *(envs.step(action) for action in draw_actions(envs.single_action_space, steps, num_envs))])


class ConstantPolicy(BatchPolicy):
    """The same action always: in `DMoE-JESA-Price-v0` action 0 is JESA."""

    def __init__(self, action: np.ndarray, key: str, dimensions: int) -> None:
        self.action, self.key, self.dimensions = action, key, dimensions

    def actions(self, batch: Mapping[str, np.ndarray]) -> np.ndarray:
        return np.repeat(self.action[None], len(batch[self.key]), axis=0)

"""The equivariant network: permuted problems give permuted logits and the same value; weights fit any size."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from sb3_contrib import MaskablePPO

from agents.networks.equivariant import EquivariantNetwork, EquivariantSequentialPolicy
from agents.networks.features import Prices, features_of
from dmoe_gym.facades.stable_baselines import BatchedVecEnv

SIZES = {"num_experts": 5, "num_states": 2, "num_subcarriers": 7, "num_layers": 2}


def _env(batch: int = 6, **sizes: int) -> BatchedVecEnv:
    env = BatchedVecEnv("DMoE-JESA-Sequential-v0", batch, scenario="small", **{**SIZES, **sizes})
    env.seed(3)
    return env


def _midway(env: BatchedVecEnv, position: int) -> dict[str, np.ndarray]:
    """Observations after random feasible picks, when it is the turn of the state at `position` everywhere."""
    generator = np.random.default_rng(0)
    observation = env.reset()
    kept: dict[str, np.ndarray] = {}
    waiting = np.ones(env.num_envs, bool)
    for _ in range(200):
        there = waiting & (observation["turn"][:, position] > 0)
        if not kept:
            kept = {key: values.copy() for key, values in observation.items()}
        for key, values in observation.items():
            kept[key][there] = values[there]
        waiting &= ~there
        if not waiting.any():
            return kept
        masks = env.core.masks()
        observation, *_ = env.step(np.argmax(generator.random(masks.shape) * masks, axis=-1))
    raise AssertionError("the turn never came")


def _tensors(observation: dict[str, np.ndarray]) -> dict[str, torch.Tensor]:
    return {key: torch.as_tensor(values, dtype=torch.float64) for key, values in observation.items()}


def _network(env: BatchedVecEnv) -> EquivariantNetwork:
    constants = env.core.constants
    torch.manual_seed(0)
    prices = Prices(constants.transmission, constants.shortfall_price, constants.max_experts)
    return EquivariantNetwork(prices, width=8).double()


def _run(network: EquivariantNetwork, observation: dict[str, np.ndarray]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Logits (B, K, M), of done (B,), and values (B,)."""
    with torch.no_grad():
        logits, value = network(_tensors(observation))
    batch, experts, _, subcarriers = observation["spectral_efficiency"].shape
    return (
        logits[:, :-1].reshape(batch, experts, subcarriers).numpy(),
        logits[:, -1].numpy(),
        value[:, 0].numpy(),
    )


@pytest.mark.parametrize("position", [0, 4, 5, 9])
def test_subcarriers_permute(position: int) -> None:
    env = _env()
    observation = _midway(env, position)
    network = _network(env)
    logits, done, value = _run(network, observation)
    order = np.random.default_rng(1).permutation(SIZES["num_subcarriers"])
    permuted = dict(observation)
    for key in ("spectral_efficiency", "allocated"):
        permuted[key] = observation[key][..., order]
    other, other_done, other_value = _run(network, permuted)
    node = position // SIZES["num_states"]
    remote = np.arange(SIZES["num_experts"]) != node
    np.testing.assert_allclose(other[:, remote], logits[:, remote][..., order], atol=1e-9)
    # the node's own expert needs no subcarrier: its pick is the first action, whatever the order
    np.testing.assert_allclose(other[:, node, 0], logits[:, node, 0], atol=1e-9)
    np.testing.assert_allclose(other_done, done, atol=1e-9)
    np.testing.assert_allclose(other_value, value, atol=1e-9)


@pytest.mark.parametrize("position", [4, 5])
def test_nodes_and_experts_permute(position: int) -> None:
    """Nodes hold the experts, so both permute at once; the turn's order fixes who came before and who comes after."""
    env = _env()
    observation = _midway(env, position)
    network = _network(env)
    logits, done, value = _run(network, observation)
    order = np.array([1, 0, 2, 4, 3])
    permuted = dict(observation)
    for key in ("gate_scores", "selected"):
        permuted[key] = observation[key][:, order][..., order]
    for key in ("spectral_efficiency", "allocated"):
        permuted[key] = observation[key][:, order][:, :, order]
    permuted["computation_energy"] = observation["computation_energy"][:, order]
    other, other_done, other_value = _run(network, permuted)
    np.testing.assert_allclose(other, logits[:, order], atol=1e-9)
    np.testing.assert_allclose(other_done, done, atol=1e-9)
    np.testing.assert_allclose(other_value, value, atol=1e-9)
    # and the test can fail: logits of different experts differ
    assert np.abs(other - logits).max() > 1e-3


def test_states_still_to_come_permute() -> None:
    env = _env()
    observation = _midway(env, 4)
    network = _network(env)
    permuted = dict(observation)
    for key in ("gate_scores", "selected"):
        permuted[key] = observation[key].copy()
        permuted[key][:, 4] = observation[key][:, 4, ::-1]
    for one, other in zip(_run(network, observation), _run(network, permuted), strict=True):
        np.testing.assert_allclose(one, other, atol=1e-9)


@pytest.mark.parametrize(
    "sizes",
    [
        {"num_experts": 3, "num_states": 1, "num_subcarriers": 1, "num_layers": 2},
        {"num_experts": 7, "num_states": 3, "num_subcarriers": 4, "num_layers": 2},
        {"num_experts": 4, "num_states": 1, "num_subcarriers": 16, "num_layers": 2, "max_experts": 1},
        {"num_experts": 6, "num_states": 2, "num_subcarriers": 9, "num_layers": 2, "max_experts": 3},
    ],
)
def test_the_same_weights_act_at_other_sizes(sizes: dict[str, int]) -> None:
    def model(env: BatchedVecEnv) -> MaskablePPO:
        constants = env.core.constants
        prices = Prices(constants.transmission, constants.shortfall_price, constants.max_experts)
        options = {"prices": prices, "width": 8}
        return MaskablePPO(EquivariantSequentialPolicy, env, n_steps=2, policy_kwargs=options, seed=0, device="cpu")

    trained, env = model(_env()), _env(**sizes)
    other = model(env)
    other.policy.load_state_dict(trained.policy.state_dict())
    observation = env.reset()
    for _ in range(20):
        masks = env.core.masks().copy()
        actions, _ = other.predict(observation, action_masks=masks, deterministic=True)
        assert masks[np.arange(env.num_envs), actions].all()
        values = other.policy.predict_values(other.policy.obs_to_tensor(observation)[0])
        assert torch.isfinite(values).all()
        observation, *_ = env.step(actions)


def test_features_tell_the_physics() -> None:
    """Energies, completions and gains against their definitions, one by one."""
    env = _env()
    observation = _midway(env, 5)
    constants = env.core.constants
    prices = Prices(constants.transmission, constants.shortfall_price, constants.max_experts)
    seen = features_of(_tensors(observation), prices)
    efficiency, allocated = observation["spectral_efficiency"], observation["allocated"] > 0
    for row in range(env.num_envs):
        taken = allocated[row].any(axis=(0, 1))
        assert seen.free[row] == (~taken).sum()
        for i in range(5):
            for j in range(5):
                usable = allocated[row, i, j] if allocated[row, i, j].any() else ~taken
                if i == j:
                    expected = 0.0
                elif usable.any():
                    expected = min(constants.transmission / efficiency[row, i, j, usable].max(), 20.0)
                else:
                    expected = 20.0
                np.testing.assert_allclose(seen.best[row, i, j], expected, rtol=1e-5)
        i, n = 3, 1  # nothing was picked for this one yet
        scores = observation["gate_scores"][row, i, n].astype(float)
        target = min(float(observation["threshold"][row, 0]), np.sort(scores)[-2:].sum())
        np.testing.assert_allclose(seen.target[row, i, n], target, rtol=1e-6)
        energy = seen.energy[row, i].numpy()
        for j in range(5):
            costs = [energy[j]] if scores[j] + 1e-6 >= target else []
            costs += [energy[j] + energy[k] for k in range(5) if k != j and scores[j] + scores[k] + 1e-6 >= target]
            if costs and min(costs) < 15:
                np.testing.assert_allclose(seen.completion[row, i, n, j], min(costs), rtol=1e-5)


def test_other_environments_are_refused() -> None:
    env = BatchedVecEnv("DMoE-JESA-v0", 2, scenario="small")
    with pytest.raises(ValueError, match="DMoE-JESA-Sequential-v0"):
        EquivariantSequentialPolicy(env.observation_space, env.action_space, lambda _: 1e-3, prices=Prices(1, 1, 2))

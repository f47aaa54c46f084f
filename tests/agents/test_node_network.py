"""The network that nodes share: permuted nodes get permuted corrections, and untrained it corrects nothing."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from stable_baselines3 import PPO

from agents.config import TrainingConfig
from agents.learners import build_env, build_learner
from agents.networks.nodes import NodePolicy
from dmoe_gym.dmoe.env.residual import GLOBAL_FEATURES, NODE_FEATURES

RECIPE = {
    "algorithm": "ppo",
    "env_id": "DMoE-JESA-Residual-v0",
    "group": "nodes",
    "total_timesteps": 64,
    "network": {"kind": "nodes", "width": 8},
    "hyperparameters": {"n_steps": 4, "batch_size": 16},
}


def learner(scenario: str, **fields: object) -> PPO:
    recipe = TrainingConfig(**RECIPE, scenario=scenario, **fields)
    model = build_learner(recipe, build_env(recipe, 0, 4), 0)
    assert isinstance(model, PPO)
    return model


def permuted(rows: np.ndarray, order: np.ndarray, per_node: int) -> np.ndarray:
    """Rows of named entries, `per_node` for every node in turn, with the nodes in another order."""
    own = rows[:, : per_node * len(order)].reshape(len(rows), per_node, -1)[..., order]
    return np.concatenate([own.reshape(len(rows), -1), rows[:, per_node * len(order) :]], 1)


@pytest.mark.parametrize(("scenario", "history"), [("battery", 1), ("battery", 3), ("stale", 1)])
def test_permuted_nodes_get_permuted_corrections(scenario, history):
    model = learner(scenario, history=history)
    policy, generator = model.policy, np.random.default_rng(0)
    assert isinstance(policy, NodePolicy)
    for parameter in policy.parameters():
        torch.nn.init.normal_(parameter)
    entries = policy.observation_space.shape[0] // history
    experts = (entries - len(GLOBAL_FEATURES)) // len(NODE_FEATURES)
    order = generator.permutation(experts)
    frames = generator.normal(size=(7, history, entries)).astype(np.float32)
    moved = np.stack([permuted(frames[:, frame], order, len(NODE_FEATURES)) for frame in range(history)], 1)
    with torch.no_grad():
        outcomes = [policy.forward(torch.from_numpy(each.reshape(7, -1)), True) for each in (frames, moved)]
        (actions, values, _), (moved_actions, moved_values, _) = outcomes
    assert actions.std() > 0.01
    for part in (slice(0, experts), slice(experts + 1, None)):
        own, theirs = actions[:, part].numpy(), moved_actions[:, part].numpy()
        np.testing.assert_allclose(theirs, own[:, order] if own.size else own, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(moved_actions[:, experts], actions[:, experts], rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(moved_values, values, rtol=1e-4, atol=1e-5)


def test_untrained_it_corrects_nothing_and_training_moves_it():
    model = learner("battery")
    seen = model.get_env().reset()
    assert not model.predict(seen, deterministic=True)[0].any()
    model.learn(64)
    assert model.predict(seen, deterministic=True)[0].any()


def test_it_is_refused_elsewhere():
    with pytest.raises(ValueError, match=r"network = 'nodes' with algorithm = 'sac'.*valid is ppo, a2c, trpo"):
        TrainingConfig(**{**RECIPE, "algorithm": "sac"})

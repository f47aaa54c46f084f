"""The network that nodes share: permuted nodes get permuted corrections, and untrained it corrects nothing."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from stable_baselines3 import PPO

from agents.config import TrainingConfig
from agents.learners import build_env, build_learner
from agents.networks.nodes import NodePolicy

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


def places(names: tuple[str, ...], order: np.ndarray) -> list[int]:
    """Where every entry comes from if the nodes are put into another order, by the entries' names."""
    moved = []
    for name in names:
        kind, _, nodes = name.rstrip("]").partition("[")
        renamed = ",".join(str(order[int(node)]) for node in nodes.split(",")) if nodes else ""
        moved.append(names.index(f"{kind}[{renamed}]" if nodes else name))
    return moved


@pytest.mark.parametrize(("scenario", "history"), [("battery", 1), ("battery", 3), ("stale", 1), ("blockage", 2)])
def test_permuted_nodes_get_permuted_corrections(scenario, history):
    model = learner(scenario, history=history)
    policy, generator = model.policy, np.random.default_rng(0)
    assert isinstance(policy, NodePolicy)
    for parameter in policy.parameters():
        torch.nn.init.normal_(parameter)
    core = model.get_env().core
    names, experts = core.feature_names, core.config.num_experts
    order = generator.permutation(experts)
    frames = generator.normal(size=(7, history, len(names))).astype(np.float32)
    with torch.no_grad():
        seen = (frames, frames[..., places(names, order)])
        outcomes = [policy.forward(torch.from_numpy(each.reshape(7, -1)), True) for each in seen]
        (actions, values, _), (moved_actions, moved_values, _) = outcomes
    assert actions.std() > 0.01
    # prices of all nodes, one entry of all together, then one further kind of nodes' entries after the other
    further = range(experts + 1, actions.shape[1], experts)
    own = [*order, experts, *(start + node for start in further for node in order)]
    np.testing.assert_allclose(moved_actions, actions[:, own], rtol=1e-4, atol=1e-5)
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

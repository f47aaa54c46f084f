"""The network that nodes share: permuted nodes get permuted corrections, and untrained it corrects nothing."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from stable_baselines3 import PPO, TD3

from agents.config import TrainingConfig
from agents.learners import build_env, build_learner
from agents.networks.nodes import NodePolicy, NodeTD3Policy

RECIPE = {
    "algorithm": "ppo",
    "env_id": "DMoE-JESA-Residual-v0",
    "group": "nodes",
    "total_timesteps": 64,
    "network": {"kind": "nodes", "width": 8},
    "hyperparameters": {"n_steps": 4, "batch_size": 16},
}


TD3_OPTIONS = {"learning_starts": 8, "batch_size": 16, "buffer_size": 1000}
DMOE, INFERENCE, WDMOE = "DMoE-JESA-Residual-v0", "DMoE-Inference-Residual-v0", "WDMoE-Residual-v0"


def learner(scenario: str, **fields: object) -> PPO | TD3:
    recipe = TrainingConfig(**{**RECIPE, **fields}, scenario=scenario)
    model = build_learner(recipe, build_env(recipe, 0, 4), 0)
    assert isinstance(model, PPO | TD3)
    return model


def places(names: tuple[str, ...], order: np.ndarray) -> list[int]:
    """Where every entry comes from if the nodes are put into another order, by the entries' names."""
    moved = []
    for name in names:
        kind, _, nodes = name.rstrip("]").partition("[")
        renamed = ",".join(str(order[int(node)]) for node in nodes.split(",")) if nodes else ""
        moved.append(names.index(f"{kind}[{renamed}]" if nodes else name))
    return moved


def reordered(model: PPO | TD3, history: int) -> tuple[torch.Tensor, torch.Tensor, list[int]]:
    """Random observations, the same of nodes in another order, and where their actions' entries then come from."""
    generator = np.random.default_rng(0)
    for parameter in model.policy.parameters():
        torch.nn.init.normal_(parameter, std=0.5)
    names = model.get_env().core.feature_names
    kind, actions = names[0].partition("[")[0], model.action_space.shape[0]
    nodes = sum(name.startswith(f"{kind}[") for name in names)
    order = generator.permutation(nodes)
    frames = generator.normal(size=(7, history, len(names))).astype(np.float32)
    seen = [torch.from_numpy(each.reshape(7, -1)) for each in (frames, frames[..., places(names, order)])]
    # one kind of entry of all nodes, perhaps one of all together, then one further kind after the other
    overall = actions % nodes
    further = range(nodes + overall, actions, nodes)
    own = [*order, *[nodes] * overall, *(start + node for start in further for node in order)]
    return *seen, own


@pytest.mark.parametrize(
    ("env_id", "scenario", "history"),
    [
        (DMOE, "battery", 1),
        (DMOE, "battery", 3),
        (DMOE, "stale", 1),
        (DMOE, "blockage", 2),
        (INFERENCE, "digits", 1),
        (WDMOE, "testbed", 1),
    ],
)
def test_permuted_nodes_get_permuted_corrections(env_id, scenario, history):
    model = learner(scenario, env_id=env_id, history=history)
    assert isinstance(model.policy, NodePolicy)
    seen, moved, own = reordered(model, history)
    with torch.no_grad():
        (actions, values, _), (moved_actions, moved_values, _) = (
            model.policy.forward(each, True) for each in (seen, moved)
        )
    assert actions.std() > 0.01
    np.testing.assert_allclose(moved_actions, actions[:, own], rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(moved_values, values, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(("env_id", "scenario"), [(DMOE, "blockage"), (WDMOE, "testbed")])
def test_off_policy_too(env_id, scenario):
    model = learner(scenario, env_id=env_id, algorithm="td3", hyperparameters=TD3_OPTIONS)
    assert isinstance(model.policy, NodeTD3Policy)
    seen, moved, own = reordered(model, 1)
    with torch.no_grad():
        actions, moved_actions = model.policy.actor(seen), model.policy.actor(moved)
        tried = torch.rand(actions.shape) * 2 - 1
        values, moved_values = model.policy.critic(seen, tried), model.policy.critic(moved, tried[:, own])
        other = model.policy.critic(seen, tried[:, own])
    assert actions.std() > 0.01
    np.testing.assert_allclose(moved_actions, actions[:, own], rtol=1e-4, atol=1e-5)
    for one, moved_one, different in zip(values, moved_values, other, strict=True):
        np.testing.assert_allclose(moved_one, one, rtol=1e-4, atol=1e-4)
        assert abs(different - one).max() > 1e-3  # an action is told to whom it belongs


@pytest.mark.parametrize(("algorithm", "options"), [("ppo", RECIPE["hyperparameters"]), ("td3", TD3_OPTIONS)])
def test_untrained_it_corrects_nothing_and_training_moves_it(algorithm, options):
    model = learner("battery", algorithm=algorithm, hyperparameters=options)
    seen = model.get_env().reset()
    assert not model.predict(seen, deterministic=True)[0].any()
    model.learn(64)
    assert model.predict(seen, deterministic=True)[0].any()


def test_it_is_refused_elsewhere():
    with pytest.raises(ValueError, match=r"network = 'nodes' with algorithm = 'sac'.*valid is ppo, a2c, trpo"):
        TrainingConfig(**{**RECIPE, "algorithm": "sac"})

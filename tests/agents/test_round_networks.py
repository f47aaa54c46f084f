"""Equivariant networks of whole rounds: prices and joint actions follow permutations, values and critics stay."""

from __future__ import annotations

from collections.abc import Callable
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.torch
import torch
from stable_baselines3 import SAC
from stable_baselines3.common.base_class import BaseAlgorithm
from torch import Tensor

from agents.config import TrainingConfig
from agents.export import load_tensors, policy_tensors
from agents.learners import as_policy, build_env, build_learner
from agents.networks import EQUIVARIANT_POLICIES
from agents.networks.features import Prices, whole_round
from agents.networks.joint import _log_odds
from agents.networks.rounds import RoundEncoder, as_square, between
from agents.run_folder import load_checkpoint, save_checkpoint
from dmoe_gym.evaluation import evaluate
from dmoe_gym.facades.stable_baselines import BatchedVecEnv

SIZES = {"num_experts": 5, "num_states": 2, "num_subcarriers": 7, "num_layers": 2}
JOINT, PRICE = "DMoE-JESA-v0", "DMoE-JESA-Price-v0"
KINDS = [(JOINT, "ppo"), (PRICE, "ppo"), (PRICE, "sac")]
HYPERPARAMETERS: dict[str, dict[str, Any]] = {
    "ppo": {"n_steps": 8, "batch_size": 32, "gamma": 0.0},
    "sac": {"buffer_size": 2000, "learning_starts": 64, "gamma": 0.0, "batch_size": 64},
}

Observation = dict[str, np.ndarray]


def _config(env_id: str, algorithm: str, **sizes: int) -> TrainingConfig:
    return TrainingConfig(
        algorithm=algorithm,  # type: ignore[arg-type]
        env_id=env_id,
        scenario="small",
        overrides={**SIZES, **sizes},
        group="tiny",
        num_envs=6,
        total_timesteps=64,
        network={"kind": "equivariant", "width": 8},  # type: ignore[arg-type]
        hyperparameters=HYPERPARAMETERS[algorithm],
    )


def _model(env_id: str, algorithm: str, **sizes: int) -> tuple[BaseAlgorithm, Observation]:
    """A learner whose weights are all drawn, the last layers' too, and observations."""
    config = _config(env_id, algorithm, **sizes)
    env = build_env(config, seed=3)
    model = build_learner(config, env, seed=0)
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in model.policy.parameters():
            parameter += 0.3 * torch.randn(parameter.shape, generator=generator)
    return model, env.reset()  # type: ignore[return-value]


def _outputs(model: BaseAlgorithm, observation: Observation) -> tuple[Tensor, Tensor]:
    """What makes an action (B, ...), flat, and a value (B, ...), in double precision."""
    policy = model.policy.double()
    tensors = {key: torch.as_tensor(values, dtype=torch.float64) for key, values in observation.items()}
    with torch.no_grad():
        if isinstance(model, SAC):
            actor = model.actor.features_extractor(tensors)
            return actor, torch.cat(model.critic(tensors, torch.tanh(actor.chunk(2, -1)[0])), -1)
        features = policy.features_extractor(tensors)
        return features[:, :-1], features[:, -1:]


def _nodes(observation: Observation, order: np.ndarray) -> Observation:
    return {
        **observation,
        "gate_scores": observation["gate_scores"][:, order][..., order],
        "spectral_efficiency": observation["spectral_efficiency"][:, order][:, :, order],
        "computation_energy": observation["computation_energy"][:, order],
    }


def _subcarriers(observation: Observation, order: np.ndarray) -> Observation:
    return {**observation, "spectral_efficiency": observation["spectral_efficiency"][..., order]}


def _states(observation: Observation, order: np.ndarray) -> Observation:
    return {**observation, "gate_scores": observation["gate_scores"][:, :, order]}


def _parts(flat: Tensor, env_id: str) -> tuple[Tensor, Tensor]:
    """An action's numbers as an array over states (B, K, N, K) or nothing, and one over links (B, K, K, ...)."""
    experts, states, subcarriers = (SIZES[key] for key in ("num_experts", "num_states", "num_subcarriers"))
    if env_id == JOINT:
        bits = flat[:, : 2 * experts * states * experts].view(-1, experts, states, experts, 2)
        wishes = flat[:, 2 * experts * states * experts :].view(-1, experts * (experts - 1), subcarriers)
        return bits[..., 1], torch.stack([as_square(wish, experts) for wish in wishes.unbind(-1)], -1)
    links = experts * (experts - 1)
    moments = flat.split(links + 1, -1)
    return (
        torch.stack([moment[:, -1] for moment in moments], -1)[:, None, None, None].expand(
            -1, experts, states, experts, -1
        ),
        torch.stack([as_square(moment[:, :-1], experts) for moment in moments], -1),
    )


@pytest.mark.parametrize(("env_id", "algorithm"), KINDS)
@pytest.mark.parametrize(
    ("permute", "size", "of_states", "of_links"),
    [
        (_nodes, 5, lambda a, o: a[:, o][:, :, :, o], lambda a, o: a[:, o][:, :, o]),
        (_states, 2, lambda a, o: a[:, :, o], lambda a, o: a),
        (_subcarriers, 7, lambda a, o: a, lambda a, o: a[..., o] if a.shape[-1] == 7 else a),
    ],
    ids=["nodes", "states", "subcarriers"],
)
def test_actions_follow_permutations_and_values_stay(
    env_id: str,
    algorithm: str,
    permute: Callable[[Observation, np.ndarray], Observation],
    size: int,
    of_states: Callable[[Tensor, np.ndarray], Tensor],
    of_links: Callable[[Tensor, np.ndarray], Tensor],
) -> None:
    model, observation = _model(env_id, algorithm)
    order = np.roll(np.arange(size), 1)
    flat, value = _outputs(model, observation)
    other, other_value = _outputs(model, permute(observation, order))
    (states, links), (other_states, other_links) = _parts(flat, env_id), _parts(other, env_id)
    torch.testing.assert_close(other_states, of_states(states, order), atol=1e-9, rtol=1e-9)
    torch.testing.assert_close(other_links, of_links(links, order), atol=1e-9, rtol=1e-9)
    torch.testing.assert_close(other_value, value, atol=1e-9, rtol=1e-9)
    # and the test can fail: outputs of different links and rounds differ
    assert links.flatten(1).std(1).min() > 1e-6
    assert value.std() > 1e-6


def test_critics_take_the_action_link_by_link() -> None:
    """Another order of the links' prices alone is another action; with the nodes in that order it is the same one."""
    model, observation = _model(PRICE, "sac")
    assert isinstance(model, SAC)
    order = np.array([1, 0, 2, 4, 3])
    actions = torch.as_tensor(np.random.default_rng(0).uniform(-1, 1, (6, 21)))
    square = as_square(actions[:, :-1], 5)[:, order][:, :, order]
    permuted = torch.cat([between(square), actions[:, -1:]], -1)
    critic = model.critic.double()
    there = {key: torch.as_tensor(values, dtype=torch.float64) for key, values in observation.items()}
    here = {key: torch.as_tensor(values, dtype=torch.float64) for key, values in _nodes(observation, order).items()}
    for one, same, different in zip(
        critic(there, actions), critic(here, permuted), critic(there, permuted), strict=True
    ):
        torch.testing.assert_close(one, same, atol=1e-9, rtol=1e-9)
        assert (one - different).abs().max() > 1e-6


@pytest.mark.parametrize(("env_id", "algorithm"), KINDS)
@pytest.mark.parametrize(
    "sizes",
    [
        {"num_experts": 3, "num_states": 1, "num_subcarriers": 1},
        {"num_experts": 7, "num_states": 3, "num_subcarriers": 4},
        {"num_experts": 4, "num_states": 1, "num_subcarriers": 16, "max_experts": 1},
        {"num_experts": 6, "num_states": 2, "num_subcarriers": 9, "max_experts": 3},
    ],
    ids=str,
)
def test_the_same_tensors_act_at_other_sizes(env_id: str, algorithm: str, sizes: dict[str, int]) -> None:
    trained, _ = _model(env_id, algorithm)
    model, observation = _model(env_id, algorithm, **sizes)
    load_tensors(model, safetensors.torch.load(safetensors.torch.save(policy_tensors(trained))), Path("weights"))
    env = model.get_env()
    assert env is not None
    for _ in range(4):
        actions, _ = model.predict(observation)
        assert all(env.action_space.contains(action) for action in actions)
        observation, rewards, _, _ = env.step(actions)  # type: ignore[assignment]
        assert np.isfinite(rewards).all()


@pytest.mark.parametrize(("env_id", "algorithm"), KINDS)
def test_gradients_reach_every_weight(env_id: str, algorithm: str) -> None:
    model, observation = _model(env_id, algorithm, num_experts=4)
    policy = model.policy
    tensors, _ = policy.obs_to_tensor(observation)
    generator = torch.Generator().manual_seed(2)
    if isinstance(model, SAC):
        actions, log_prob = model.actor.action_log_prob(tensors)
        terms = [actions, log_prob, *model.critic(tensors, actions)]
        loose = set(model.critic_target.parameters())
    else:
        env = model.get_env()
        assert env is not None
        drawn = torch.as_tensor(np.stack([env.action_space.sample() for _ in range(6)]))
        terms, loose = list(policy.evaluate_actions(tensors, drawn)), set()  # type: ignore[attr-defined]
    # random weights: a logit and its negative must not cancel
    sum((term * torch.randn(term.shape, generator=generator)).sum() for term in terms).backward()  # type: ignore[union-attr]
    for name, parameter in policy.named_parameters():
        if parameter not in loose:
            assert parameter.grad is not None, name
            assert parameter.grad.abs().max() > 0, name


@pytest.mark.parametrize("algorithm", ["ppo", "sac"])
def test_untrained_prices_are_jesa(algorithm: str) -> None:
    config = _config(PRICE, algorithm)
    env = build_env(config, seed=5)
    actions, _ = build_learner(config, env, seed=0).predict(env.reset(), deterministic=True)  # type: ignore[arg-type]
    assert not actions.any()


def test_links_come_in_the_order_of_actions() -> None:
    """Entry by entry: i over senders, j over the other nodes."""
    links = torch.arange(2 * 9).view(2, 3, 3)
    flat = between(links)
    assert flat[0].tolist() == [1, 2, 3, 5, 6, 7]
    torch.testing.assert_close(as_square(flat, 3), links * (1 - torch.eye(3, dtype=torch.long)))


def test_log_odds_are_those_of_the_choices() -> None:
    """Against the enumeration of all choices of one or two experts."""
    draw = np.random.default_rng(0).normal(0, 3, (2, 3, 1, 4, 4))
    weights = draw + np.swapaxes(draw, -1, -2)
    found = _log_odds(torch.as_tensor(weights)).numpy()
    choices = [(j,) for j in range(4)] + list(combinations(range(4), 2))
    for place in np.ndindex(2, 3, 1):
        share = {choice: np.exp(weights[place][choice[0], choice[-1]]) for choice in choices}
        for j in range(4):
            inside = sum(value for choice, value in share.items() if j in choice)
            odds = np.log(inside) - np.log(sum(share.values()) - inside)
            np.testing.assert_allclose(found[place][j], min(odds, np.log(1 / np.expm1(1e-5))), rtol=1e-6)


def test_features_of_a_round_tell_the_physics() -> None:
    """Choices of one or two experts with shortfall priced, and how far the threshold must fall for the cheapest."""
    env = BatchedVecEnv(PRICE, 6, scenario="small", **SIZES)
    env.seed(3)
    observation = env.reset()
    constants = env.core.constants  # type: ignore[attr-defined]
    prices = Prices(constants.transmission, constants.shortfall_price, constants.max_experts)
    tensors = {key: torch.as_tensor(values, dtype=torch.float64) for key, values in observation.items()}
    seen = whole_round(tensors, prices)
    encoded = RoundEncoder(prices, 4).double()(tensors)
    lowered = 0
    for row, i, n in np.ndindex(6, 5, 2):
        scores = observation["gate_scores"][row, i, n].astype(float)
        efficiency = observation["spectral_efficiency"][row, i].max(-1)
        energy = observation["computation_energy"][row].astype(float)
        remote = np.arange(5) != i
        energy[remote] += np.minimum(constants.transmission / efficiency[remote], 20.0)
        target = min(float(observation["threshold"][row, 0]), np.sort(scores)[-2:].sum())
        np.testing.assert_allclose(seen.energy[row, i], energy, rtol=1e-5)
        best, served = np.inf, 0.0
        for choice in [(j,) for j in range(5)] + list(combinations(range(5), 2)):
            relevance = scores[list(choice)].sum()
            cost = energy[list(choice)].sum() + constants.shortfall_price * max(0.0, target - relevance)
            np.testing.assert_allclose(encoded.soft[row, i, n, choice[0], choice[-1]], min(cost, 40.0), rtol=1e-4)
            if cost < best:
                best, served = cost, relevance
        # the action 1 multiplies the threshold by 1.5
        factor = float(encoded.needed[row, i, n])
        np.testing.assert_allclose(1.5**factor * target, min(served, target), rtol=1e-6)
        lowered += factor < 0
    assert lowered > 0


def test_prices_learn_to_cost_less_than_jesa() -> None:
    config = _config(PRICE, "ppo").replace(
        overrides={},
        training_overrides={"num_layers": 1},
        num_envs=128,
        hyperparameters={"n_steps": 8, "batch_size": 512, "n_epochs": 4, "learning_rate": 0.004, "gamma": 0.0},
    )
    model = build_learner(config, build_env(config, seed=0), seed=0)

    def cost() -> float:
        rows = evaluate(as_policy(model), PRICE, scenario="small", seeds=range(950_000, 950_025), check=False)
        return float(np.mean([row["cost"] for row in rows]))

    before = cost()
    model.learn(4096)
    assert cost() < before * (1 - 5e-4)


def test_critics_learn_what_prices_cost() -> None:
    """By SAC's own updates, against rounds and actions that they were not trained on."""
    config = _config(PRICE, "sac").replace(
        overrides={},
        num_envs=16,
        hyperparameters={
            **HYPERPARAMETERS["sac"],
            "learning_starts": 1600,
            "learning_rate": 0.003,
            "gradient_steps": 60,
            "ent_coef": 0.01,
        },
    )
    model = build_learner(config, build_env(config, seed=0), seed=0)
    assert isinstance(model, SAC)
    env = build_env(config, seed=1, num_envs=256)
    observation = env.reset()
    actions = np.random.default_rng(0).uniform(-1, 1, (256, 13)).astype(np.float32)
    _, rewards, _, _ = env.step(actions)

    def error() -> float:
        with torch.no_grad():
            values = model.critic(model.policy.obs_to_tensor(observation)[0], torch.as_tensor(actions))  # type: ignore[arg-type]
        return float(np.square(values[0][:, 0].numpy() - rewards).mean())

    before = error()
    model.learn(1632)
    assert error() < 0.5 * min(before, float(np.var(rewards)))


@pytest.mark.parametrize(("env_id", "algorithm"), KINDS)
def test_checkpoints_give_the_same_actions_again(env_id: str, algorithm: str, tmp_path: Path) -> None:
    model, observation = _model(env_id, algorithm)
    save_checkpoint(model, tmp_path / "checkpoint.pt")
    config = _config(env_id, algorithm)
    other = build_learner(config, build_env(config, seed=8), seed=9)
    load_checkpoint(other, tmp_path / "checkpoint.pt")
    np.testing.assert_array_equal(
        model.predict(observation, deterministic=True)[0], other.predict(observation, deterministic=True)[0]
    )


def test_policies_name_what_they_read() -> None:
    env = BatchedVecEnv(PRICE, 2, scenario="small")
    policy = EQUIVARIANT_POLICIES["DMoE-JESA-Sequential-v0", "maskable_ppo"]
    with pytest.raises(ValueError, match="reads allocated, selected, turn, valid is DMoE-JESA-Sequential-v0"):
        policy(env.observation_space, env.action_space, lambda _: 1e-3, prices=Prices(1, 1, 2))

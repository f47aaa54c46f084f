"""Every learner by its name in a recipe, from training to shipped weights, and a user's own."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from gymnasium import spaces
from stable_baselines3 import PPO
from stable_baselines3.common.policies import MultiInputActorCriticPolicy
from typer.testing import CliRunner

from agents import NetworkKind, register
from agents.__main__ import app
from agents.config import ALGORITHMS, IMPORTED, NETWORKS, TrainingConfig, dump_config, load_config
from agents.evaluate import LearnedPolicy, load_run
from agents.export import export_run
from agents.learners import build_env, build_learner
from agents.run_folder import load_checkpoint, normalization_tensors, save_checkpoint
from agents.train import train
from dmoe_gym.evaluation import evaluate
from dmoe_gym.io.yaml_file import dump_yaml

ON_POLICY = {"n_steps": 8, "batch_size": 16, "n_epochs": 1}
OFF_POLICY = {"buffer_size": 200, "learning_starts": 16, "batch_size": 8}
# where each acts, and what makes it quick
LEARNERS: dict[str, tuple[str, dict[str, Any]]] = {
    "ppo": ("WDMoE-v0", ON_POLICY),
    "a2c": ("WDMoE-v0", {"n_steps": 8}),
    "trpo": ("WDMoE-v0", {"n_steps": 8, "batch_size": 16}),
    "recurrent_ppo": ("WDMoE-v0", ON_POLICY),
    "sac": ("WDMoE-v0", OFF_POLICY),
    "td3": ("WDMoE-v0", {**OFF_POLICY, "action_noise": 0.1}),
    "ddpg": ("WDMoE-v0", {**OFF_POLICY, "train_freq": [2, "step"]}),
    "tqc": ("WDMoE-v0", OFF_POLICY),
    "crossq": ("DMoE-JESA-Residual-v0", OFF_POLICY),
    "ars": ("DMoE-JESA-Residual-v0", {"n_delta": 2, "delta_std": 0.1}),
    "dqn": ("ChannelAwareGating-v0", OFF_POLICY),
    "qrdqn": ("ChannelAwareGating-v0", OFF_POLICY),
    "maskable_ppo": ("DMoE-JESA-Sequential-v0", ON_POLICY),
}
SCENARIOS = {
    "DMoE-JESA-Residual-v0": "small",
    "WDMoE-v0": "testbed",
    "ChannelAwareGating-v0": "analog",
    "DMoE-JESA-Sequential-v0": "small",
}


def _recipe(learner: str, **changes: Any) -> TrainingConfig:
    env_id, hyperparameters = LEARNERS[learner]
    fields: dict[str, Any] = {
        "algorithm": learner,
        "env_id": env_id,
        "scenario": SCENARIOS[env_id],
        "group": "learners",
        "num_envs": 4,
        "total_timesteps": 64,
        "network": [8],
        "hyperparameters": hyperparameters,
        "evaluation": {"episodes": 2, "every": 64, "untrained": False, "references": ["random"]},
    }
    return TrainingConfig(**{**fields, **changes})


def _trained(config: TrainingConfig, root: Path) -> Path:
    return train(config, "quick", 0, root, []).path


def _costs(path: Path) -> list[float]:
    config, policy = load_run(path)
    rows = evaluate(policy, config.env_id, scenario=config.scenario, seeds=range(1_000_000, 1_000_003))
    return [row["cost"] for row in rows]


@pytest.mark.parametrize("algorithm", LEARNERS)
def test_every_learner_goes_from_recipe_to_shipped_weights(algorithm: str, tmp_path: Path) -> None:
    config = _recipe(algorithm, normalization=algorithm in ("ppo", "sac", "recurrent_ppo"))
    run = _trained(config, tmp_path)
    _, policy = load_run(run)
    assert isinstance(policy.model, ALGORITHMS[algorithm])
    shipped = export_run(run, tmp_path / "weights", policy.model, [])
    assert _costs(shipped) == _costs(run)


def test_the_dictionary_has_every_learner_of_the_two_libraries() -> None:
    import sb3_contrib
    import stable_baselines3
    from stable_baselines3.common.base_class import BaseAlgorithm

    published = {
        kind
        for library in (stable_baselines3, sb3_contrib)
        for kind in vars(library).values()
        if isinstance(kind, type) and issubclass(kind, BaseAlgorithm)
    }
    assert published <= set(ALGORITHMS.values())


def test_statistics_of_normalization_travel_as_tensors(tmp_path: Path) -> None:
    """Loaded statistics are the trained ones, and observations are prepared as training prepared them."""
    config = _recipe("ppo", normalization={"clip_observations": 2.0})
    run = _trained(config, tmp_path)
    loaded = load_run(run)[1]
    kept = normalization_tensors(loaded.model)
    # every environment at every step, and at its first reset; SB3 starts counting at 1e-4
    assert kept["normalization.reward.count"] == pytest.approx(64 + 1e-4)
    assert {name.split(".")[1] for name in kept} == {"observation", "reward"}
    env = build_env(config, seed=5)
    raw = {key: values.copy() for key, values in env.unwrapped.reset().items()}
    seen, _ = loaded._prepared(raw, None, None)
    for key, values in raw.items():
        mean, variance = kept[f"normalization.observation.{key}.mean"], kept[f"normalization.observation.{key}.var"]
        expected = ((torch.as_tensor(values) - mean) / (variance + 1e-8).sqrt()).clamp(-2, 2)
        np.testing.assert_allclose(seen[key], expected.numpy(), rtol=1e-5, atol=1e-6)


def test_checkpoints_keep_temperature_and_counters(tmp_path: Path) -> None:
    config = _recipe("sac")
    env = build_env(config, seed=0)
    model = build_learner(config, env, seed=0).learn(64)
    save_checkpoint(model, tmp_path / "checkpoint.pt")
    other = build_learner(config, env, seed=1)
    assert other.log_ent_coef.item() != model.log_ent_coef.item()
    load_checkpoint(other, tmp_path / "checkpoint.pt")
    assert other.log_ent_coef.item() == model.log_ent_coef.item()
    assert other.log_ent_coef is other.ent_coef_optimizer.param_groups[0]["params"][0]
    assert other._n_updates == model._n_updates > 0


class _Echo:
    """A model whose action is what it was shown."""

    observation_space = spaces.Box(-1, 1, (3,))

    def get_vec_normalize_env(self) -> None:
        return None

    def get_env(self) -> None:
        return None

    def predict(self, observation: Any, state: Any, episode_start: Any, deterministic: bool) -> tuple[Any, Any]:
        return observation, state


def test_a_learning_rate_falls_linearly_and_goes_on_falling_after_an_interruption() -> None:
    """Four updates of 32 steps: each takes the rate of the steps that are behind it."""
    falling = {"learning_rate": "lin_0.004", "n_steps": 8, "batch_size": 32, "n_epochs": 1}
    config = _recipe("ppo", env_id="DMoE-JESA-Residual-v0", scenario="small", hyperparameters=falling)
    rates: dict[int, list[float]] = {}
    for done in (0, 64):
        model = build_learner(config, build_env(config, seed=0), seed=0)
        model.num_timesteps = done
        learned, rates[done] = model.train, []

        def train(learned=learned, model=model, done=done) -> None:
            learned()
            rates[done].append(model.policy.optimizer.param_groups[0]["lr"])

        model.train = train
        model.learn(128 - done, reset_num_timesteps=done == 0)
    assert rates[0] == pytest.approx([0.003, 0.002, 0.001, 0.0])
    assert rates[64] == pytest.approx(rates[0][2:])


def test_history_is_stacked_as_the_training_environments_stack_it(tmp_path: Path) -> None:
    """What the policy makes of single observations is what training saw, over the ends of episodes."""
    config = _recipe("ppo", env_id="DMoE-JESA-Residual-v0", scenario="small", history=3, overrides={"num_layers": 2})
    policy = load_run(_trained(config, tmp_path))[1]
    stacked, plain = (build_env(config.replace(history=history), seed=3) for history in (3, 1))
    expected, observation = stacked.reset(), plain.reset()
    state, starts = None, np.ones(4, bool)
    for _ in range(5):
        seen, past = policy._prepared(observation, None if state is None else state[0], starts)
        np.testing.assert_array_equal(seen, expected)
        state = (past, None)
        actions = np.zeros((4, *plain.action_space.shape), np.float32)
        expected, observation, starts = stacked.step(actions)[0], *plain.step(actions)[::2]


def test_history_forgets_the_episode_before() -> None:
    """Newest last, zeros before an episode's first observation."""
    policy = LearnedPolicy(_Echo())  # type: ignore[arg-type]
    policy.history = 3
    state, starts = None, np.array([True, True])
    shown = []
    for step in range(1, 5):
        observation = np.array([[step], [10.0 * step]])
        stacked, state = policy.predict(observation, state, starts)
        shown.append(stacked.tolist())
        starts = np.array([False, step == 2])  # the second environment's third observation begins an episode
    assert shown == [
        [[0, 0, 1], [0, 0, 10]],
        [[0, 1, 2], [0, 10, 20]],
        [[1, 2, 3], [0, 0, 30]],
        [[2, 3, 4], [0, 30, 40]],
    ]


def test_recurrent_policies_carry_their_state() -> None:
    """The second action depends on the first observation, unless an episode starts between them."""
    config = _recipe("recurrent_ppo")
    env = build_env(config, seed=0)
    policy = LearnedPolicy(build_learner(config, env, seed=0))
    first, other = ({key: values + shift for key, values in env.reset().items()} for shift in (0.0, 1.0))
    second = env.reset()

    def act(before: Any, starts: bool) -> np.ndarray:
        _, state = policy.predict(before, None, np.ones(4, bool))
        return policy.predict(second, state, np.full(4, starts))[0]

    assert not np.array_equal(act(first, False), act(other, False))
    np.testing.assert_array_equal(act(first, True), act(other, True))


class OwnPPO(PPO):
    """A user's algorithm."""


class OwnNetwork(NetworkKind):
    """A user's network.

    Attributes:
        layers: how many of width 4.
    """

    kind: str = "own_network"
    layers: int = 1

    def check(self, recipe: TrainingConfig) -> None:
        if recipe.num_envs > 8:
            raise ValueError(f"num_envs = {recipe.num_envs}: valid for own_network are at most 8")

    def policy(self, recipe: TrainingConfig, env: Any) -> tuple[Any, dict[str, Any]]:
        assert isinstance(env.observation_space, spaces.Dict)
        return MultiInputActorCriticPolicy, {"net_arch": [4] * self.layers}


@pytest.fixture
def _own_kinds() -> Iterator[None]:
    register("own_ppo", OwnPPO)
    register("own_network", OwnNetwork)
    yield
    del ALGORITHMS["own_ppo"], NETWORKS["own_network"]


@pytest.mark.usefixtures("_own_kinds")
def test_an_own_algorithm_and_network_are_named_in_a_recipe(tmp_path: Path) -> None:
    config = _recipe("ppo", algorithm="own_ppo", network={"kind": "own_network", "layers": 2})
    (tmp_path / "recipe.yaml").write_text(dump_config(config))
    assert load_config(tmp_path / "recipe.yaml") == config
    run = _trained(config, tmp_path)
    _, policy = load_run(run)
    assert isinstance(policy.model, OwnPPO)
    assert policy.model.policy.net_arch == [4, 4]
    assert _costs(export_run(run, tmp_path / "weights", policy.model, [])) == _costs(run)
    with pytest.raises(ValueError, match="num_envs = 9: valid for own_network are at most 8"):
        config.replace(num_envs=9)
    with pytest.raises(ValueError, match=r"own_ppo.* is taken by OwnPPO"):
        register("own_ppo", PPO)
    with pytest.raises(ValueError, match="valid are subclasses of BaseAlgorithm and NetworkKind"):
        register("own", dict)  # type: ignore[arg-type]


def test_the_page_on_own_learners_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """docs/guides/stable_baselines.md's module, imported by the command."""
    page = Path("docs/guides/stable_baselines.md").read_text()
    (tmp_path / "my_learners.py").write_text(next(re.finditer(r"```python\n(# my_learners.*?)```", page, re.S))[1])
    monkeypatch.syspath_prepend(tmp_path)
    fields = _recipe("ppo").model_dump(mode="json")
    fields |= {"algorithm": "my_ppo", "network": {"kind": "deep", "layers": 2}}
    (tmp_path / "recipe.yaml").write_text(dump_yaml(fields))
    arguments = ["train", str(tmp_path / "recipe.yaml"), "--runs", str(tmp_path), "--jobs", "1", "--no-progress"]
    try:
        result = CliRunner().invoke(app, ["--import", "my_learners", *arguments])
        assert result.exit_code == 0, result.output
        _, policy = load_run(tmp_path / "learners" / "recipe-seed0")
        assert type(policy.model).__name__ == "MyPPO"
        assert policy.model.policy.net_arch == [32, 32]
    finally:
        ALGORITHMS.pop("my_ppo", None)
        NETWORKS.pop("deep", None)
        IMPORTED.clear()
    unknown = CliRunner().invoke(app, ["--import", "nobodys_learners", *arguments])
    assert unknown.exit_code == 2
    assert "--import nobodys_learners: No module named" in unknown.output

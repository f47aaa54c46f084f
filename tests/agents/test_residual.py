"""Residual schedulers: the analytic one where the network is silent, and what their parts promise."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from agents.__main__ import app
from agents.config import TrainingConfig
from agents.learners import build_env, build_learner
from agents.networks.shared import SharedNetwork
from agents.policy import load_run
from agents.replay import ReplayCore, record
from agents.residual import RESIDUALS, ResidualEvolution, Surveyed, build_residual
from dmoe_gym.dmoe import scenario
from dmoe_gym.dmoe.env.joint import JointCore
from dmoe_gym.dmoe.policies import JointPolicy
from dmoe_gym.dmoe.schedulers.rounds import OneShot, ValueGreedy
from dmoe_gym.dmoe.schedulers.tuned import TUNABLE
from dmoe_gym.evaluation import evaluate
from dmoe_gym.io.files import read_csv

SCENARIOS = {
    "JESA-battery": ("battery", {"strength": 2.0, "power": 4.0}),
    "Lagrangian-adaptive": ("budget", {"multiplier": 2.5, "gain": 3.0}),
    "JESA-expected": ("mobile", {"caution": 1.0}),
    "value-greedy-search": ("selective", {}),
    "one-shot": ("scarce", {"candidates": 2}),
}
# analytic schedulers underneath that are not tuned
PLAIN = {"value-greedy-search": ValueGreedy, "one-shot": lambda config: OneShot(config, candidates=2)}
SHORT = {"num_experts": 4, "num_subcarriers": 6, "num_layers": 3}


def _recipe(underneath: str, **changes: Any) -> TrainingConfig:
    name, parameters = SCENARIOS[underneath]
    fields: dict[str, Any] = {
        "algorithm": "evolution",
        "env_id": "DMoE-JESA-v0",
        "scenario": name,
        "overrides": SHORT,
        "group": "short",
        "num_envs": 3,
        "total_timesteps": 1,
        "network": {"kind": "residual", "underneath": underneath, "parameters": parameters, "width": 3},
        "hyperparameters": {"pairs": 2},
    }
    return TrainingConfig(**{**fields, **changes})


def _learner(underneath: str, **changes: Any) -> ResidualEvolution:
    config = _recipe(underneath, **changes)
    learner = build_learner(config, build_env(config, 0), 0)
    assert isinstance(learner, ResidualEvolution)
    return learner


@given(st.integers(0, 2**32 - 1), st.integers(0, 4))
def test_the_network_follows_permutations_and_starts_silent(seed: int, width: int) -> None:
    generator = np.random.default_rng(seed)
    network = SharedNetwork(5, 2, width)
    inputs = generator.standard_normal((2, 3, 4, 5))
    assert not network(np.stack([network.initial(generator)] * 2), inputs).any()
    parameters = generator.standard_normal((2, network.size))
    outputs = network(parameters, inputs)
    order = generator.permutation(4)
    np.testing.assert_allclose(network(parameters, inputs[:, :, order]), outputs[:, :, order], atol=1e-12)
    # every candidate on its own: the same as all together
    np.testing.assert_allclose(network(parameters[1:], inputs[1:]), outputs[1:], atol=1e-12)


@pytest.mark.parametrize("underneath", RESIDUALS)
def test_an_untrained_residual_scheduler_is_the_analytic_one(underneath: str) -> None:
    name, parameters = SCENARIOS[underneath]
    config = scenario(name).replace(**SHORT)
    build = PLAIN.get(underneath) or partial(TUNABLE[underneath][0], **parameters)
    planner = build(config)
    learner = _learner(underneath)
    costs = [
        [row["cost"] for row in evaluate(policy, "DMoE-JESA-v0", scenario=name, seeds=range(20), **SHORT)]
        for policy in (learner, JointPolicy(planner))
    ]
    assert costs[0] == costs[1]


@pytest.mark.parametrize("underneath", RESIDUALS)
def test_what_is_seen_of_an_episode_is_forgotten_at_the_next(underneath: str) -> None:
    learner = _learner(underneath)
    learner.policy.parameters_vector.data += 0.3 * torch.randn(len(learner.policy.parameters_vector))
    name, _ = SCENARIOS[underneath]
    core = JointCore(2, scenario(name).replace(**SHORT))
    core.seed([0, 1], [(5, 0), (6, 0)])
    core.start(core.all_rows)
    first = {key: values.copy() for key, values in core.observations.items()}
    actions, state = learner.predict(first)
    core.step(actions, core.all_rows)
    _, state = learner.predict(core.observations, state)
    again, _ = learner.predict(first, state)
    np.testing.assert_array_equal(again, actions)
    # one observation alone gets the action that it gets in a batch
    alone, _ = learner.predict({key: values[1] for key, values in first.items()})
    np.testing.assert_array_equal(alone, actions[1])


def test_replayed_episodes_are_the_recorded_ones() -> None:
    """A scheduler pays in every copy what it pays in the environment itself."""
    for name in ("battery", "budget", "mobile"):
        config = scenario(name).replace(**SHORT)
        core = JointCore(3, config)
        core.seed(core.all_rows, [(9, row) for row in range(3)])
        replay = ReplayCore(config, record(core), 2)
        core.seed(core.all_rows, [(9, row) for row in range(3)])
        core.start(core.all_rows)
        replay.start(replay.all_rows)
        generator = np.random.default_rng(1)
        while not core.terminated.all():
            for key, values in core.observations.items():
                np.testing.assert_array_equal(replay.observations[key], np.concatenate([values, values]), key)
            actions = np.stack([generator.integers(core.action_space.nvec) for _ in range(3)])
            core.step(actions, core.all_rows)
            replay.step(np.concatenate([actions, actions]), replay.all_rows)
            np.testing.assert_array_equal(replay.rewards, np.concatenate([core.rewards, core.rewards]))
        assert replay.terminated.all()


@pytest.mark.parametrize("underneath", ["JESA-expected", "value-greedy-search"])
def test_detours_never_end_above_the_analytic_schedule(underneath: str) -> None:
    """By the cost that they are valued by; and one detour alone saves what the survey says it does."""
    name, parameters = SCENARIOS[underneath]
    config = scenario(name).replace(**SHORT)
    learner = _learner(underneath)
    core = JointCore(6, config)
    core.seed(core.all_rows, [(3, row) for row in range(6)])
    recording = record(core)
    residual = build_residual(underneath, config, {**parameters, "tries": 1})
    assert isinstance(residual, Surveyed)
    core = ReplayCore(config, recording, 1)
    core.start(core.all_rows)
    memory = residual.start(6)
    saved = 0.0
    generator = np.random.default_rng(0)
    while not core.terminated.all():
        seen = residual.see(core.observations, memory)
        savings = residual.survey(core.observations, seen)
        outputs = generator.random((6, 16, 1)) + 0.1
        planned = residual.plan(core.observations, seen, outputs)
        after = {**seen, "selected": planned[0], "subcarrier": planned[1]}
        costs = np.empty((6, 4))
        for row, (layer, arguments) in enumerate(residual._rounds(core.observations, *planned)):
            residual._node_costs(layer, *arguments, costs[row])
        best = residual.valued(seen, savings, outputs[None])[0]
        np.testing.assert_allclose(costs.sum(-1) / residual._scale, best, atol=1e-9)
        assert (best <= seen["costs"].sum(-1) / residual._scale + 1e-12).all()
        assert after["selected"].any(-1).all()
        saved += float(savings.sum())
        core.skip_round(core.all_rows)
    if underneath == "JESA-expected":
        assert saved > 0
    assert learner.policy.residual.surveyed


def test_the_gradient_points_down_a_known_slope(monkeypatch: pytest.MonkeyPatch) -> None:
    """Costs that fall along one direction and nothing else: Adam goes there."""
    learner = _learner("JESA-battery", hyperparameters={"pairs": 5000, "learning_rate": 0.01})
    size = len(learner.policy.parameters_vector)
    slope = np.linspace(-1, 1, size)
    monkeypatch.setattr(learner, "costs", lambda recording, looks, parameters: (parameters @ slope)[:, None])
    before = learner.policy.parameters_vector.detach().numpy().copy()
    learner._generation(None, [])  # type: ignore[arg-type]
    moved = learner.policy.parameters_vector.detach().numpy() - before
    steep = np.abs(slope) > 0.5
    assert (np.sign(moved[steep]) == -np.sign(slope[steep])).all()


def test_train_resume_and_load(tmp_path: Path) -> None:
    file = tmp_path / "short.yaml"
    config = _recipe("JESA-expected", total_timesteps=20)
    fields = config.model_dump(mode="json")
    fields["evaluation"] = {"episodes": 3, "every": 9, "references": ["JESA", "JESA-expected"]}
    fields["checkpoint_every"] = 9
    file.write_text(yaml.safe_dump(fields))
    arguments = ["train", str(file), "--runs", str(tmp_path / "runs"), "--jobs", "1"]
    result = CliRunner().invoke(app, arguments)
    assert result.exit_code == 0, result.output
    folder = tmp_path / "runs/short/short-seed0"
    assert {row["policy"] for row in read_csv(tmp_path / "runs/short/references.csv")} == {"JESA", "JESA-expected"}
    content = torch.load(folder / "checkpoint.pt", weights_only=True)
    assert content["num_timesteps"] >= 20
    trained = content["parameters"]["policy"]["parameters_vector"]
    _, policy = load_run(folder)
    assert torch.equal(policy.model.policy.parameters_vector, trained)  # type: ignore[attr-defined]
    rows = read_csv(folder / "evaluations.csv")
    again = evaluate(policy, "DMoE-JESA-v0", scenario="mobile", seeds=range(1_000_000, 1_000_003), **SHORT)
    last = [row["cost"] for row in rows if row["step"] == rows[-1]["step"]]
    assert [row["cost"] for row in again] == last
    content["num_timesteps"] = 9
    torch.save(content, folder / "checkpoint.pt")
    assert CliRunner().invoke(app, [*arguments, "--resume"]).exit_code == 0
    assert torch.load(folder / "checkpoint.pt", weights_only=True)["num_timesteps"] >= 18


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"network": [8]}, "residual network goes with evolution"),
        ({"algorithm": "ppo", "hyperparameters": {}}, "residual network goes with evolution"),
        ({"network": {"kind": "residual", "underneath": "JESA"}}, "valid are JESA-battery"),
        ({"network": {"kind": "residual", "underneath": "JESA-expected"}, "scenario": "battery"}, None),
        ({"network": {"kind": "residual", "underneath": "Lagrangian-adaptive"}}, "relevance_budget = None"),
        ({"network": {"kind": "residual", "underneath": "JESA-battery", "parameters": {"force": 1}}}, "force"),
        ({"hyperparameters": {"pairs": 0}}, "pairs = 0"),
    ],
)
def test_bad_recipes_are_refused(change: dict[str, Any], words: str | None) -> None:
    def build() -> None:
        config = _recipe("JESA-battery", **change)
        build_learner(config, build_env(config, 0), 0)

    if words is None:  # odd but meaningful: knowledge is perfect, batteries are not looked at
        build()
        return
    with pytest.raises(ValueError, match=words):
        build()

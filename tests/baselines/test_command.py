"""`python -m baselines` as a user calls it."""

import sys

import pytest
from typer.testing import CliRunner

from baselines.__main__ import app
from dmoe_gym.evaluation import evaluate, line_up_of
from dmoe_gym.io.files import read_csv

runner = CliRunner()


def test_evaluate_prints_the_table_and_writes_all_rows(tmp_path):
    file = tmp_path / "rows.csv"
    result = runner.invoke(
        app,
        ["evaluate", "DMoE-JESA-v0", "--scenario", "small", "--episodes", "2", "--jobs", "1", "--output", str(file)],
    )
    assert result.exit_code == 0, result.output
    for word in ("random", "JESA", "exact", "lower-bound", "energy per", "gap to"):
        assert word in result.output
    rows = read_csv(file)
    line_up = line_up_of("DMoE-JESA-v0", "small")
    assert {row["policy"] for row in rows} == {*line_up.policies, *line_up.bounds}
    assert len(rows) == 2 * (len(line_up.policies) + len(line_up.bounds))
    assert {row["seed"] for row in rows} == {1_000_000, 1_000_001}


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["DMoE-JESA-v0", "--scenario", "smal"], "scenario = 'smal': valid are small"),
        (["DMoE-JESA-v0", "--set", "colour=1"], "unexpected keyword argument 'colour'; valid fields are"),
        (["DMoE-JESA-v0", "--set", "threshold"], "valid is FIELD=VALUE"),
        (["DMoE-JESA-v0", "--set", "threshold=2"], "DMoEConfig.threshold = 2"),
        (["DMoE-Nothing-v0"], "DMoE-Nothing"),
        (["DMoE-JESA-v0", "--policy", "nobody"], "policy = 'nobody': valid for DMoE-JESA-v0 are random"),
    ],
)
def test_bad_input_is_one_line_and_exit_code_2(arguments, said, tmp_path):
    file = tmp_path / "rows.csv"
    result = runner.invoke(app, ["evaluate", *arguments, "--episodes", "1", "--output", str(file)])
    assert result.exit_code == 2
    assert said in result.stderr
    assert result.stderr.count("\n") == 1
    assert not file.exists()


def test_list_names_every_environment():
    result = runner.invoke(app, ["list"])
    assert result.exit_code == 0
    assert "DMoE-JESA-Sequential-v0" in result.output


OWN = """
import numpy as np
from dmoe_gym.dmoe.env.joint import encode_joint

class Best:
    def predict(self, observation, state=None, episode_start=None, deterministic=True):
        scores = observation["gate_scores"]
        selected = scores == scores.max(-1, keepdims=True)
        return encode_joint(selected, observation["spectral_efficiency"].argmax(-1)), state

class Zeros:
    def __init__(self, config):
        self.size = config.num_experts * (config.num_experts - 1) + 1
    def predict(self, observation, state=None, episode_start=None, deterministic=True):
        return np.zeros((len(observation["gate_scores"]), self.size), np.float32), state

class Bare(Best):
    def predict(self, *arguments, **options):
        return super().predict(*arguments, **options)[0]

class Deaf:
    def predict(self, observation):
        return 0, None

class Mute:
    pass

class Greedy:
    def __init__(self, config, other):
        pass

number = 3
"""
SMALL = ["DMoE-JESA-v0", "--scenario", "small", "--episodes", "2", "--jobs", "1"]


@pytest.fixture
def own(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    (tmp_path / "own.py").write_text(OWN)
    monkeypatch.delitem(sys.modules, "own", raising=False)
    return tmp_path


def test_a_policy_of_ones_own_is_in_table_picture_and_tensorboard(own):
    arguments = [
        "--policy",
        "own:Best",
        "--policy",
        "again=own:Best",
        "-p",
        "JESA",
        "-p",
        "random",
        "-p",
        "lower-bound",
    ]
    result = runner.invoke(app, ["evaluate", *SMALL, *arguments, "--report", "report"])
    assert result.exit_code == 0, result.output
    rows = read_csv(own / "report" / "rows.csv")
    assert {row["policy"] for row in rows} == {"Best", "again", "JESA", "random", "lower-bound"}
    costs = {name: [row["cost"] for row in rows if row["policy"] == name] for name in ("Best", "again")}
    assert costs["Best"] == costs["again"]
    assert "Best" in result.output
    assert "| Best |" in (own / "report" / "report.md").read_text()
    assert (own / "report" / "costs.png").stat().st_size > 1000
    runs = {path.parent.name for path in (own / "report").rglob("events.out.tfevents.*")}
    assert runs == {"Best", "again", "baseline-JESA", "baseline-random"}


def test_a_policy_of_ones_own_acts_in_the_environment_that_is_named(own):
    result = runner.invoke(
        app, ["evaluate", "DMoE-JESA-Price-v0", *SMALL[1:], "-p", "own:Zeros", "-p", "JESA", "--output", "rows.csv"]
    )
    assert result.exit_code == 0, result.output
    rows = read_csv(own / "rows.csv")
    zeros, jesa = ([row["cost"] for row in rows if row["policy"] == name] for name in ("Zeros", "JESA"))
    assert zeros == pytest.approx(jesa)


@pytest.mark.parametrize(
    ("policy", "said"),
    [
        ("nowhere:Best", "policy = 'nowhere:Best': ModuleNotFoundError: No module named 'nowhere'"),
        ("own:Worst", "has no attribute 'Worst'"),
        ("own:", "valid is MODULE:OBJECT"),
        ("own:Mute", "valid are schedulers, policies"),
        ("own:number", "3"),
        ("own:Greedy", "missing 1 required positional argument"),
        ("own:Deaf", "valid is predict(observation, state, episode_start, deterministic)"),
        ("own:Bare", "Bare.predict: gave ndarray alone, valid is a pair (action, state)"),
        ("JESA=own:Best", "the line-up has one of that name"),
    ],
)
def test_what_is_no_policy_is_refused_in_one_line(own, policy, said):
    result = runner.invoke(app, ["evaluate", *SMALL, "-p", "JESA", "--policy", policy])
    assert result.exit_code == 2, result.output
    assert said in result.stderr
    assert result.stderr.count("\n") == 1


def test_evaluations_are_compared_across_files_of_the_same_episodes(own):
    for name in ("JESA", "top-1", "random"):
        scenario = "paper" if name == "random" else "small"
        result = runner.invoke(
            app, ["evaluate", SMALL[0], "--scenario", scenario, *SMALL[3:], "-p", name, "--output", f"{name}.csv"]
        )
        assert result.exit_code == 0, result.output
    result = runner.invoke(app, ["compare", "JESA.csv", "top-1.csv"])
    assert result.exit_code == 0, result.output
    rows = evaluate(line_up_of("DMoE-JESA-v0", "small").policies["top-1"], "DMoE-JESA-v0", scenario="small",
                    seeds=range(1_000_000, 1_000_002))  # fmt: skip
    assert f"{sum(row['cost'] for row in rows) / 2:.4f}" in result.output
    (own / "other.csv").write_text("policy,cost\nmine,1\n")
    text = (own / "JESA.csv").read_text()
    (own / "twice.csv").write_text(text + text.splitlines()[1] + "\n")
    header, *lines = text.splitlines()
    steps = [f"{line},{step}" for step in (0, 1) for line in lines]
    (own / "steps.csv").write_text("\n".join([f"{header},step", *steps]) + "\n")
    (own / "longer.csv").write_text(text + lines[0].replace("1000000", "1000009") + "\n")
    # of a policy in two files the first one's rows, all of them and no other
    shown = [runner.invoke(app, ["compare", *files]).output for files in (["JESA.csv"], ["JESA.csv", "longer.csv"])]
    assert shown[0] == shown[1]
    cost = str(read_csv(own / "JESA.csv")[0]["cost"])
    for name, value in (("nan", "nan"), ("text", "low")):
        (own / f"{name}.csv").write_text(text.replace(cost, value))
    for arguments, said in (
        (["JESA.csv", "random.csv"], "are of 2 configurations"),
        (["own.py"], "own.py: a line has more or fewer cells"),
        (["other.csv"], "other.csv: is no file that `evaluate` wrote"),
        (["JESA.csv", "--reference", "nobody"], "reference = 'nobody': valid are JESA"),
        (["twice.csv"], "twice.csv: 'JESA' has seed 1000000 twice"),
        (["steps.csv"], "steps.csv: has JESA at several steps; valid is one evaluation"),
        (["nan.csv"], "nan.csv: cost = nan, valid are finite numbers"),
        (["text.csv"], "text.csv: cost = 'low', valid are finite numbers"),
    ):
        refused = runner.invoke(app, ["compare", *arguments])
        assert refused.exit_code == 2
        assert said in refused.stderr


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--set", "threshold=0.5", "--set", "threshold=0.6"], "threshold is set already; valid is once"),
        (["--set", "scenario=paper"], "unexpected keyword argument 'scenario'; valid fields are"),
        (["--set", "env_id=WDMoE-v0"], "unexpected keyword argument 'env_id'; valid fields are"),
        (["--set", "check=false"], "unexpected keyword argument 'check'; valid fields are"),
        (["--policy", "a=own:Best", "--policy", "a=own:Zeros"], "a is another one; valid is NAME=MODULE:OBJECT"),
        (["--episodes", str(10**12)], "episodes = 1000000000000"),
    ],
)
def test_what_is_given_is_used_or_refused_by_name(own, arguments, said):
    result = runner.invoke(app, ["evaluate", *SMALL, "-p", "JESA", *arguments])
    assert result.exit_code == 2, result.output
    assert said in result.stderr

"""`python -m baselines` as a user calls it."""

import pytest
from typer.testing import CliRunner

from baselines.__main__ import app
from dmoe_gym.evaluation import line_up_of
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

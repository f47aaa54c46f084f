"""Leaderboard files: what a policy's file holds, and that a forged or foreign one is refused."""

from __future__ import annotations

import base64
import copy
import json
import zlib
from pathlib import Path

import numpy as np
import pytest

from baselines import leaderboard
from dmoe_gym.dmoe import scenario
from dmoe_gym.dmoe.policies import JESA, JointPolicy
from dmoe_gym.evaluation import evaluate

ROOT = Path(__file__).parents[2]
TASKS = (leaderboard.Task("DMoE-JESA-v0", "small"), leaderboard.Task("WDMoE-Joint-v0", "testbed"))
SMALL = TASKS[0].name


class JESAsPrices:
    """Action 0 of DMoE-JESA-Price-v0, which is JESA."""

    def predict(self, observation, state=None, episode_start=None, deterministic=True):
        batch, nodes = observation["gate_scores"].shape[:2]
        return np.zeros((batch, nodes * (nodes - 1) + 1), np.float32), state


@pytest.fixture(autouse=True)
def few(monkeypatch):
    monkeypatch.setattr(leaderboard, "TASKS", TASKS)
    monkeypatch.setattr(leaderboard, "EPISODES", 6)
    monkeypatch.setattr(leaderboard, "REPLAYED", 2)


def played(*entrants):
    return leaderboard.entry("mine", "nothing", "a command", entrants)


def written(content, folder):
    path = folder / "mine.json"
    path.write_text(json.dumps(content))
    return path


@pytest.fixture(scope="module")
def whole():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(leaderboard, "TASKS", TASKS)
        patch.setattr(leaderboard, "EPISODES", 6)
        patch.setattr(leaderboard, "REPLAYED", 2)
        return played(leaderboard.Entrant(None, "JESA"), leaderboard.Entrant(None, "top-2-equal"))


def test_a_file_holds_the_costs_of_the_frozen_episodes(whole, tmp_path):
    assert list(whole["tasks"]) == [task.name for task in TASKS]
    rows = evaluate(JointPolicy(JESA(scenario("small"))), "DMoE-JESA-v0", scenario="small", seeds=TASKS[0].seeds)
    assert whole["tasks"][SMALL]["costs"] == [row["cost"] for row in rows]
    assert leaderboard.checked(written(whole, tmp_path)) == json.loads(json.dumps(whole))


def test_a_policy_acts_where_it_says_and_plays_only_that_systems_tasks(whole, tmp_path):
    mine = played(leaderboard.Entrant("DMoE-JESA-Price-v0", JESAsPrices))
    assert list(mine["tasks"]) == [SMALL]
    assert mine["tasks"][SMALL]["env_id"] == "DMoE-JESA-Price-v0"
    np.testing.assert_allclose(mine["tasks"][SMALL]["costs"], whole["tasks"][SMALL]["costs"], rtol=1e-9)
    leaderboard.checked(written(mine, tmp_path))
    with pytest.raises(ValueError, match="plays no task"):
        played(leaderboard.Entrant(None, "nobody"))


def packed(**changed):
    def change(task):
        task["actions"].update(changed)

    return change


FORGED = {
    "every cost a little lower": (
        lambda task: task.update(costs=[0.99 * c for c in task["costs"]]),
        "its actions cost",
    ),
    "an episode left out": (lambda task: task["costs"].pop(), "valid are 6, one for each of the seeds"),
    "no number": (lambda task: task["costs"].__setitem__(0, float("nan")), "valid are finite numbers"),
    "text for a number": (lambda task: task["costs"].__setitem__(0, "0.1"), "valid are finite numbers"),
    "no environment": (lambda task: task.update(env_id=["DMoE-JESA-v0"]), "env_id = "),
    "another environment": (lambda task: task.update(env_id="WDMoE-v0"), "env_id = 'WDMoE-v0'"),
    "an object": (packed(dtype="object"), "valid are a shape, a dtype among"),
    "damaged": (packed(zlib="AAAA"), "are damaged"),
    "no base64": (packed(zlib=3.5), "are damaged"),
    "too large": (packed(shape=[2**20, 2**20]), "valid are at most"),
    "a bomb": (packed(zlib=base64.b64encode(zlib.compress(bytes(10**7))).decode()), "do not fit their shape"),
    "no actions": (lambda task: task.pop("actions"), "has the fields env_id, costs;"),
}


@pytest.mark.parametrize("kind", FORGED)
def test_a_forged_file_is_refused(whole, tmp_path, kind):
    change, said = FORGED[kind]
    content = copy.deepcopy(whole)
    change(content["tasks"][SMALL])
    with pytest.raises(ValueError, match=said) as refused:
        leaderboard.checked(written(content, tmp_path))
    assert str(tmp_path / "mine.json") in str(refused.value)
    assert "\n" not in str(refused.value)


def test_actions_of_other_episodes_are_found_out(whole, tmp_path):
    content = copy.deepcopy(whole)
    actions = leaderboard._unpacked(content["tasks"][SMALL]["actions"])
    content["tasks"][SMALL]["actions"] = leaderboard._packed(actions[:, ::-1])
    with pytest.raises(ValueError, match="its actions cost"):
        leaderboard.checked(written(content, tmp_path))
    content["tasks"][SMALL]["actions"] = leaderboard._packed(actions[:1])
    with pytest.raises(ValueError, match="end after 1 steps"):
        leaderboard.checked(written(content, tmp_path))


@pytest.mark.parametrize(
    "change",
    [
        {"format": "x"},
        {"name": 3},
        {"name": " "},
        {"name": "two\n## lines"},
        {"about": "a" * 2001},
        {"provenance": 3},
        {"speed": 3},
        {"tasks": {}},
        {"tasks": {"x": 1}},
    ],
)
def test_what_is_no_leaderboard_file_is_refused(whole, tmp_path, change):
    with pytest.raises(ValueError, match=f"{next(iter(change))}"):
        leaderboard.checked(written({**whole, **change}, tmp_path))


@pytest.mark.parametrize("change", [lambda task: task.update(speed=3), lambda task: task.pop("costs")])
def test_a_task_has_its_fields_and_no_other(whole, tmp_path, change):
    content = copy.deepcopy(whole)
    change(content["tasks"][SMALL])
    with pytest.raises(ValueError, match=r"has the fields .*; valid are env_id, costs, actions"):
        leaderboard.checked(written(content, tmp_path))


def test_a_key_that_stands_twice_is_refused(whole, tmp_path):
    """JSON leaves open which of the two counts; a reader that takes the last would hide the first."""
    path = written(whole, tmp_path)
    path.write_text(path.read_text().replace('"costs":', '"costs": [1.0], "costs":', 1))
    with pytest.raises(ValueError, match="costs stands there twice"):
        leaderboard.checked(path)


def test_texts_of_others_are_no_markup_and_names_stand_once(whole):
    odd = {**whole, "name": "<b>a|b</b>", "about": "<script>"}
    page = leaderboard.board([odd, whole])
    assert "&lt;b&gt;a/b&lt;/b&gt;" in page
    assert "<" not in page
    with pytest.raises(ValueError, match="name = 'mine': two entries have it"):
        leaderboard.board([whole, whole])


def test_every_cost_decides_which_episodes_are_played_again(monkeypatch):
    monkeypatch.setattr(leaderboard, "REPLAYED", 3)
    costs = np.random.default_rng(0).random((40, 6)).tolist()
    drawn = {tuple(leaderboard.replayed(one)) for one in costs}
    assert len(drawn) > 10  # of 20
    assert leaderboard.replayed(costs[0]) == leaderboard.replayed(list(costs[0]))


def test_the_best_of_every_task_is_bold_and_who_misses_one_stands_last(whole):
    worse = copy.deepcopy(whole)
    worse["name"] = "worse"
    worse["tasks"][SMALL]["costs"] = [2 * cost for cost in worse["tasks"][SMALL]["costs"]]
    absent = {**copy.deepcopy(worse), "name": "absent", "tasks": {TASKS[1].name: worse["tasks"][TASKS[1].name]}}
    lines = leaderboard.board([absent, worse, whole]).splitlines()
    mean = f"{np.mean(whole['tasks'][SMALL]['costs']):.4f}"
    table = [line for line in lines if line.startswith("| ")]
    assert table[2].startswith(f"| mine | **{mean}** |")
    assert table[3].startswith("| worse | ")
    assert "absent" not in "".join(table[:4])


@pytest.mark.slow
def test_the_files_that_ship_are_right_and_the_page_is_made_of_them(monkeypatch):
    monkeypatch.undo()
    files = sorted((ROOT / "leaderboard").glob("*.json"))
    assert files
    tables = leaderboard.board([leaderboard.checked(file) for file in files])
    assert tables.strip() in (ROOT / "docs" / "leaderboard.md").read_text()

"""What is believed of a law: the rule of one law under another, and what the table says of it."""

from __future__ import annotations

import numpy as np
import pytest

from dmoe_gym.dmoe import scenario
from dmoe_gym.evaluation import evaluate, held_out_seeds, paired_percent
from dmoe_gym.registration import create_core
from experiments.mismatch import PAGE, SETTINGS, Mismatch, believed_of, learned, rules

LAWS = [(scenario, law) for scenario, setting in SETTINGS.items() for law in setting.laws if law != setting.first]


class Constant:
    """One action always."""

    def __init__(self, action):
        self.action = action

    def predict(self, observation, state=None, episode_start=None, deterministic=True):
        return np.tile(self.action, (len(observation), 1)), state


@pytest.mark.parametrize(("name", "law"), LAWS[::2])
def test_action_0_under_another_law_is_the_frozen_rule(name, law):
    setting = SETTINGS[name]
    costs = rules(name, law, 2, 200)
    assert costs["frozen"] != costs["anew"]
    where = {**setting.laws[law], "residual": {"underneath": setting.rule, "believes": believed_of(name, law)}}
    core = create_core("DMoE-JESA-Residual-v0", 1, name, where)
    assert core.underneath.config == scenario(name).replace(residual={"underneath": setting.rule})
    zero = np.zeros(core.action_space.shape, np.float32)
    rows = evaluate(Constant(zero), "DMoE-JESA-Residual-v0", scenario=name, seeds=held_out_seeds(2), **where)
    assert [row["cost"] for row in rows] == costs["frozen"]


def test_a_learner_runs_under_every_law_of_its_scenario_and_one_trained_anew_under_its_own():
    first, other, *_ = laws = list(SETTINGS["stale"].laws)
    assert list(learned("stale", first, 1, seed=0, steps=1)) == laws
    assert list(learned("stale", other, 1, seed=0, steps=1)) == [other]


def test_what_is_learned_in_another_scenario_runs_under_every_law():
    harvest = SETTINGS["harvest"]
    assert harvest.learned_elsewhere
    assert list(learned("harvest", harvest.first, 1, seed=0, steps=1)) == list(harvest.laws)


def test_the_frozen_rule_is_the_tuned_one_where_it_was_tuned():
    costs = rules("battery", SETTINGS["battery"].first, 2, 200)
    assert costs["frozen"] == costs["anew"]


@pytest.mark.parametrize(
    ("believes", "said"),
    [
        ({"num_experts": 3}, "residual.believes: num_experts = 3"),
        ({"harvest": {"mean_j": 0.001}}, "residual.believes: harvest = "),
        ({"battery_j": None}, "residual.believes: battery_j = None"),
        ({"battery_j": -1.0}, "battery_j"),
    ],
)
def test_what_nobody_can_be_mistaken_about_is_refused(believes, said):
    with pytest.raises(ValueError, match=said):
        create_core("DMoE-JESA-Residual-v0", 1, "battery", {"residual": {"believes": believes}})


def test_the_table_compares_with_the_rule_tuned_anew():
    """Costs that are known: the frozen rule 10 % dearer, a frozen learner 20 % cheaper, one trained anew 50 %."""
    experiment = Mismatch(episodes=3, seeds=2)
    base = np.array([1.0, 2.0, 3.0])
    values = []
    for piece in experiment.pieces():
        setting, law = SETTINGS[piece.key["scenario"]], piece.key["law"]
        if piece.function is rules:
            values.append({"JESA": 2 * base, "frozen": base if law == setting.first else 1.1 * base, "anew": base})
        elif law == setting.first:
            values.append({where: (1.0 if where == law else 0.8) * base for where in setting.laws})
        else:
            values.append({law: (0.4, 0.6)[piece.key["seed"]] * base})
    table = experiment.page(values).sections[PAGE, "mismatch"]
    lines = [line for line in table.splitlines() if "| of 12 mJ |" in line]
    assert len(lines) == 1
    cells = [cell.strip() for cell in lines[0].split("|")[3:-1]]
    assert [cell.split(" [")[0] for cell in cells] == ["2.0000", "+100.00", "+10.00", "-20.00", "-50.00"]
    # seeds that differ count beside the episodes
    anew = paired_percent(np.array([0.4 * base, 0.6 * base]), base)
    assert cells[-1] == f"{anew:+.2f}"
    assert anew.high - anew.low > 10

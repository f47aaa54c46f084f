"""What is believed of a law: the rule of one law under another, and what the table says of it."""

from __future__ import annotations

import numpy as np
import pytest

from dmoe_gym.dmoe import scenario
from dmoe_gym.evaluation import evaluate, held_out_seeds
from dmoe_gym.registration import create_core
from experiments.mismatch import PAGE, SETTINGS, Mismatch, believed_of, learned, rules

KNOBS = {knob: list(setting.laws) for knob, setting in SETTINGS.items()}


class Constant:
    """One action always."""

    def __init__(self, action):
        self.action = action

    def predict(self, observation, state=None, episode_start=None, deterministic=True):
        return np.tile(self.action, (len(observation), 1)), state


@pytest.mark.parametrize("knob", KNOBS)
def test_action_0_under_another_law_is_the_frozen_rule(knob):
    law, setting = KNOBS[knob][1], SETTINGS[knob]
    costs = rules(knob, law, 2, 200)
    assert costs["frozen"] != costs["anew"]
    where = {**setting.laws[law], "residual": {"underneath": setting.rule, "believes": believed_of(knob, law)}}
    core = create_core("DMoE-JESA-Residual-v0", 1, setting.scenario, where)
    assert core.underneath.config == scenario(setting.scenario).replace(residual={"underneath": setting.rule})
    zero = np.zeros(core.action_space.shape, np.float32)
    rows = evaluate(
        Constant(zero), "DMoE-JESA-Residual-v0", scenario=setting.scenario, seeds=held_out_seeds(2), **where
    )
    assert [row["cost"] for row in rows] == costs["frozen"]


def test_a_learner_runs_under_every_law_of_its_knob_and_one_trained_anew_under_its_own():
    knob, (first, other, _) = "Doppler [Hz]", KNOBS["Doppler [Hz]"]
    assert list(learned(knob, first, 1, seed=0, steps=1)) == KNOBS[knob]
    assert list(learned(knob, other, 1, seed=0, steps=1)) == [other]


def test_the_frozen_rule_is_the_tuned_one_where_it_was_tuned():
    knob = next(iter(KNOBS))
    costs = rules(knob, KNOBS[knob][0], 2, 200)
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
        laws = SETTINGS[piece.key["knob"]].laws
        first = piece.key["law"] == next(iter(laws))
        if piece.function is rules:
            values.append({"JESA": 2 * base, "frozen": base if first else 1.1 * base, "anew": base})
        else:
            mine = {law: (1.0 if law == piece.key["law"] else 0.8) * base for law in laws}
            values.append(mine if first else {piece.key["law"]: 0.5 * base})
    table = experiment.page(values).sections[PAGE, "mismatch"]
    lines = [line for line in table.splitlines() if "| 12 |" in line]
    assert len(lines) == 1
    means = [cell.split(" [")[0].strip() for cell in lines[0].split("|")[3:-1]]
    assert means == ["2.0000", "+100.00", "+10.00", "-20.00", "-50.00"]

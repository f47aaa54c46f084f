"""Claims on the language model: free thresholds are JESA's where they are alike, choices are validation queries'."""

from __future__ import annotations

import numpy as np

from experiments import language_claims
from experiments.answers import Answers, ask, free_name
from experiments.language_claims import GRID, LEVELS, START, LanguageClaims, half_cells, halves, search

SHARES = np.full((6, 8), 1 / 4)


def answers(energy: float, wrong: float, episodes: int = 25) -> Answers:
    """8 answers an episode, that share of them wrong."""
    place = np.arange(8 * episodes).reshape(episodes, 8)
    return Answers(
        place, place >= wrong * place.size, np.full(episodes, energy), np.ones(episodes), 8.0, SHARES, SHARES
    )


def test_thresholds_that_are_alike_in_every_layer_are_homogeneous_selections() -> None:
    flat, free = (
        ask(name, "validation", 3, 3, "language") for name in ("homogeneous z=0.5 gamma=1", free_name([0.5] * 6))
    )
    falling = ask("JESA z=0.7 gamma=0.8", "validation", 3, 3, "language")
    same = ask(free_name([0.7 * 0.8**layer for layer in range(1, 7)]), "validation", 3, 3, "language")
    for one, other in ((flat, free), (falling, same)):
        np.testing.assert_array_equal(one.correct, other.correct)
        np.testing.assert_allclose(one.energy, other.energy, rtol=1e-6)
    assert (flat.energy != falling.energy).all()


def test_the_search_takes_every_layers_best_threshold_where_effects_add_up(monkeypatch) -> None:
    """Energy is the sum of the thresholds; in layer 3 alone leaving experts out costs answers."""

    def told(name: str, *_: object) -> Answers:
        thresholds = [float(z) for z in name.removeprefix("free z=").split("/")]
        return answers(100 * sum(thresholds), 0.3 * max(0.0, START - thresholds[2]))

    monkeypatch.setattr(language_claims, "ask", told)
    low = [LEVELS[0]] * 6
    found = search("language", 0, 25)
    assert set(found) <= {free_name(low), free_name([*low[:2], START, *low[3:]])}
    assert free_name([*low[:2], START, *low[3:]]) in found


def test_test_queries_judge_what_validation_queries_chose() -> None:
    experiment = LanguageClaims(validation=25)
    chosen_on = {name: answers(60.0, 0.3) for name in GRID}
    chosen_on |= {"top-1": answers(30.0, 0.3), "top-2": answers(60.0, 0.3), "top-3": answers(90.0, 0.3)}
    frugal, free = "JESA z=0.2 gamma=0.7", free_name([0.25] * 6)
    chosen_on[frugal] = answers(28.0, 0.3)
    values = [*chosen_on.values(), {free: answers(27.0, 0.4)}]
    further = experiment.further_pieces(values)
    judged = [piece.key["name"] for piece in further if "overrides" not in piece.key]
    assert len(experiment.pieces()) == len(GRID) + 1
    assert judged == [
        *("top-1", "top-2", "top-3", "homogeneous z=0.3 gamma=1", "homogeneous z=0.5 gamma=1"),
        *("homogeneous z=0.7 gamma=1", frugal, *(name for name in GRID if name == "JESA z=0.2 gamma=0.9"), free),
    ]
    assert {piece.key["inputs"] for piece in further} == {"test"}
    dear = [answers(50.0 if piece.key["name"] == frugal else 100.0, 0.5, 25) for piece in further]
    page = experiment.page([*values, *dear])
    text = page.sections["docs/reports/language_claims.md", "language-claims"]
    assert f"| {frugal} | top-2 | 0 | -50.0 [-50.0, -50.0] | +0.00 [+0.00, +0.00] |" in text
    assert text.count("| homogeneous z=0.5 gamma=1 | top-3 |") == 1
    assert page.sections["docs/claims.md", "language-claims"].count("\n- ") == 7


def test_half_the_energy_holds_where_accuracy_is_equal() -> None:
    chosen_on = {name: answers(60.0, 0.3) for name in GRID} | {"top-1": answers(30.0, 0.3)}
    chosen_on["JESA z=0.2 gamma=0.7"] = answers(29.0, 0.31)
    assert halves(chosen_on) == [("top-2", "JESA z=0.2 gamma=0.7"), ("top-3", "JESA z=0.2 gamma=0.7")]
    judged_on = {"top-2": answers(60.0, 0.3), "top-3": answers(60.0, 0.1), "JESA z=0.2 gamma=0.7": answers(29.0, 0.3)}
    _, body = half_cells(chosen_on, judged_on)
    assert [line[-1] for line in body] == ["yes", "no"]

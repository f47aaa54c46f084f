"""A real model under WDMoE: answers and latencies are the environment's, shares are chosen on validation queries."""

from __future__ import annotations

import numpy as np
import pytest

from dmoe_gym.evaluation import evaluate
from dmoe_gym.evaluation.statistics import Interval
from dmoe_gym.wdmoe.inference import INFERENCE_SCENARIOS
from dmoe_gym.wdmoe.policies import JointPolicy
from experiments.wdmoe_inference import (
    ENV_ID,
    JUDGED,
    SHARES,
    VANILLA,
    Served,
    WDMoEInference,
    contenders,
    fastest_within,
    serve,
    verdict,
)


def served(latency: float, accuracy: float, prompts: int = 20) -> Served:
    """That share of the answers right, the same queries in every one."""
    correct = np.arange(4 * prompts).reshape(prompts, 4) % 20 < 20 * accuracy
    latencies = latency * (1 + np.arange(prompts) / 100)
    return Served(np.arange(4 * prompts).reshape(prompts, 4) % 30, correct, latencies, np.full(prompts, 0.5))


@pytest.mark.parametrize("name", [VANILLA, "greedy-optimal 0.6"])
def test_answers_and_latencies_are_the_environments(name):
    found = serve(name, "test", 1_000_000, 4, "digits")
    overrides = {"relevance_share": contenders()[name].share}
    policy = JointPolicy(contenders()[name].build(INFERENCE_SCENARIOS["digits"].replace(**overrides)))
    rows = evaluate(policy, ENV_ID, scenario="digits", seeds=range(1_000_000, 1_000_004), check=False, **overrides)
    for key, values in (
        ("accuracy", found.correct.mean(1)),
        ("latency_ms", found.latency),
        ("relevance", found.relevance),
    ):
        np.testing.assert_allclose(values, [row[key] for row in rows], rtol=1e-12)


def test_bandwidth_moves_no_token():
    equal, best = (serve(f"top-2-{bandwidth}", "validation", 7, 4, "digits") for bandwidth in ("equal", "optimal"))
    np.testing.assert_array_equal(equal.query, best.query)
    np.testing.assert_array_equal(equal.correct, best.correct)
    assert (best.latency < equal.latency).all()


def test_the_page_states_the_claim_and_judges_what_validation_queries_choose():
    experiment = WDMoEInference()
    chosen_on = {name: served(9, 0.8) for name in contenders()}
    chosen_on["WLR-optimal 0.7"], chosen_on["greedy-optimal 0.6"] = served(5, 0.8), served(1, 0.5)
    values = list(chosen_on.values())
    test = [piece.key["name"] for piece in experiment.further_pieces(values)]
    assert test == [*JUDGED, "WLR-optimal 0.7", "greedy-optimal 0.98"]
    page = experiment.page([*values, *(served(5 if "optimal" in name else 9, 0.8) for name in test)])
    text = page.sections["docs/reports/wdmoe_inference.md", "wdmoe-inference-language"]
    assert "point: **confirmed**. Latency -44.4 [-44.4, -44.4] %, accuracy +0.00 [+0.00, +0.00] points." in text
    assert "80 answers" in text


def test_verdicts():
    faster, slower = Interval(-40, -45, -35), Interval(-1, -3, 1)
    assert verdict(faster, Interval(-0.2, -0.6, 0.2)).startswith("confirmed")
    assert verdict(faster, Interval(0.0, 0.0, 0.0)).startswith("confirmed")
    assert verdict(faster, Interval(-0.8, -1.2, -0.4)).startswith("not decided")
    assert verdict(faster, Interval(-2.0, -2.4, -1.6)).startswith("not confirmed, ")
    assert verdict(slower, Interval(0.0, 0.0, 0.0)).startswith("not confirmed, ")


def test_the_chosen_share_is_the_fastest_within_the_margin():
    made = {VANILLA: served(9, 0.80), "WLR-optimal 0.98": served(5, 0.80), "WLR-optimal": served(4, 0.75)}
    results = {**made, "WLR-optimal 0.6": served(2, 0.5), "greedy-optimal": served(1, 0.5)}
    assert fastest_within(results, "WLR-optimal", margin=5.5) == "WLR-optimal"
    assert fastest_within(results, "WLR-optimal") == "WLR-optimal 0.98"
    assert fastest_within(results, "greedy-optimal") == "greedy-optimal"
    assert {one.share for one in contenders().values()} == set(SHARES)

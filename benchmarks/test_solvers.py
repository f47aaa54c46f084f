"""Solvers against HiGHS and against plain SciPy."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks.reference_des import des_highs
from benchmarks.reference_exact import solve_exact_plain
from benchmarks.reference_jesa import solve_jesa_plain
from benchmarks.rounds import draw_rounds, jesa_arrays
from benchmarks.side_by_side import Row, faster
from dmoe_gym.dmoe import Schedule, cost, scenario, solve_des, solve_exact
from dmoe_gym.dmoe.solvers.jesa import jesa_batch


def hidden_states(count: int, experts: int, limit: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Dirichlet(0.5) scores; energies of a computation share and a Rayleigh link's best of K subcarriers each.

    The threshold is 0.7 of what the `limit` best experts give: attainable, and never met by just anyone.
    """
    generator = np.random.default_rng(seed)
    scores = generator.dirichlet(np.full(experts, 0.5), count)
    gains = generator.exponential(size=(count, experts, experts)).max(-1)
    energies = np.linspace(0.5, 1.5, experts) + np.log2(11) / np.log2(1 + 10 * gains)
    return scores, energies, 0.7 * np.sort(scores, axis=-1)[:, -limit:].sum(-1)


@pytest.mark.parametrize(
    ("experts", "limit", "batch", "solved", "aim"),
    [(8, 2, 10_000, 20, 3000), (64, 8, 1000, 5, 1000), (256, 8, 1000, 5, 1000)],
)
def test_solve_des(in_turns, report, experts, limit, batch, solved, aim):
    scores, energies, thresholds = hidden_states(batch, experts, limit)
    chosen, nodes = solve_des(scores, energies, thresholds, limit, return_nodes=True)
    for row in range(solved):
        exact = des_highs(scores[row], energies[row], thresholds[row], limit)
        np.testing.assert_allclose(energies[row] @ chosen[row], energies[row] @ exact, rtol=1e-6)
    ours, other = in_turns(
        lambda: solve_des(scores, energies, thresholds, limit),
        lambda: [des_highs(scores[row], energies[row], thresholds[row], limit) for row in range(solved)],
        rounds=8,
    )
    times, median, processor = faster(ours, other, batch, solved)
    speed = batch / min(ours.wall)
    details = {"states_per_s": speed, "mean_visited_nodes": nodes.mean(), "most_visited_nodes": nodes.max()}
    name = f"solve_des K={experts} D={limit}, batch {batch:,}"
    report(Row(name, "HiGHS (scipy.optimize.milp), one by one", times, median, processor, aim, details=details))
    if experts == 8:
        per_processor = batch / min(ours.processor) / 1e6
        report(
            Row(
                f"solve_des K={experts} D={limit}, million hidden states per second",
                "one second (processor: of one core)",
                speed / 1e6,
                ratio_processor=per_processor,
                aim=1,
                unit="M/s",
            )
        )


def test_solve_jesa_against_the_plain_program(in_turns, report):
    name = "exact optimum, plain mixed-integer program (HiGHS)"
    _jesa(in_turns, report, solve_exact_plain, name, solved=3, rounds=5, aim=3000, equal=False)


def test_solve_jesa_against_exact(in_turns, report):
    _jesa(in_turns, report, solve_exact, "exact optimum, solve_exact", solved=6, rounds=5, aim=3000, equal=False)


def test_solve_jesa_against_plain_scipy(in_turns, report):
    _jesa(in_turns, report, solve_jesa_plain, "JESA with SciPy and loops", solved=10, rounds=8, aim=10, equal=True)


def _jesa(in_turns, report, reference, name, solved, rounds, aim, equal):
    config = scenario("paper")
    drawn = draw_rounds(config, 256)
    arguments, selected, subcarrier = jesa_arrays(drawn)

    def ours():
        jesa_batch(len(drawn), *arguments, selected, subcarrier)

    ours()
    gaps = []
    for row in range(solved):
        found = Schedule.from_subcarriers(selected[row], subcarrier[row], config.num_subcarriers)
        gaps.append(cost(drawn[row], found) / cost(drawn[row], reference(drawn[row])) - 1)
    if equal:
        np.testing.assert_allclose(gaps, 0, atol=1e-9)
    mine, theirs = in_turns(ours, lambda: [reference(round) for round in drawn[:solved]], rounds=rounds)
    times, median, processor = faster(mine, theirs, len(drawn), solved)
    details = {"rounds_per_s": len(drawn) / min(mine.wall), "mean_cost_gap_percent": 100 * float(np.mean(gaps))}
    report(Row(f"solve_jesa paper, batch {len(drawn)}", name, times, median, processor, aim, details=details))

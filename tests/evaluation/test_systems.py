"""The records of the systems: what they say is so, of every one."""

from __future__ import annotations

from pathlib import Path

import pytest

import dmoe_gym
from dmoe_gym.evaluation import charted_means, evaluate_line_up, line_up_of
from dmoe_gym.registration import system_of, systems
from dmoe_gym.system import ClairvoyantBound, ExactBound, InformedBound

DOCS = Path(__file__).parents[2] / "docs"
RECORDS = tuple(systems().values())


@pytest.mark.parametrize("system", RECORDS, ids=lambda system: system.name)
def test_line_ups_run_where_their_record_says_for_every_scenario(system):
    for name in system.scenarios:
        line_up = system.line_up(system.configuration(name)) if name in system.published else None
        if line_up is not None:
            assert system_of(line_up.env_id) is system
            assert set(line_up.bounds) <= set(system.bounds_of(system.configuration(name)))
            assert line_up.optimum in line_up.bounds
    assert set(system.imitation) <= set(dmoe_gym.ENVIRONMENTS)
    assert len({metric.name for metric in system.metrics}) == len({metric.heading for metric in system.metrics})
    assert (DOCS / system.page).is_file()


@pytest.mark.parametrize("env_id", dmoe_gym.ENVIRONMENTS)
def test_rows_have_the_metrics_of_their_record(env_id):
    system, line_up = system_of(env_id), line_up_of(env_id)
    (row,) = evaluate_line_up(env_id, seeds=[1_000_000], names=[line_up.reference])
    for metric in system.metrics:
        assert isinstance(row[metric.name], float)
    charted = {metric.name for metric in system.metrics if metric.charted}
    assert charted <= set(charted_means([row])) <= {*charted, "violations"}


def test_bounds_read_what_their_kind_says():
    """A round is (true, observed); every kind gets those and no other."""
    rounds, observed = [1.0, 2.0, 6.0], [10.0, 20.0, 60.0]
    assert ExactBound(lambda round: {"cost": round}).means(rounds, observed) == {"cost": 3.0}
    assert ClairvoyantBound(lambda rounds: {"cost": max(rounds)}).means(rounds, observed) == {"cost": 6.0}
    informed = InformedBound(lambda round, passed: {"cost": round + passed})
    assert informed.means(rounds, observed) == {"cost": 31.0}


def test_which_bounds_hold_follows_from_the_configuration():
    holding = {name: tuple(system_of("DMoE-JESA-v0").bounds_of(config)) for name, config in dmoe_scenarios().items()}
    assert holding["small"] == ("exact", "lower-bound")
    assert holding["stale"] == ("exact", "lower-bound", "informed")
    assert holding["budget"] == holding["battery"] == ("clairvoyant",)


def dmoe_scenarios():
    return system_of("DMoE-JESA-v0").scenarios

"""Slot, batteries and budget against a second implementation of the rules, written from docs/scenarios.md alone."""

from __future__ import annotations

import gymnasium as gym
import numpy as np
import pytest

import dmoe_gym  # noqa: F401  registers the environments
from dmoe_gym.channel import CSIConfig, GaussMarkovConfig
from dmoe_gym.dmoe import DMoEConfig, Round, Schedule, check, solve_jesa
from dmoe_gym.dmoe.physics import Constants, terms
from dmoe_gym.dmoe.physics.terms import limited_terms


def by_the_rules(round: Round, schedule: Schedule) -> dict[str, float]:
    """What a schedule costs [J], rule by rule and without an array."""
    config, nodes, states = round.config, range(round.config.num_experts), range(round.config.num_states)
    slot = np.inf if config.slot_duration_s is None else config.slot_duration_s
    served = {(i, n): {j for j in nodes if schedule.selected[i, n, j]} for i in nodes for n in states}
    sent = dict.fromkeys(nodes, 0.0)
    outages = 0
    for i in nodes:
        for j in nodes:
            carried = [n for n in states if j in served[i, n]]
            if i == j or not carried:
                continue
            own = [m for m in range(config.num_subcarriers) if schedule.allocated[i, j, m]]
            rate = sum(
                config.subcarrier_bandwidth_hz * np.log2(1 + config.mean_snr * round.gains[i, j, m]) for m in own
            )
            seconds = len(carried) * config.state_size_bit / rate if rate else np.inf
            if seconds > slot or not rate:
                outages += 1
                seconds = slot if slot < np.inf else 0.0  # nobody answers
                for n in carried:
                    served[i, n].discard(j)
            sent[i] += config.transmit_power_w * len(own) * seconds
    for (i, _), experts in served.items():
        if not experts:
            experts.add(i)
    computed = {j: sum(j in experts for experts in served.values()) * config.computation_energy_j[j] for j in nodes}
    battery = np.full(config.num_experts, np.inf) if round.battery is None else round.battery
    failed = {j for j in nodes if sent[j] + computed[j] + config.round_energy_j > battery[j]}
    served = {(i, n): set() if i in failed else experts - failed for (i, n), experts in served.items()}
    spent = {
        j: battery[j]
        if j in failed
        else sent[j]
        + sum(j in experts for experts in served.values()) * config.computation_energy_j[j]
        + config.round_energy_j
        for j in nodes
    }
    relevance, shortfall = [], []
    for (i, n), experts in served.items():
        relevance.append(sum(round.gate_scores[i, n, j] for j in experts))
        best = sum(sorted(round.gate_scores[i, n])[-config.max_experts :])
        shortfall.append(max(0.0, min(round.threshold, best) - relevance[-1]))
    missing = (
        np.mean(shortfall) if round.relevance_owed is None else max(0.0, round.relevance_owed - np.mean(relevance))
    )
    energy = sum(spent.values())
    return {
        "energy": energy,
        "relevance": np.mean(relevance),
        "shortfall": missing,
        "cost": energy / config.reference_energy_j + config.shortfall_price * missing,
        "outages": outages,
        "spent": [spent[j] for j in nodes],
    }


def drawn(rng: np.random.Generator, limits: dict) -> tuple[Round, Schedule]:
    """A round and a schedule with several subcarriers on some links, every one that carries having one at least."""
    experts, states, subcarriers = 3, 2, 9
    owed = limits.pop("owed", None)
    battery = limits.pop("battery", None)
    config = DMoEConfig(num_experts=experts, num_states=states, num_subcarriers=subcarriers, **limits)
    selected = np.zeros((experts, states, experts), bool)
    for i in range(experts):
        for n in range(states):
            selected[i, n, rng.choice(experts, rng.integers(1, 3), replace=False)] = True
    allocated = np.zeros((experts, experts, subcarriers), bool)
    links = [(i, j) for i in range(experts) for j in range(experts) if i != j and selected[i, :, j].any()]
    for m, choice in zip(rng.permutation(subcarriers), rng.permutation(subcarriers), strict=True):
        if links:
            allocated[(*links[choice % len(links)], m)] = True
    round = Round(
        rng.dirichlet(np.full(experts, 0.5), (experts, states)),
        rng.exponential(size=(experts, experts, subcarriers)),
        0.6,
        config,
        battery=None if battery is None else rng.uniform(0.2, 1.8, experts) * battery,
        relevance_owed=owed,
    )
    return round, Schedule(selected, allocated)


@pytest.mark.parametrize(
    "limits",
    [
        {"slot_duration_s": 0.01},
        {"slot_duration_s": 0.02, "round_energy_j": 2e-4},
        {"battery_j": 1.0, "battery": 1.5e-3, "round_energy_j": 5e-4},
        {"battery_j": 1.0, "battery": 1e-3, "slot_duration_s": 0.012, "round_energy_j": 1e-4},
        {"relevance_budget": 0.5, "owed": 0.9, "battery_j": 1.0, "battery": 1e-3},
    ],
)
def test_terms_follow_the_rules(limits):
    rng = np.random.default_rng(0)
    failures = outages = several = 0
    for _ in range(60):
        round, schedule = drawn(rng, dict(limits))
        expected, reached = by_the_rules(round, schedule), terms(round, schedule)
        assert reached.energy.total == pytest.approx(expected["energy"], rel=1e-9)
        for name in ("relevance", "shortfall", "cost", "outages"):
            assert getattr(reached, name) == pytest.approx(expected[name], rel=1e-9, abs=1e-12), name
        outages += expected["outages"]
        several += bool((schedule.allocated.sum(-1) > 1).any() and expected["outages"])
        failures += expected["relevance"] == 0 or 0 in round.gate_scores
        if round.battery is not None:
            failures += sum(one == left for one, left in zip(expected["spent"], round.battery, strict=True))
    assert outages or "slot_duration_s" not in limits
    assert several or limits != {"slot_duration_s": 0.01}
    assert failures or "battery" not in limits


def test_a_link_that_turns_out_dead_delivers_nothing_and_costs_no_more_than_that():
    """Stale knowledge cannot tell, and without a slot nothing ends a transmission; the environment charges the same."""
    env = gym.make("DMoE-JESA-v0", csi={"delay_rounds": 1}, disable_env_checker=True).unwrapped
    env.reset(seed=0)
    env.action_space.seed(0)
    dead = 0
    for _ in range(8):
        env.core.channel.gains[0, :2] = 0.0
        round, (_, reward, done, _, info) = env.round, env.step(env.action_space.sample())
        expected = by_the_rules(round, env.schedule)
        assert -reward == pytest.approx(expected["cost"], rel=1e-6)
        assert terms(round, env.schedule).cost == pytest.approx(expected["cost"], rel=1e-9)
        assert info["outages"] == expected["outages"]
        dead += expected["outages"]
        if done:
            break
    assert dead > 3


def test_what_nodes_spend_is_what_the_round_takes():
    """Conservation, node by node; and no battery falls below zero."""
    rng = np.random.default_rng(1)
    for _ in range(40):
        round, schedule = drawn(rng, {"battery_j": 1.0, "battery": 1.2e-3, "round_energy_j": 3e-4})
        assert round.battery is not None
        constants, unit = Constants.of(round.config), round.config.energy_unit_j
        efficiency = np.where(schedule.allocated, round.spectral_efficiency, 0.0).sum(-1)
        spent = np.empty(3)
        communication, computation, *_ = limited_terms(
            round.gate_scores, schedule.selected, efficiency, schedule.allocated.sum(-1), round.threshold, constants,
            -1.0, round.battery / unit, np.empty(schedule.selected.shape, np.bool_), spent,
        )  # fmt: skip
        assert spent.sum() == pytest.approx(communication + computation, rel=1e-12)
        assert (spent <= round.battery / unit * (1 + 1e-12)).all()
        np.testing.assert_allclose(spent * unit, by_the_rules(round, schedule)["spent"], rtol=1e-9)


def test_what_is_not_known_for_sure_prices_the_threshold():
    """An observed shortfall is a violation only where what is observed is the truth, and all of it."""
    known = DMoEConfig(num_experts=2, num_states=1, num_subcarriers=4)
    fading = GaussMarkovConfig(doppler_hz=4.0, round_duration_s=0.04)
    uncertain = [
        known.replace(channel=fading, csi=CSIConfig(delay_rounds=1)),
        known.replace(csi=CSIConfig(error_variance=0.1)),
        known.replace(slot_duration_s=0.03),
        known.replace(battery_j=1.0),
    ]
    scores = np.array([[[0.1, 0.9]], [[0.9, 0.1]]])
    selected = np.zeros((2, 1, 2), bool)
    selected[0, 0, 0] = selected[1, 0, 0] = True
    allocated = np.zeros((2, 2, 4), bool)
    allocated[1, 0, 0] = True
    for config in (known, *uncertain):
        round = Round(scores, np.ones((2, 2, 4)), 0.5, config)
        flagged = [words for words in check(round, Schedule(selected, allocated)) if words.startswith("C1")]
        assert bool(flagged) == (config is known)


def test_jesa_leaves_no_subcarrier_with_a_link_that_carries_nothing():
    """In scarcity links lose their subcarrier or their payload; what is left of them is free for others."""
    rng = np.random.default_rng(2)
    for _ in range(200):
        config = DMoEConfig(num_experts=5, num_states=2, num_subcarriers=int(rng.integers(1, 8)))
        scores = rng.dirichlet(np.full(5, 0.4), (5, 2))
        schedule = solve_jesa(Round(scores, rng.exponential(size=(5, 5, config.num_subcarriers)), 0.7, config))
        carries = schedule.selected.any(1) & ~np.eye(5, dtype=bool)
        assert not (schedule.allocated.any(-1) & ~carries).any()

"""Rows are paired, bounds bound, statistics do what they say."""

from functools import partial

import numpy as np
import pytest
from rich.console import Console
from rollouts import ConstantPolicy

import dmoe_gym
from dmoe_gym.dmoe import DMoEConfig, scenario
from dmoe_gym.dmoe.policies import JESA, JointPolicy, Random, SequentialPolicy, TopK
from dmoe_gym.evaluation import (
    Interval,
    compare,
    evaluate,
    evaluate_bound,
    evaluate_line_up,
    held_out_seeds,
    line_up_of,
)
from dmoe_gym.evaluation.ahead import pieces
from dmoe_gym.facades.stable_baselines import BatchedVecEnv
from dmoe_gym.facades.view import create_view
from dmoe_gym.io.command_line import print_table
from dmoe_gym.policy import Scheduler
from dmoe_gym.registration import system_of
from dmoe_gym.wdmoe.policies import WLR

SEEDS = held_out_seeds(6)
JOINT = "DMoE-JESA-v0"


def costs(rows):
    return np.array([row["cost"] for row in rows])


def test_rows_do_not_depend_on_the_batch():
    policy = JointPolicy(JESA(scenario("small")))
    together = evaluate(policy, JOINT, scenario="small", seeds=SEEDS)
    apart = evaluate(policy, JOINT, scenario="small", seeds=SEEDS, batch=1)
    for one, other in zip(together, apart, strict=True):
        assert one | {"predict_ms": 0} == other | {"predict_ms": 0}


def test_rows_say_whose_they_are_and_where():
    """By the names that were asked for; rows of one configuration have one digest, whatever it is called."""
    entries = create_view(JOINT, 1, None, {}).action_space.shape
    policy = ConstantPolicy(np.zeros(entries, int), "gate_scores", 3)
    places = ({}, {"scenario": "small"}, {"num_layers": 1})
    rows = [evaluate(policy, JOINT, seeds=[3], name="mine", **place)[0] for place in places]
    assert [row["scenario"] for row in rows] == ["default", "small", "default"]
    assert {(row["policy"], row["env_id"], row["seed"]) for row in rows} == {("mine", JOINT, 3)}
    digests = [row["configuration"] for row in rows]
    assert digests[0] == digests[1] != digests[2]
    assert all(digest[0] == "c" and len(digest) == 13 for digest in digests)


@pytest.mark.parametrize("name", ["small", "scarce"])
def test_a_scheduler_costs_the_same_in_every_environment(name):
    config = scenario(name)
    joint = evaluate(JointPolicy(JESA(config)), JOINT, scenario=name, seeds=SEEDS)
    sequential = evaluate(SequentialPolicy(JESA(config)), "DMoE-JESA-Sequential-v0", scenario=name, seeds=SEEDS)
    links = config.num_experts * (config.num_experts - 1)
    zero = ConstantPolicy(np.zeros(links + 1, np.float32), "gate_scores", 3)
    price = evaluate(zero, "DMoE-JESA-Price-v0", scenario=name, seeds=SEEDS)
    # near a round's end the sequential masks may ask a hidden state for its threshold at a price that JESA declined
    as_planned = np.array([row["repairs"] == 0 for row in sequential])
    assert as_planned.all() if name == "small" else as_planned.any()
    np.testing.assert_allclose(costs(sequential)[as_planned], costs(joint)[as_planned], rtol=1e-9)
    np.testing.assert_allclose(costs(price), costs(joint), rtol=1e-9)


def test_reward_is_minus_cost_summed_over_rounds():
    for row in evaluate(JointPolicy(TopK(scenario("small"), 2)), JOINT, scenario="small", seeds=SEEDS):
        assert row["return"] == pytest.approx(-8 * row["cost"])
        assert row["violations"] == 0


def test_no_policy_beats_the_bounds():
    rows = evaluate_line_up(JOINT, scenario="small", seeds=SEEDS)
    by_name = {name: costs([row for row in rows if row["policy"] == name]) for name in {r["policy"] for r in rows}}
    for name, values in by_name.items():
        assert (values >= by_name["lower-bound"] - 1e-9).all()
        if name != "lower-bound":
            assert (values >= by_name["exact"] - 1e-9).all(), name
    assert by_name["random"].mean() > by_name["top-2"].mean() > by_name["JESA"].mean()


def test_a_bound_is_the_same_in_parallel():
    serial = evaluate_bound("lower-bound", JOINT, scenario="small", seeds=SEEDS)
    parallel = evaluate_bound("lower-bound", JOINT, scenario="small", seeds=SEEDS, jobs=2)
    np.testing.assert_array_equal(costs(serial), costs(parallel))


def test_an_action_outside_the_space_is_refused():
    bad = ConstantPolicy(np.full(28, 99), "gate_scores", 3)
    with pytest.raises(ValueError, match="valid is MultiDiscrete"):
        evaluate(bad, JOINT, scenario="small", seeds=SEEDS)


@pytest.mark.parametrize("seeds", [[1, 1], [1, np.int64(1)], [1.5], [-1], [True], ["1"], []])
def test_seeds_are_different_whole_numbers_or_refused(seeds):
    for run in (partial(evaluate, JointPolicy(JESA(scenario("small")))), partial(evaluate_bound, "lower-bound")):
        with pytest.raises(ValueError, match=r"^seeds"):
            run(JOINT, scenario="small", seeds=seeds)


def test_the_seeds_that_a_vec_env_tells_are_its_episodes():
    envs = BatchedVecEnv(JOINT, 2, scenario="small")
    told = envs.seed(5)
    policy = JointPolicy(JESA(scenario("small")))
    observation, returns = envs.reset(), np.zeros(2)
    for _ in range(envs.core.rounds_per_episode):
        observation, rewards, *_ = envs.step(policy.predict(observation)[0])
        returns += rewards
    rows = evaluate(policy, JOINT, scenario="small", seeds=told)
    np.testing.assert_allclose([row["return"] for row in rows], returns, rtol=1e-5)


def test_held_out_episodes_begin_at_a_million_and_a_hundred_are_run_unless_told():
    assert held_out_seeds(2) == range(1_000_000, 1_000_002)
    assert held_out_seeds(2, 5) == range(1_000_005, 1_000_007)
    tiny = {"num_experts": 2, "num_subcarriers": 2, "num_layers": 1}
    policy = JointPolicy(JESA(DMoEConfig(**tiny)))
    for rows in (evaluate(policy, JOINT, **tiny), evaluate_bound("lower-bound", JOINT, **tiny)):
        assert [row["seed"] for row in rows] == list(range(100))
    assert {row["violations"] for row in evaluate(policy, JOINT, seeds=[1, 2], **tiny)} == {0}
    assert "violations" not in evaluate(policy, JOINT, seeds=[1], check=False, **tiny)[0]


def test_a_comparison_says_how_far_the_mean_lies_off():
    rows = [
        {"policy": name, "env_id": JOINT, "scenario": "small", "configuration": "c", "seed": seed, "cost": cost}
        for name, costs in (("one", (2.0, 4.0)), ("other", (3.0, 4.5)))
        for seed, cost in enumerate(costs)
    ]
    _, found = compare(rows, "one")
    assert (found.policy, found.episodes) == ("other", 2)
    assert found.relative == pytest.approx(7.5 / 6 - 1)
    assert found.difference.mean == pytest.approx(0.75)


@pytest.mark.parametrize("policy", [None, JointPolicy, "JESA", JESA(scenario("small"))])
def test_what_is_no_policy_is_refused(policy):
    with pytest.raises(ValueError, match=r"^policy = .*predict"):
        evaluate(policy, JOINT, scenario="small", seeds=[1])
    with pytest.raises(ValueError, match=r"^batch = 0"):
        evaluate(policy, JOINT, scenario="small", seeds=[1], batch=0)


@pytest.mark.parametrize("scheduler", [JESA, WLR])
def test_a_scheduler_without_its_configuration_is_refused(scheduler):
    for config in ("small", 3, None):
        with pytest.raises(ValueError, match=r"^config = .*scenario\(NAME\)"):
            scheduler(config)


@pytest.mark.parametrize("env_id", dmoe_gym.ENVIRONMENTS)
def test_every_environment_has_a_line_up_with_random_reference_and_optimum(env_id):
    line_up = line_up_of(env_id)
    assert line_up.random in line_up.policies
    assert line_up.reference in line_up.policies
    assert line_up.optimum in {*line_up.policies, *line_up.bounds}


def test_what_is_compiled_ahead_is_run():
    """Every piece of the command: the environment is stepped, every policy and bound decides an episode."""
    tried = dict(pieces("DMoE-JESA-v0", "small"))
    line_up = line_up_of("DMoE-JESA-v0", "small")
    assert {name.partition(": ")[2] for name in tried} == {"", *line_up.policies, *line_up.bounds}
    tried["DMoE-JESA-v0"]()
    assert [row["seed"] for row in tried["DMoE-JESA-v0: lower-bound"]()] == [0]


def test_unknown_names_are_refused():
    with pytest.raises(ValueError, match="valid for DMoE-JESA-v0 are"):
        evaluate_line_up(JOINT, seeds=SEEDS, names=["nobody"])
    with pytest.raises(ValueError, match="valid for DMoE-JESA-v0 here are exact"):
        evaluate_bound("nobody", JOINT, seeds=SEEDS)
    with pytest.raises(ValueError, match=r"CartPole-v1.*valid are DMoE-DES-v0"):
        line_up_of("CartPole-v1")


def test_the_interval_covers_the_mean_as_often_as_it_says():
    generator = np.random.default_rng(7)
    trials = 300
    hits = 0
    for _ in range(trials):
        interval = Interval.of(generator.exponential(size=80))
        hits += interval.low <= 1 <= interval.high
    # binomial(300, 0.95) has standard deviation 3.8; the percentile method is known to cover slightly less
    assert 0.88 * trials <= hits <= 0.99 * trials


def test_paired_differences_cancel_what_episodes_share():
    generator = np.random.default_rng(3)
    shared = generator.exponential(size=200)
    rows = []
    for seed, value in enumerate(shared):
        rows.append({"policy": "reference", "seed": seed, "cost": value})
        rows.append({"policy": "worse", "seed": seed, "cost": value + 0.01})
    worse = compare(rows, "reference")[1]
    assert worse.difference.mean == pytest.approx(0.01)
    assert worse.difference.low > 0.009
    assert worse.value.high - worse.value.low > 0.1  # unpaired, nothing could be said


def test_comparing_other_configurations_is_refused():
    """Rows of one seed are of one episode only where everything else is the same."""
    rows, stricter = (
        evaluate_line_up(JOINT, seeds=SEEDS[:2], names=["JESA", "top-1"], **fields)
        for fields in ({}, {"threshold": 0.9})
    )
    assert len({row["configuration"] for row in rows}) == 1
    assert len(compare(rows, "JESA")) == 2
    mixed = [row for row in rows if row["policy"] == "JESA"] + [row for row in stricter if row["policy"] == "top-1"]
    with pytest.raises(ValueError, match="'top-1' ran in another configuration than 'JESA'"):
        compare(mixed, "JESA")


def test_comparing_other_episodes_is_refused():
    rows = [{"policy": "a", "seed": 0, "cost": 1.0}, {"policy": "b", "seed": 1, "cost": 1.0}]
    with pytest.raises(ValueError, match="other seeds"):
        compare(rows, "a")
    with pytest.raises(ValueError, match="reference = 'c'"):
        compare(rows, "c")


def test_random_schedules_are_feasible_and_differ():
    rows = evaluate(JointPolicy(Random(scenario("scarce"), seed=1)), JOINT, scenario="scarce", seeds=SEEDS)
    again = evaluate(JointPolicy(Random(scenario("scarce"), seed=1)), JOINT, scenario="scarce", seeds=SEEDS)
    other = evaluate(JointPolicy(Random(scenario("scarce"), seed=2)), JOINT, scenario="scarce", seeds=SEEDS)
    assert all(row["violations"] == 0 for row in rows)
    np.testing.assert_array_equal(costs(rows), costs(again))
    assert (costs(rows) != costs(other)).all()


def test_a_table_on_the_terminal_keeps_units_and_names_in_brackets():
    headings = [metric.heading for metric in system_of(JOINT).metrics]
    console = Console(width=200)
    with console.capture() as captured:
        print_table(
            console, headings, [["run [bold]"] + ["[link] 1 of many more than there are"] * 3], title="cost [%]"
        )
    for text in ("cost [%]", "run [bold]", "[link] 1 of many more than there are", *headings):
        assert text in captured.get()


@pytest.mark.parametrize(("width", "parts"), [(35, 12), (80, 5), (400, 1)])
def test_no_digit_is_cut_where_the_terminal_is_narrow(width, parts):
    headings = ["policy", *(f"figure number {number} [mJ]" for number in range(12))]
    body = [["JESA", *(f"{number}.123456\n[0.111111, {number}.999999]" for number in range(12))]]
    console = Console(width=width)
    with console.capture() as captured:
        print_table(console, headings, body)
    lines = captured.get().splitlines()
    assert max(map(len, lines)) <= width
    for number in range(12):
        assert sum(f" {number}.123456 " in f"{line} " for line in lines) == 1
        assert sum(f"[0.111111, {number}.999999]" in line for line in lines) == 1
    # every part names the policy again
    assert sum("JESA" in line for line in lines) == parts


class AllAlone(Scheduler):
    """Every node serves its own hidden states."""

    def schedule(self, observation):
        batch, nodes, states, _ = observation["gate_scores"].shape
        selected = np.broadcast_to(np.eye(nodes, dtype=bool)[:, None], (batch, nodes, states, nodes)).copy()
        return selected, np.full((batch, nodes, nodes), -1)


def test_a_scheduler_of_ones_own_joins_the_line_up():
    config = scenario("budget")
    ways = {"class": AllAlone, "scheduler": AllAlone(config), "policy": JointPolicy(AllAlone(config))}
    rows = evaluate_line_up(JOINT, scenario="budget", seeds=SEEDS, names=["JESA", *ways], extra=ways)
    by_name = {name: costs([row for row in rows if row["policy"] == name]) for name in ways}
    assert {row["policy"] for row in rows} == {"JESA", *ways}
    assert all(row["violations"] == 0 and row["energy_communication_J"] == 0 for row in rows if row["policy"] != "JESA")
    for name in ways:
        np.testing.assert_array_equal(by_name[name], by_name["class"])


def test_what_cannot_join_is_refused():
    with pytest.raises(ValueError, match="extra = 'JESA'"):
        evaluate_line_up(JOINT, seeds=SEEDS, extra={"JESA": AllAlone})
    with pytest.raises(ValueError, match="valid are schedulers, policies"):
        evaluate_line_up(JOINT, seeds=SEEDS, extra={"nothing": lambda config: None})

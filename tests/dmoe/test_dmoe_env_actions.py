"""Actions of the environments that decide rounds: decoding, encoding, repair, and what lies outside the space."""

from __future__ import annotations

from copy import deepcopy

import numpy as np
import pytest
from dmoe_builders import DES, ENV_IDS, JOINT, PRICE, SCENARIOS, SEQUENTIAL, make
from gymnasium import spaces

from dmoe_gym.actions import ActionCheck
from dmoe_gym.dmoe import Round, Schedule, check, cost, solve_exact, solve_jesa, top_k
from dmoe_gym.dmoe.solvers.heuristics import channel_greedy


def carried_out(env, action) -> tuple[Schedule, dict[str, float]]:
    """The schedule that an action decodes to in the present round, and the step's info; `env` stays where it is."""
    twin = deepcopy(env)
    info = twin.step(action)[-1]
    return twin.schedule, info


def assert_same(one: Schedule, other: Schedule) -> None:
    np.testing.assert_array_equal(one.selected, other.selected)
    np.testing.assert_array_equal(one.allocated, other.allocated)


# --- DMoE-JESA-v0


@pytest.mark.parametrize("scenario", ["small", "scarce", "paper"])
def test_encode_is_the_exact_inverse_for_feasible_schedules(scenario):
    """Of schedulers' schedules, and of whatever random actions decode to."""
    env = make(JOINT, **SCENARIOS[scenario])
    env.action_space.seed(1)
    env.reset(seed=1)
    for _ in range(2 if scenario == "paper" else 8):
        schedules = [solve_jesa(env.round), solve_exact(env.round), channel_greedy(env.round)]
        schedules += [carried_out(env, env.action_space.sample())[0] for _ in range(5)]
        for schedule in schedules:
            assert check(env.round, schedule) == []
            action = env.encode(schedule)
            assert env.action_space.contains(action)
            decoded, info = carried_out(env, action)
            assert_same(decoded, schedule)
            assert info["repairs"] == 0
        env.step(action)


def test_a_subcarrier_of_an_idle_link_is_not_part_of_an_action():
    """Wishes of links that carry nothing are ignored, so such a schedule comes back without it, at the same cost."""
    env = make(JOINT, scenario="small")
    env.reset(seed=2)
    schedule = solve_jesa(env.round)
    idle = tuple(next(link for link in np.argwhere(~schedule.allocated.any(-1)) if link[0] != link[1]))
    free = np.flatnonzero(~schedule.allocated.any((0, 1)))[0]
    allocated = schedule.allocated.copy()
    allocated[(*idle, free)] = True
    idle_holds_one = Schedule(schedule.selected, allocated)
    assert check(env.round, idle_holds_one) == []
    decoded, info = carried_out(env, env.encode(idle_holds_one))
    assert_same(decoded, schedule)
    assert info["cost"] == pytest.approx(cost(env.round, idle_holds_one))


def test_the_joint_action_is_selection_bits_then_one_subcarrier_per_link():
    """docs/dmoe.md, spelled out by hand for K = 2, N = 1, M = 3: [a00 a01 a10 a11 | m01 m10]."""
    env = make(JOINT, num_experts=2, num_subcarriers=3, threshold=0.0)
    assert env.action_space.nvec.tolist() == [2, 2, 2, 2, 3, 3]
    env.reset(seed=0)
    schedule, info = carried_out(env, np.array([0, 1, 1, 1, 2, 0]))
    assert schedule.selected.tolist() == [[[False, True]], [[True, True]]]
    assert np.argwhere(schedule.allocated).tolist() == [[0, 1, 2], [1, 0, 0]]
    assert info["repairs"] == 0


def joint_action(env, selected, wishes=()) -> np.ndarray:
    """An action from a selection (K, N, K) and (i, j, m) wishes; other links wish subcarrier 0."""
    experts = env.config.num_experts
    subcarrier = np.zeros((experts, experts), int)
    for i, j, m in wishes:
        subcarrier[i, j] = m
    return np.r_[np.asarray(selected).ravel(), subcarrier[~np.eye(experts, dtype=bool)]].astype(int)


def test_more_than_d_experts_lose_the_weakest():
    env = make(JOINT, scenario="small", threshold=0.0)
    env.reset(seed=3)
    wishes = [(i, j, 4 * i + j) for i in range(4) for j in range(4)]
    schedule, info = carried_out(env, joint_action(env, np.ones((4, 1, 4)), wishes))
    best = np.argsort(-env.round.gate_scores, axis=-1)[..., :2]
    assert all(schedule.selected[i, 0, best[i, 0]].all() for i in range(4))
    assert info["repairs"] == 4 * 2


def test_of_links_that_want_one_subcarrier_the_better_keeps_it():
    env = make(JOINT, scenario="small", threshold=0.0)
    env.reset(seed=4)
    selected = np.zeros((4, 1, 4))
    selected[[0, 1, 2, 3], 0, [1, 2, 3, 0]] = 1
    links = [(0, 1), (1, 2), (2, 3), (3, 0)]
    schedule, info = carried_out(env, joint_action(env, selected, [(*link, 5) for link in links]))
    gains = env.round.gains
    keeper = max(links, key=lambda link: gains[(*link, 5)])
    assert np.argwhere(schedule.allocated[..., 5]).tolist() == [list(keeper)]
    assert info["repairs"] == 3
    # the others take the next free ones: 6, 7 and 8, whatever their rates
    assert np.flatnonzero(schedule.allocated.any((0, 1))).tolist() == [5, 6, 7, 8]
    assert {(int(i), int(j)) for i, j, _ in np.argwhere(schedule.allocated)} == set(links)


def test_repairs_raise_relevance_and_do_not_weigh_energy():
    """A state without experts gets its best scores, over the subcarriers its action wishes, until the threshold."""
    env = make(JOINT, scenario="small")
    env.reset(seed=5)
    for _ in range(8):
        scores = env.round.gate_scores[:, 0]
        wishes = [(i, j, 4 * i + j) for i in range(4) for j in range(4)]
        schedule, info = carried_out(env, joint_action(env, np.zeros((4, 1, 4)), wishes))
        for i in range(4):
            first, second = np.argsort(-scores[i])[:2]
            expected = {first} if scores[i, first] >= 0.5 else {first, second}
            assert set(np.flatnonzero(schedule.selected[i, 0])) == expected
        active = [(i, j) for i, j in np.argwhere(schedule.selected[:, 0]) if i != j]
        assert np.argwhere(schedule.allocated).tolist() == [[i, j, 4 * i + j] for i, j in active]
        assert info["repairs"] == schedule.selected.sum()
        env.step(np.zeros(env.action_space.shape, int))


@pytest.mark.parametrize("scenario", ["small", "scarce"])
def test_an_action_without_experts_is_repaired_for_every_state(scenario):
    env = make(JOINT, scenario=scenario)
    env.reset(seed=5)
    states = env.config.num_experts * env.config.num_states
    schedule, info = carried_out(env, np.zeros(env.action_space.shape, int))
    assert check(env.round, schedule) == []
    assert info["repairs"] >= states
    # and every state wanting every expert over subcarrier 0
    schedule, info = carried_out(env, (env.action_space.nvec == 2).astype(int))
    assert check(env.round, schedule) == []
    assert info["repairs"] >= states * (env.config.num_experts - env.config.max_experts)


def test_only_the_id_whose_actions_name_schedules_encodes():
    for env_id in (SEQUENTIAL, PRICE, DES):
        env = make(env_id)
        env.reset(seed=0)
        with pytest.raises(NotImplementedError, match="cannot name a whole schedule"):
            env.encode(top_k(env.round, 1))


# --- DMoE-JESA-Price-v0


@pytest.mark.parametrize("scenario", ["small", "scarce", "paper"])
def test_price_action_zero_is_jesa(scenario):
    env = make(PRICE, **SCENARIOS[scenario])
    env.reset(seed=6)
    for _ in range(2 if scenario == "paper" else 8):
        expected, round = solve_jesa(env.round), env.round
        _, reward, _, _, _ = env.step(np.zeros(env.action_space.shape, np.float32))
        assert_same(env.schedule, expected)
        assert reward == pytest.approx(-cost(round, expected), rel=1e-9)


@pytest.mark.parametrize("factor", [-1.0, -0.3, 0.5, 1.0])
def test_the_last_entry_scales_the_threshold(factor):
    """1.5^factor on the threshold JESA runs with; below 1 the true threshold is cured back, above it stays."""
    env = make(PRICE, scenario="small", threshold=0.4)
    env.reset(seed=7)
    for _ in range(8):
        round = env.round
        asked = Round(round.gate_scores, round.gains, min(1.0, round.threshold * 1.5**factor), round.config)
        expected = solve_jesa(asked)
        action = np.zeros(env.action_space.shape, np.float32)
        action[-1] = factor
        env.step(action)
        if factor > 0 or check(round, expected) == []:
            assert_same(env.schedule, expected)
        assert check(round, env.schedule) == []


@pytest.mark.parametrize("price", [-1.0, 0.4, 1.0])
def test_link_prices_scale_transmission_against_computation(price):
    """4^price on all links is JESA for hidden states of 4^price the size whose computation stays what it is."""
    env = make(PRICE, scenario="small")
    env.reset(seed=8)
    factor = 4.0**price
    low, high = env.config.computation_energy_range
    config = env.config.replace(
        state_size_bit=factor * env.config.state_size_bit, computation_energy_range=(low / factor, high / factor)
    )
    changed = 0
    for _ in range(8):
        round = env.round
        expected = solve_jesa(Round(round.gate_scores, round.gains, round.threshold, config))
        changed += (expected.selected != solve_jesa(round).selected).any()
        env.step(np.r_[np.full(12, price), 0.0].astype(np.float32))
        assert_same(env.schedule, expected)
    assert changed or price == 0.4


def test_links_are_priced_in_the_order_of_their_index():
    """The entry of 0 -> 1 comes first, node after node: whichever link is 16 times cheaper than the others is used."""
    env = make(
        PRICE, num_experts=3, num_subcarriers=6, max_experts=1, threshold=0.2, computation_energy_range=(0.0, 0.0)
    )
    links = [(i, j) for i in range(3) for j in range(3) if i != j]
    used = []
    for episode in range(30):
        env.reset(seed=9 if episode == 0 else None)
        meets = env.round.gate_scores[:, 0] >= 0.2
        for index, (i, j) in enumerate(links):
            if meets[i].sum() == 2 and not meets[i, i]:  # both other experts would do, the node's own does not
                action = np.ones(7, np.float32)
                action[[index, -1]] = -1, 0
                used.append(carried_out(env, action)[0].selected[i, 0, j])
    assert len(used) >= 20
    assert np.mean(used) > 0.9


@pytest.mark.parametrize("entry", [-1.0, -0.4, 0.6])
def test_under_a_budget_the_last_entry_prices_relevance(entry):
    """One unit of a hidden state's relevance is worth 3 x 4^entry units of energy: by enumeration of both experts."""
    env = make(PRICE, num_experts=2, num_states=1, num_subcarriers=8, max_experts=1, relevance_budget=0.5)
    remote = judged = 0
    for episode in range(12):
        env.reset(seed=10 if episode == 0 else None)
        for _ in range(env.config.num_layers):
            round, constants = env.round, env.core.constants
            if round.gains[0, 1].argmax() == round.gains[1, 0].argmax():
                env.step(np.zeros(3, np.float32))
                continue  # who gives way is JESA's business
            _, _, _, _, _ = env.step(np.array([0, 0, entry], np.float32))
            for i in range(2):
                link = constants.transmission / round.spectral_efficiency[i, 1 - i].max()
                energy = constants.computation + np.where(np.arange(2) == i, 0.0, link)
                worth = 3.0 * 4.0**entry * round.gate_scores[i, 0] - energy
                assert env.schedule.selected[i, 0].argmax() == worth.argmax()
                remote += worth.argmax() != i
                judged += 1
    assert 20 < remote < judged - 20


# --- the action space


@pytest.mark.parametrize("scenario", ["small", "scarce"])
@pytest.mark.parametrize("env_id", ENV_IDS)
def test_the_corners_of_the_action_space_are_accepted(env_id, scenario):
    """Random actions are taken everywhere else in these tests."""
    env = make(env_id, scenario=scenario)
    space = env.action_space
    if not isinstance(space, spaces.Box | spaces.Discrete):
        top = np.ones(space.shape, np.int8) if env_id == DES else space.nvec - 1
        corners = [np.zeros_like(top), top]
    elif env_id == SEQUENTIAL:
        corners = [0, space.n - 1, np.int32(1)]
    else:
        corners = [space.low, space.high, np.zeros(space.shape)]
    env.reset(seed=10)
    for corner in corners:
        assert np.isfinite(env.step(corner)[1])


def test_bits_may_come_as_any_numbers():
    """Stable-Baselines3's policies answer a MultiBinary space with 0.0 and 1.0."""
    env = make(DES, scenario="small")
    env.reset(seed=12)
    bits = np.array([1, 0, 1, 0], np.int8)
    steps = [deepcopy(env).step(bits.astype(dtype)) for dtype in (np.int8, bool, np.float32, np.int64)]
    assert len({step[1] for step in steps}) == 1


BAD_ACTIONS = {
    JOINT: [
        (lambda space: np.r_[2, np.zeros(space.shape[0] - 1, int)], ["[0]", "2"]),
        (lambda space: space.nvec, ["valid"]),
        (lambda space: np.full(space.shape, -1), ["-1"]),
        (lambda space: np.zeros(space.shape[0] + 1, int), ["shape"]),
        (lambda space: np.zeros(space.shape), ["dtype float64"]),
        (lambda space: 0, ["shape ()"]),
    ],
    SEQUENTIAL: [
        (lambda space: space.n, ["action = ", "Discrete"]),
        (lambda space: -1, ["-1"]),
        (lambda space: 1.0, ["dtype float64"]),
        (lambda space: [0], ["shape (1,)"]),
        (lambda space: None, ["dtype object"]),
    ],
    PRICE: [
        (lambda space: np.full(space.shape, np.inf, np.float32), ["[0]", "inf"]),
        (lambda space: np.full(space.shape, np.nan, np.float32), ["nan"]),
        (lambda space: np.zeros(space.shape[0] - 1, np.float32), ["shape"]),
        (lambda space: np.full(space.shape, "dear"), ["dtype"]),
        (lambda space: np.full(space.shape, 1j), ["dtype"]),
    ],
    DES: [
        (lambda space: np.full(space.shape, 2, np.int8), ["[0]", "2"]),
        (lambda space: np.zeros(space.shape[0] + 1, np.int8), ["shape"]),
        (lambda space: np.full(space.shape, 0.5), ["[0]", "0.5"]),
        (lambda space: np.full(space.shape, np.nan), ["nan"]),
    ],
}


@pytest.mark.parametrize(
    ("env_id", "build", "words"), [(env_id, *case) for env_id, cases in BAD_ACTIONS.items() for case in cases]
)
def test_an_action_outside_the_space_is_refused_and_changes_nothing(env_id, build, words):
    env = make(env_id)
    env.reset(seed=11)
    untouched = deepcopy(env)
    with pytest.raises(ValueError, match="action") as error:
        env.step(build(env.action_space))
    for word in words:
        assert word in str(error.value)
    env.action_space.seed(0)
    action = env.action_space.sample()
    assert env.step(action)[1] == untouched.step(action)[1]


@pytest.mark.parametrize(
    ("space", "given"),
    [
        (spaces.Box(-1, 1, (2,)), (np.zeros(2), None)),  # as long as the action is
        (spaces.Box(-1, 1, (3,)), (np.zeros(3), None)),
        (spaces.Box(-1, 1, (2,)), (np.zeros(2), (0.0, 0.0))),  # which numpy takes for numbers of another shape
        (spaces.Box(-1, 1, (3,)), (np.zeros(3), (np.zeros((1, 8)), np.zeros((1, 8))))),
        (spaces.MultiDiscrete([2, 2]), (np.zeros(2, int), None)),
        (spaces.Discrete(3), (np.array(1), None)),
    ],
)
def test_what_predict_returns_is_no_action(space, given):
    """A pair of action and state is named as what it is, whatever its shape."""
    with pytest.raises(ValueError, match=r"is a pair \(action, state\).*valid is its first part"):
        ActionCheck(space, 1).single(given)


def test_lists_of_numbers_are_actions():
    """Of as many entries as a pair has, too."""
    np.testing.assert_array_equal(ActionCheck(spaces.Box(-1, 1, (2,)), 1).single((0.5, -0.5)), [[0.5, -0.5]])
    np.testing.assert_array_equal(ActionCheck(spaces.MultiDiscrete([2, 3]), 2)([(1, 2), (0, 1)]), [[1, 2], [0, 1]])

"""Masks of the sequential environment against a search through every way to finish the round."""

from __future__ import annotations

from copy import deepcopy
from dataclasses import dataclass
from itertools import combinations, product

import numpy as np
import pytest
from dmoe_builders import SEQUENTIAL, make

# the tolerance of 32-bit relevance sums that `env/masks.py` documents
ROUNDING = 1e-6

# name: sizes; the first group has subcarriers for every link that could be asked for, from the first pick on
PLENTY = {
    "two nodes": {"num_experts": 2, "num_states": 2, "num_subcarriers": 2, "max_experts": 2},
    "three nodes": {"num_experts": 3, "num_states": 1, "num_subcarriers": 6, "max_experts": 2},
    "three nodes, high threshold": {
        "num_experts": 3, "num_states": 2, "num_subcarriers": 6, "max_experts": 2, "threshold": 0.95
    },
    "one expert each": {"num_experts": 4, "num_states": 1, "num_subcarriers": 4, "max_experts": 1},
    # just enough at first: 4 nodes, at most 2 new links each, although each has 3 links
    "just enough": {"num_experts": 4, "num_states": 1, "num_subcarriers": 8, "max_experts": 2, "threshold": 0.8},
    "no threshold": {"num_experts": 3, "num_states": 1, "num_subcarriers": 6, "max_experts": 3, "threshold": 0.0},
}  # fmt: skip
SCARCE = {
    "one subcarrier": {"num_experts": 3, "num_states": 2, "num_subcarriers": 1, "max_experts": 2},
    "two subcarriers": {"num_experts": 3, "num_states": 2, "num_subcarriers": 2, "max_experts": 3},
    # scarce at first, plenty as soon as early nodes stayed at home
    "one too few": {"num_experts": 3, "num_states": 1, "num_subcarriers": 5, "max_experts": 2},
    "four nodes": {"num_experts": 4, "num_states": 2, "num_subcarriers": 6, "max_experts": 2},
}


@dataclass(frozen=True)
class Position:
    """A partial schedule, read from an observation: whose turn it is, what it has, which links hold what."""

    turn: int
    chosen: frozenset[int]
    links: frozenset[tuple[int, int, int]]  # (i, j, m)


class Game:
    """The rules of the sequential environment for one round, from its documentation and without its code."""

    def __init__(self, env, observation) -> None:
        config = env.config
        self.experts, self.states, self.subcarriers = config.num_experts, config.num_states, config.num_subcarriers
        self.limit = config.max_experts
        self.done = self.experts * self.subcarriers
        self.scores = observation["gate_scores"].astype(float)
        self.rates = observation["spectral_efficiency"]
        self.threshold = float(observation["threshold"][0])

    def read(self, observation) -> Position:
        (turn,) = np.flatnonzero(observation["turn"])
        i, n = divmod(int(turn), self.states)
        chosen = frozenset(np.flatnonzero(observation["selected"][i, n]).tolist())
        return Position(int(turn), chosen, frozenset(map(tuple, np.argwhere(observation["allocated"]).tolist())))

    def relevance(self, position: Position) -> float:
        i, n = divmod(position.turn, self.states)
        return sum(self.scores[i, n, j] for j in position.chosen)

    def picks(self, position: Position) -> list[int]:
        """Own expert as m = 0; over the link's subcarrier; over any free one where the link has none."""
        if len(position.chosen) == self.limit:
            return []
        i = position.turn // self.states
        taken = {m for _, _, m in position.links}
        held = {j: m for source, j, m in position.links if source == i}
        picks = []
        for j in set(range(self.experts)) - position.chosen:
            if j == i:
                picks.append(j * self.subcarriers)
            elif j in held:
                picks.append(j * self.subcarriers + held[j])
            else:
                free = [m for m in range(self.subcarriers) if m not in taken and self.rates[i, j, m] > 0]
                picks += [j * self.subcarriers + m for m in free]
        return picks

    def after(self, position: Position, action: int) -> Position:
        """The D-th pick ends the hidden state, as "done" does."""
        if action == self.done:
            return Position(position.turn + 1, frozenset(), position.links)
        i = position.turn // self.states
        j, m = divmod(action, self.subcarriers)
        chosen, links = position.chosen | {j}, position.links | ({(i, j, m)} if i != j else set())
        if len(chosen) == self.limit:
            return Position(position.turn + 1, frozenset(), links)
        return Position(position.turn, chosen, links)

    def target(self, turn: int) -> float:
        """The smaller of the threshold and the D best scores."""
        i, n = divmod(turn, self.states)
        return min(self.threshold, np.sort(self.scores[i, n])[-self.limit :].sum())

    def reaches_target(self, position: Position) -> bool:
        return bool(position.chosen) and self.relevance(position) >= self.target(position.turn) - ROUNDING

    def allowed(self, position: Position, action: int) -> bool:
        """Does an action keep it possible that this and every later hidden state reaches its target?"""
        if action == self.done:
            return self.reaches_target(position) and self.completable(self.after(position, action))
        after = self.after(position, action)
        if after.turn > position.turn:  # the D-th pick
            last = Position(position.turn, position.chosen | {action // self.subcarriers}, after.links)
            return self.reaches_target(last) and self.completable(after)
        return self.completable(after)

    def completable(self, position: Position) -> bool:
        if position.turn == self.experts * self.states:
            return True
        return any(self.allowed(position, action) for action in [self.done, *self.picks(position)])

    def suffice(self, position: Position) -> bool:
        """Is there a free subcarrier for every new link that the rest of the round could ask for, at the most?"""
        current, now = divmod(position.turn, self.states)
        wanted = 0
        for i in range(current, self.experts):
            linked = {j for source, j, _ in position.links if source == i}
            new = [j for j in range(self.experts) if j not in linked | {i}]
            first = now if i == current else 0
            rooms = [
                self.limit - (len(position.chosen) if (i, n) == (current, now) else 0)
                for n in range(first, self.states)
            ]
            unions = product(*(combinations(new, min(room, len(new))) for room in rooms))
            wanted += max(len(set().union(*sets)) for sets in unions)
        return self.subcarriers - len(position.links) >= wanted

    def mask(self, position: Position) -> set[int]:
        """What should be feasible: see `dmoe_gym.dmoe.env.masks`."""
        picks = self.picks(position)
        if self.suffice(position):
            return {action for action in [self.done, *picks] if self.allowed(position, action)}
        return {*picks, self.done} if position.chosen else set(picks)


def walk(sizes, episodes: int, seed: int):
    """Random feasible play, all layers of some episodes: (env, game, position) before every step."""
    env = make(SEQUENTIAL, num_layers=2, **sizes)
    generator = np.random.default_rng(seed)
    for episode in range(episodes):
        observation, _ = env.reset(seed=seed if episode == 0 else None)
        terminated = False
        while not terminated:
            game = Game(env, observation)
            yield env, game, game.read(observation)
            observation, _, terminated, _, _ = env.step(generator.choice(np.flatnonzero(env.action_masks())))


@pytest.mark.parametrize("name", [*PLENTY, *SCARCE])
def test_masks_are_exact(name):
    """Every unmasked action can be completed to a schedule that meets the target, every masked one cannot.

    Where subcarriers may run out there is no target: there every expert in reach is feasible.
    """
    for env, game, position in walk({**PLENTY, **SCARCE}[name], episodes=6, seed=1):
        mask = env.action_masks()
        assert mask.shape == (game.done + 1,)
        assert mask.any()
        assert set(np.flatnonzero(mask).tolist()) == game.mask(position)
        assert game.suffice(position) or name in SCARCE


def test_both_kinds_of_masks_occur_in_one_round():
    """ "one too few" starts scarce and has plenty once a node stays at home."""
    suffices = {game.suffice(position) for _, game, position in walk(SCARCE["one too few"], episodes=20, seed=2)}
    assert suffices == {False, True}


@pytest.mark.parametrize("name", PLENTY)
def test_feasible_play_meets_every_target_where_subcarriers_suffice(name):
    shortfalls = []
    env = make(SEQUENTIAL, num_layers=2, **PLENTY[name])
    generator = np.random.default_rng(3)
    for episode in range(10):
        env.reset(seed=3 if episode == 0 else None)
        terminated = False
        while not terminated:
            _, _, terminated, _, info = env.step(generator.choice(np.flatnonzero(env.action_masks())))
            shortfalls.append(info["shortfall"])
            assert info["repairs"] == 0
    assert max(shortfalls) <= ROUNDING


def nearest(game: Game, position: Position, mask: set[int], action: int) -> int:
    """The documented replacement: the wished expert, else the one of largest score, each over its best subcarrier."""
    i, n = divmod(position.turn, game.states)
    picks = mask - {game.done}
    if not picks:
        return game.done
    experts = {pick // game.subcarriers for pick in picks}
    wished = action // game.subcarriers
    expert = wished if wished in experts else max(experts, key=lambda j: game.scores[i, n, j])
    ways = [pick for pick in picks if pick // game.subcarriers == expert]
    return max(ways, key=lambda pick: game.rates[i, expert, pick % game.subcarriers])


@pytest.mark.parametrize("name", ["three nodes", "two subcarriers"])
def test_masked_actions_are_accepted_as_the_nearest_feasible_one(name):
    replaced = 0
    for env, game, position in walk({**PLENTY, **SCARCE}[name], episodes=2, seed=4):
        mask = set(np.flatnonzero(env.action_masks()).tolist())
        for action in set(range(game.done + 1)) - mask:
            one, other = deepcopy(env), deepcopy(env)
            observation, reward, *_, info = one.step(action)
            expected, expected_reward, *_, expected_info = other.step(nearest(game, position, mask, action))
            assert info["repairs"] == expected_info["repairs"] + 1
            assert reward == expected_reward
            for key, value in observation.items():
                np.testing.assert_array_equal(value, expected[key])
            replaced += 1
    assert replaced > 100


def test_the_mask_in_info_is_the_mask():
    env = make(SEQUENTIAL, scenario="scarce")
    _, info = env.reset(seed=5)
    terminated = False
    while not terminated:
        assert info["action_mask"].dtype == np.int8
        np.testing.assert_array_equal(info["action_mask"], env.action_masks())
        assert env.action_masks().dtype == bool
        _, _, terminated, _, info = env.step(np.flatnonzero(env.action_masks())[0])
    assert np.flatnonzero(info["action_mask"]).tolist() == [env.action_space.n - 1]


def test_masks_handed_out_are_copies():
    env = make(SEQUENTIAL)
    env.reset(seed=6)
    mask = env.action_masks()
    before = mask.copy()
    mask[:] = False
    np.testing.assert_array_equal(env.action_masks(), before)

"""What every channel and every knowledge of it has in common: determinism, independence of the batch, shapes."""

from __future__ import annotations

import copy
import inspect
import json
import pickle
import re

import numpy as np
import pytest
from channel_statistics import EVERY, KNOWLEDGE, generators

from dmoe_gym.channel import (
    ChannelConfig,
    CSIConfig,
    KnowledgeConfig,
    LargeScaleConfig,
    MobilityConfig,
    PerfectKnowledge,
    RayleighConfig,
)
from dmoe_gym.config import kinds
from dmoe_gym.dmoe import DMoEConfig

NODES, SUBCARRIERS, ROUNDS = 3, 5, 6


def rollout(config, csi, batch: int, rngs) -> tuple[np.ndarray, np.ndarray]:
    """Two episodes of all environments: true and observed gains, (2 ROUNDS, batch, K, K, M)."""
    process = config.build(batch, (NODES, NODES), SUBCARRIERS)
    knowledge = csi.build(process)
    rows, true, observed = range(batch), [], []
    for round_ in range(2 * ROUNDS):
        step = "start" if round_ % ROUNDS == 0 else "advance"
        getattr(process, step)(rows, rngs)
        getattr(knowledge, step)(rows, rngs)
        true.append(process.gains.copy())
        observed.append(knowledge.observed_gains.copy())
    return np.array(true), np.array(observed)


@pytest.mark.parametrize("csi", KNOWLEDGE.values(), ids=KNOWLEDGE)
@pytest.mark.parametrize("config", EVERY.values(), ids=EVERY)
def test_an_environment_is_the_same_in_every_batch(config, csi):
    true, observed = rollout(config, csi, 5, generators(5))
    assert true.dtype == observed.dtype == np.float32
    assert np.isfinite(true).all()
    assert (true >= 0).all()
    assert (observed >= 0).all()
    for row in range(5):
        alone, seen = rollout(config, csi, 1, [generators(5)[row]])
        np.testing.assert_array_equal(alone[:, 0], true[:, row])
        np.testing.assert_array_equal(seen[:, 0], observed[:, row])
    assert not np.array_equal(true[:, 0], true[:, 1])


@pytest.mark.parametrize("config", EVERY.values(), ids=EVERY)
def test_episodes_may_start_at_different_times(config):
    """Environment 1 starts its second episode two rounds late; every environment still sees its own trajectory."""
    csi = CSIConfig(delay_rounds=2, error_variance=0.2)
    true, observed = rollout(config, csi, 2, generators(2))
    process = config.build(2, (NODES, NODES), SUBCARRIERS)
    knowledge, rngs = csi.build(process), generators(2)
    clocks = [0, -2]
    while clocks[1] < 2 * ROUNDS - 1:
        for step, rows in (
            ("start", [row for row in (0, 1) if 0 <= clocks[row] < 2 * ROUNDS and clocks[row] % ROUNDS == 0]),
            ("advance", [row for row in (0, 1) if 0 <= clocks[row] < 2 * ROUNDS and clocks[row] % ROUNDS]),
        ):
            getattr(process, step)(rows, rngs)
            getattr(knowledge, step)(rows, rngs)
        for row in (0, 1):
            if 0 <= clocks[row] < 2 * ROUNDS:
                np.testing.assert_array_equal(process.gains[row], true[clocks[row], row])
                np.testing.assert_array_equal(knowledge.observed_gains[row], observed[clocks[row], row])
        clocks = [clock + 1 for clock in clocks]


@pytest.mark.parametrize("config", EVERY.values(), ids=EVERY)
def test_trajectories_do_not_depend_on_the_knowledge(config):
    perfect, _ = rollout(config, KNOWLEDGE["perfect"], 2, generators(2))
    for csi in KNOWLEDGE.values():
        np.testing.assert_array_equal(rollout(config, csi, 2, generators(2))[0], perfect)


class CountingGenerator(np.random.Generator):
    """A generator that counts the numbers asked of it."""

    def __init__(self, seed: int) -> None:
        super().__init__(np.random.PCG64(seed))
        self.count = 0

    def standard_normal(self, size=None, dtype=np.float64, out=None):
        self.count += int(np.prod(out.shape if out is not None else size))
        return super().standard_normal(size, dtype, out)

    def standard_exponential(self, size=None, dtype=np.float64, method="zig", out=None):
        self.count += int(np.prod(out.shape if out is not None else size))
        return super().standard_exponential(size, dtype, method, out)

    def random(self, size=None, dtype=np.float64, out=None):
        self.count += int(np.prod(size))
        return super().random(size, dtype, out)

    def uniform(self, low=0.0, high=1.0, size=None):
        self.count += int(np.prod(size))
        return super().uniform(low, high, size)


@pytest.mark.parametrize("config", EVERY.values(), ids=EVERY)
def test_the_count_of_random_numbers_does_not_depend_on_what_was_drawn(config):
    process, counts = config.build(1, (NODES, NODES), SUBCARRIERS), set()
    for seed in range(5):
        rng = CountingGenerator(seed)
        process.start([0], [rng])
        for _ in range(50):
            process.advance([0], [rng])
        counts.add(rng.count)
    assert len(counts) == 1
    assert counts.pop() > 0


@pytest.mark.parametrize("config", EVERY.values(), ids=EVERY)
def test_configurations_survive_json(config):
    whole = DMoEConfig(channel=config)
    assert DMoEConfig(**json.loads(whole.model_dump_json())) == whole
    assert DMoEConfig(**whole.model_dump()).channel == config


@pytest.mark.parametrize("copied_by", [copy.deepcopy, lambda thing: pickle.loads(pickle.dumps(thing))])
@pytest.mark.parametrize("csi", KNOWLEDGE.values(), ids=KNOWLEDGE)
@pytest.mark.parametrize("config", EVERY.values(), ids=EVERY)
def test_a_copy_goes_on_as_the_original_does(config, csi, copied_by):
    process = config.build(1, (NODES, NODES), SUBCARRIERS)
    both = process, csi.build(process), generators()
    both[0].start([0], both[2])
    both[1].start([0], both[2])
    twins = copied_by(both)
    for _ in range(3):
        before = process.gains.copy()
        for process_, knowledge, rngs in (both, twins):
            process_.advance([0], rngs)
            knowledge.advance([0], rngs)
        np.testing.assert_array_equal(both[0].gains, twins[0].gains)
        np.testing.assert_array_equal(both[1].observed_gains, twins[1].observed_gains)
        assert not np.array_equal(both[0].gains, before)


@pytest.mark.parametrize("config", EVERY.values(), ids=EVERY)
def test_correlation_over_rounds_starts_at_one(config):
    assert config.law(0, 0.0).correlation == 1
    assert abs(config.law(3, 0.0).correlation) <= 1


@pytest.mark.parametrize("csi", KNOWLEDGE.values(), ids=KNOWLEDGE)
@pytest.mark.parametrize("config", EVERY.values(), ids=EVERY)
def test_an_episode_knows_nothing_of_earlier_ones(config, csi):
    used, fresh = (config.build(1, (NODES, NODES), SUBCARRIERS) for _ in range(2))
    used_knowledge, fresh_knowledge = csi.build(used), csi.build(fresh)
    earlier = generators(seed=1)
    used.start([0], earlier)
    used_knowledge.start([0], earlier)
    used.advance([0], earlier)
    used_knowledge.advance([0], earlier)
    for process, knowledge, rngs in ((used, used_knowledge, generators()), (fresh, fresh_knowledge, generators())):
        process.start([0], rngs)
        knowledge.start([0], rngs)
        for _ in range(3):
            process.advance([0], rngs)
            knowledge.advance([0], rngs)
    np.testing.assert_array_equal(used.gains, fresh.gains)
    np.testing.assert_array_equal(used_knowledge.observed_gains, fresh_knowledge.observed_gains)


def test_rayleigh_is_one_fill_of_exponential_numbers_a_round():
    process, rng = RayleighConfig().build(1, (4, 4), 8), np.random.default_rng(1)
    expected = np.random.default_rng(1)
    process.start([0], [rng])
    np.testing.assert_array_equal(process.gains[0], expected.standard_exponential((4, 4, 8), np.float32))
    process.advance([0], [rng])
    np.testing.assert_array_equal(process.gains[0], expected.standard_exponential((4, 4, 8), np.float32))


def test_perfect_knowledge_is_the_process_own_array():
    process = RayleighConfig().build(2, (3, 3), 4)
    knowledge = CSIConfig().build(process)
    assert type(knowledge) is PerfectKnowledge
    assert knowledge.observed_gains is process.gains


def test_large_scale_needs_one_set_of_nodes():
    with pytest.raises(ValueError, match=r"links = \(1, 4\).*\(K, K\)"):
        LargeScaleConfig().build(1, (1, 4), 2)


def assumed():
    """(kind, field, number, unit) of every field whose description has "(assumed NUMBER UNIT"."""
    for base in (ChannelConfig, KnowledgeConfig, MobilityConfig):
        for kind in kinds(base).values():
            attributes = (inspect.getdoc(kind) or "").partition("Attributes:\n")[2]
            for field in re.split(r"^    (?=\w)", attributes, flags=re.MULTILINE):
                found = re.search(r"^(\w+): .*\(assumed ([\d.]+)(?: (\w+))?", " ".join(field.split()))
                if found:
                    yield kind, *found.groups()


ASSUMED = list(assumed())


@pytest.mark.parametrize(("kind", "field", "number", "unit"), ASSUMED)
def test_a_default_is_what_the_field_says_is_assumed(kind, field, number, unit):
    scale = {"ns": 1e-9, "ms": 1e-3, "MHz": 1e6}.get(unit, 1)
    assert kind.model_fields[field].default == pytest.approx(float(number) * scale)


def test_every_channel_says_what_it_assumes():
    assert {field for _, field, *_ in ASSUMED} >= {
        *("doppler_hz", "round_duration_s", "rounds", "k_factor", "area_m", "minimum_distance_m"),
        *("reference_distance_m", "delay_spread_s", "subcarrier_spacing_hz", "rms_speed_m_s", "velocity_time_s"),
    }


def test_knowledge_of_ones_own_is_not_taken_for_perfect():
    """Rules that rely on the true gains ask first; only a kind that says so is exact."""

    class Blurred(KnowledgeConfig):
        def build(self, process):
            return process

    assert not Blurred().is_perfect
    assert CSIConfig().is_perfect
    assert not CSIConfig(delay_rounds=1).is_perfect

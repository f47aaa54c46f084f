"""Episodes drawn from a trace: which tokens, in which layers, in every environment and facade."""

from __future__ import annotations

import copy
import pickle

import gymnasium as gym
import numpy as np
import pytest
from scipy.stats import chisquare
from traces import COUNTS, EXPERTS, LAYERS, make_trace

from dmoe_gym.dmoe import DMoEConfig
from dmoe_gym.facades.stable_baselines import BatchedVecEnv
from dmoe_gym.relevance import TraceConfig, load_trace, write_trace
from dmoe_gym.relevance.trace import TraceRelevance
from dmoe_gym.wdmoe import WDMoEConfig, draw_block

DMOE_IDS = ["DMoE-DES-v0", "DMoE-JESA-v0", "DMoE-JESA-Sequential-v0", "DMoE-JESA-Price-v0"]
WDMOE_IDS = ["WDMoE-v0", "WDMoE-Joint-v0"]
STATES = 2


def options(env_id: str, file: str, states: int = STATES) -> dict:
    """Overrides under which an environment of either system has the trace's sizes."""
    if env_id.startswith("WDMoE"):
        return {
            "relevance": f"trace:{file}",
            "num_blocks": LAYERS,
            "num_devices": EXPERTS,
            "num_tokens": states,
        }
    return {"relevance": f"trace:{file}", "num_layers": LAYERS, "num_experts": EXPERTS, "num_states": states}


def key_of(env_id: str) -> str:
    return "gate_weights" if env_id.startswith("WDMoE") else "gate_scores"


def generators(count: int, seed: int = 0) -> list[np.random.Generator]:
    return [np.random.default_rng([seed, row]) for row in range(count)]


def process(batch: int, nodes: int, states: int, trace=None, seed: int = 0) -> tuple[TraceRelevance, list]:
    trace = trace or make_trace()
    relevance = TraceRelevance(batch, nodes, states, trace.gate_scores.shape[2], trace)
    own = generators(batch, seed)
    relevance.start(range(batch), own)
    return relevance, own


def test_a_hidden_state_is_one_token_of_its_domain_in_all_layers():
    trace = make_trace()
    relevance, own = process(50, 5, 3, trace)
    for layer in range(LAYERS):
        for row, node, state in np.ndindex(50, 5, 3):
            token = relevance.first[row, node] + state
            assert trace.domains[token] == relevance.domains[row, node]
            np.testing.assert_array_equal(relevance.gate_scores[row, node, state], trace.gate_scores[layer, token])
        if layer + 1 < LAYERS:
            relevance.advance(range(50), own)
    with pytest.raises(ValueError, match="has 3 layers and all of them were shown"):
        relevance.advance([0], own)


@pytest.mark.parametrize("states", [1, 3, min(COUNTS)])
def test_domains_and_starts_are_uniform(states):
    nodes, batch = 40, 500
    relevance, _ = process(batch, nodes, states)
    assert chisquare(np.bincount(relevance.domains.ravel(), minlength=len(COUNTS))).pvalue > 1e-3
    begins = np.r_[0, np.cumsum(COUNTS)]
    for domain, count in enumerate(COUNTS):
        first = relevance.first[relevance.domains == domain] - begins[domain]
        frequencies = np.bincount(first, minlength=count - states + 1)
        assert len(frequencies) == count - states + 1
        if len(frequencies) > 1:
            assert chisquare(frequencies).pvalue > 1e-3


@pytest.mark.parametrize("states", [1, 3, 4, 6, 8])
def test_hidden_states_start_where_an_input_starts(states):
    trace = make_trace(counts=(8, 12, 16), tokens_per_input=4)
    relevance, _ = process(200, 5, states, trace)
    begins = np.array([0, 8, 20])[relevance.domains]
    ends = np.array([8, 20, 36])[relevance.domains]
    assert ((relevance.first - begins) % 4 == 0).all()
    assert (relevance.first + states <= ends).all()
    # as many inputs as fit behind one another, all of them drawn
    largest = relevance.first[relevance.domains == 2]
    assert set(largest.tolist()) == set(range(20, 36 - states + 1, 4))


def test_every_episode_draws_the_same_count_of_numbers():
    # whatever the domains: the generators of two traces whose domains differ in size stay in step
    small, large = make_trace(counts=(4, 4, 4)), make_trace(counts=(90, 4, 31))
    (_, own), (_, others) = process(20, 5, 2, small), process(20, 5, 2, large)
    assert [one.random() for one in own] == [other.random() for other in others]


def test_rows_are_independent_of_the_batch():
    together, _ = process(6, 4, 2)
    alone = TraceRelevance(6, 4, 2, EXPERTS, make_trace())
    own = generators(6)
    for row in (4, 0, 5, 1, 2, 3):
        alone.start([row], own)
    np.testing.assert_array_equal(alone.gate_scores, together.gate_scores)


def test_only_the_given_rows_change():
    relevance, own = process(3, 4, 2)
    before = relevance.gate_scores.copy()
    relevance.advance([1], own)
    np.testing.assert_array_equal(relevance.gate_scores[[0, 2]], before[[0, 2]])
    assert (relevance.gate_scores[1] != before[1]).any()


@pytest.mark.parametrize("env_id", DMOE_IDS + WDMOE_IDS)
def test_every_environment_shows_the_trace(env_id, trace_file):
    env = gym.make(env_id, **options(env_id, trace_file))
    known = {scores.tobytes() for scores in load_trace(trace_file).gate_scores.reshape(-1, EXPERTS)}
    observation, _ = env.reset(seed=0)
    env.action_space.seed(0)
    for _ in range(3):
        shown = observation[key_of(env_id)].reshape(-1, EXPERTS)
        assert {scores.tobytes() for scores in shown} <= known
        observation, _, ended, _, _ = env.step(env.action_space.sample())
        if ended:
            observation, _ = env.reset()


@pytest.mark.parametrize("env_id", DMOE_IDS + WDMOE_IDS)
def test_facades_show_the_same_episodes_whatever_the_actions(env_id, trace_file):
    count, episodes = 3, 2
    chosen = options(env_id, trace_file)
    batch = BatchedVecEnv(env_id, count, **chosen)
    batch.seed(11)
    observations = batch.reset()
    vector = gym.make_vec(env_id, num_envs=count, vectorization_mode="vector_entry_point", **chosen)
    firsts, _ = vector.reset(seed=11)
    for row in range(count):
        single = gym.make(env_id, **chosen)
        seen, _ = single.reset(seed=11, options={"environment_index": row})
        for key, values in seen.items():
            np.testing.assert_array_equal(values, observations[key][row])
            np.testing.assert_array_equal(values, firsts[key][row])
        # episode 1 of an environment that acted and of one that left episode 0 at once
        single.action_space.seed(row)
        for _ in range(episodes - 1):
            ended = False
            while not ended:
                mask = single.unwrapped.action_masks() if hasattr(single.unwrapped, "action_masks") else None
                action = single.action_space.sample() if mask is None else int(np.flatnonzero(mask)[-1])
                _, _, ended, _, _ = single.step(action)
            after, _ = single.reset()
        idle = gym.make(env_id, **chosen)
        idle.reset(seed=11, options={"environment_index": row})
        for key, values in idle.reset()[0].items():
            np.testing.assert_array_equal(values, after[key])


def test_copies_go_on_alike(trace_file):
    env = gym.make("DMoE-JESA-v0", **options("DMoE-JESA-v0", trace_file)).unwrapped
    env.reset(seed=2)
    others = [copy.deepcopy(env), pickle.loads(pickle.dumps(env))]
    action = np.zeros(env.action_space.shape, np.int64)
    expected = env.step(action)[0]
    for other in others:
        np.testing.assert_array_equal(other.step(action)[0]["gate_scores"], expected["gate_scores"])


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"num_layers": 2}, ["3 layers of 4 experts", "num_layers = 2 and num_experts = 4", "valid", "num_layers = 3"]),
        ({"num_layers": 5}, ["3 layers", "num_layers = 5"]),
        ({"num_experts": 6}, ["4 experts", "num_experts = 6"]),
        ({"num_states": 5}, ["4 tokens in its domain 'domain 2'", "num_states = 5"]),
    ],
)
def test_a_trace_of_other_sizes_is_refused(trace_file, change, words):
    with pytest.raises(ValueError) as error:
        gym.make("DMoE-JESA-v0", **{**options("DMoE-JESA-v0", trace_file), **change})
    assert all(word in str(error.value) for word in [trace_file, *words])


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"num_blocks": 4}, ["3 layers of 4 experts", "num_blocks = 4 and num_devices = 4"]),
        ({"num_devices": 3, "max_experts": 2}, ["num_devices = 3"]),
        ({"num_tokens": 5}, ["4 tokens", "num_tokens = 5"]),
    ],
)
def test_wdmoe_names_its_own_fields(trace_file, change, words):
    chosen = {**options("WDMoE-v0", trace_file), "device_speeds_flops": None, **change}
    with pytest.raises(ValueError) as error:
        gym.make("WDMoE-v0", **chosen)
    assert all(word in str(error.value) for word in words)


def test_the_smallest_domain_may_be_used_up(trace_file):
    env = gym.make("DMoE-JESA-v0", **options("DMoE-JESA-v0", trace_file, min(COUNTS)))
    assert env.reset(seed=0)[0]["gate_scores"].shape == (EXPERTS, min(COUNTS), EXPERTS)


@pytest.mark.parametrize(
    ("relevance", "words"),
    [
        ("trace:nowhere.npz", ["nowhere.npz", "no such file", "digits"]),
        ("trace:", ["file"]),
        ("trace", ["file"]),
        ("recorded", ["dirichlet", "trace"]),
        ({"kind": "trace", "file": 3}, ["file"]),
        ({"kind": "trace", "file": "x", "speed": 2}, ["speed"]),
    ],
)
def test_a_source_that_is_none_is_refused(relevance, words):
    with pytest.raises(ValueError) as error:
        DMoEConfig(relevance=relevance)
    assert "\n" not in str(error.value)
    assert all(word in str(error.value) for word in words)


def test_a_damaged_file_is_refused_by_the_environment(tmp_path):
    path = tmp_path / "broken.npz"
    path.write_bytes(b"PK\x03\x04 and nothing else")
    with pytest.raises(ValueError, match=r"broken\.npz: is damaged or foreign"):
        gym.make("DMoE-JESA-v0", relevance=f"trace:{path}")


def test_a_replaced_file_is_read_anew(tmp_path):
    path = write_trace(make_trace(), tmp_path / "file.npz")
    assert load_trace(str(path)).gate_scores.shape[0] == LAYERS
    assert load_trace(str(path)) is load_trace(str(path))
    write_trace(make_trace(layers=5), path, overwrite=True)
    assert load_trace(str(path)).gate_scores.shape[0] == 5


def test_configurations_are_equal_and_survive_a_dump(trace_file):
    config = DMoEConfig(**options("DMoE-JESA-v0", trace_file))
    assert config.relevance == TraceConfig(file=trace_file)
    assert DMoEConfig(**config.model_dump()) == config
    assert config.replace(threshold=0.4).relevance == config.relevance
    assert config.replace(relevance="dirichlet") == DMoEConfig(
        num_layers=LAYERS, num_experts=EXPERTS, num_states=STATES
    )


def test_blocks_are_drawn_from_a_trace(trace_file):
    config = WDMoEConfig(**options("WDMoE-v0", trace_file))
    block = draw_block(config, np.random.default_rng(0))
    known = {scores.tobytes() for scores in load_trace(trace_file).gate_scores[0]}
    assert {scores.astype(np.float32).tobytes() for scores in block.gate_weights} <= known

"""The shipped language model: transformers' own model, what its page says, and episodes that are its inferences."""

from __future__ import annotations

import re
from itertools import pairwise
from pathlib import Path

import gymnasium as gym
import numpy as np
import pytest
import torch
from scipy.stats import binomtest
from transformers import MixtralForCausalLM

from dmoe_gym.dmoe import Schedule
from dmoe_gym.models.language.accuracy import anyone, best, infer, starved, worst
from dmoe_gym.models.language.families import END, FAMILIES, MOST_TOKENS, decode, part_of
from dmoe_gym.models.language.source import SHIPPED, LanguageSource

JOINT = "DMoE-Inference-Joint-v0"


@pytest.fixture(scope="module")
def model():
    return LanguageSource().layered()


def exact(model, rule, count: int = 300) -> np.ndarray:
    """Which of the first validation queries are answered exactly where the rule says who is heard, (count,) bool."""
    _, queries = asked("validation", count)
    logits, _ = infer(model, queries.tokens[:, :-1], rule)
    return ((logits.argmax(-1).numpy() == queries.tokens[:, 1:]) | ~queries.answered[:, 1:]).all(-1)


def asked(part: str, count: int):
    families = np.arange(count) % len(FAMILIES)
    return families, LanguageSource(inputs=part).questions().ask(families, np.arange(count))


def test_the_file_is_small_and_transformers_own_model(model):
    """Logits of the shipped folder as transformers loads and runs it by itself."""
    assert (SHIPPED / "model.safetensors").stat().st_size < 6e6
    own = MixtralForCausalLM.from_pretrained(SHIPPED, local_files_only=True, dtype=torch.float32)
    tokens = asked("test", 100)[1].tokens[:, :-1]
    with torch.no_grad():
        expected = own(input_ids=torch.from_numpy(tokens)).logits
    torch.testing.assert_close(infer(model, tokens, best(2))[0], expected, rtol=0, atol=1e-4)


def test_answers_are_what_the_model_writes_by_itself(model):
    """Greedy writing, token by token, gives the answer just where teacher forcing calls it right."""
    _, queries = asked("validation", 20)
    logits, _ = infer(model, queries.tokens[:, :-1], best(2))
    likeliest = logits.argmax(-1).numpy()
    right = ((likeliest == queries.tokens[:, 1:]) | ~queries.answered[:, 1:]).all(-1)
    assert 0 < right.mean() < 1
    for row, tokens in enumerate(queries.tokens):
        answer = tokens[queries.answered[row]]
        written = list(tokens[~queries.answered[row]])
        for _ in answer:
            next_logits, _ = infer(model, np.array([written]), best(2))
            written.append(int(next_logits[0, -1].argmax()))
        assert (written[-len(answer) :] == list(answer)) == right[row]


def test_who_is_heard_matters(model):
    """On the same queries the best experts answer more than random ones, and those more than the worst.

    Where they did not matter, an answer would be lost by one rule as likely as by the other: of the answers that one
    rule alone gets right, half would be the better rule's (the sign test of paired shares, one-sided at 0.1 %).
    """
    right = [exact(model, rule) for rule in (best(1), anyone(), worst())]
    for better, worse in pairwise(right):
        only = [int((one & ~other).sum()) for one, other in ((better, worse), (worse, better))]
        assert binomtest(only[0], sum(only), alternative="greater").pvalue < 1e-3


def test_exact_answers_are_the_pages(model):
    """Top-2 on validation queries: the page's share on test queries, within four standard errors of the difference."""
    page = (Path(__file__).parents[2] / "docs/reports/language.md").read_text()
    told = float(next(line for line in page.splitlines() if line.startswith("| top-2 ")).split("|")[-2]) / 100
    count = 500
    error = (told * (1 - told) * (1 / count + 1 / int(re.search(r"queries=(\d+)", page)[1]))) ** 0.5
    assert abs(exact(model, best(2), count).mean() - told) < 4 * error


def test_a_starved_layer_hears_one_expert_and_the_others_two():
    scores = torch.rand((3, 16, 8), generator=torch.Generator().manual_seed(3))
    rule = starved(2)
    assert [int(rule(layer, scores).sum()) for layer in (1, 2, 3)] == [96, 48, 96]
    assert not torch.equal(rule(2, scores), best(1)(2, scores))


def test_questions_are_of_their_part_and_of_their_number_alone():
    families, queries = asked("test", 50)
    for family, tokens in zip(families, queries.tokens, strict=True):
        prompt, answer = decode(tokens[:-1]).rpartition("=")[0], tokens[-1]
        assert answer == END
        start = max(place for place, token in enumerate(tokens[:-1]) if token == END) + 1
        whole = decode(tokens[start:]).partition("=")[0] + "="
        assert prompt.endswith(whole[:-1])
        assert part_of(whole) == "test"
        assert whole[0] == list(FAMILIES.values())[family][0]
    again = LanguageSource().questions().ask(families[::-1], np.arange(50)[::-1])
    np.testing.assert_array_equal(again.tokens[::-1], queries.tokens)


@pytest.mark.parametrize("states", [5, MOST_TOKENS])
def test_top_2_in_the_environment_is_top_2_in_the_model(model, states):
    """Gate scores of every layer and the answers; tokens before the last N hear the model's own two best."""
    env = gym.make(JOINT, scenario="language", num_states=states).unwrapped
    link = np.full((8, 8), -1)
    link[~np.eye(8, dtype=bool)] = np.arange(56)
    for seed in range(1):
        observation, _ = env.reset(seed=seed)
        queries = env.core.relevance.asked
        logits, scores = infer(model, queries.tokens[:, :-1], best(2))
        for layer in range(6):
            np.testing.assert_allclose(observation["gate_scores"], scores[layer][:, -states:], atol=1e-5)
            selected = best(2)(layer, torch.from_numpy(observation["gate_scores"])).numpy()
            schedule = Schedule.from_subcarriers(selected, link, 64)
            observation, _, terminated, _, info = env.step(env.encode(schedule))
        right = ((logits.argmax(-1).numpy() == queries.tokens[:, 1:]) | ~queries.answered[:, 1:]).all(-1)
        assert terminated
        assert info["correct"] == right.mean()


def test_batch_sizes_and_facades_give_the_same_decisions():
    """Gate scores within 1e-5, and the same schedules on a thousand rounds."""
    from dmoe_gym.evaluation import line_up_of

    policy = line_up_of(JOINT, "language").policies["JESA"]
    batch = gym.make_vec(JOINT, 21, scenario="language")
    singles = [gym.make(JOINT, scenario="language") for _ in range(21)]
    batch.reset(seed=list(range(21)))
    for seed, single in enumerate(singles):
        single.reset(seed=seed)
    differ = rounds = 0
    for _ in range(8):
        for _ in range(6):
            seen = batch.unwrapped.core.observations
            actions, _ = policy.predict(seen, deterministic=True)
            for row, single in enumerate(singles):
                alone = single.unwrapped.core.observations
                np.testing.assert_allclose(alone["gate_scores"][0], seen["gate_scores"][row], atol=1e-5)
                own, _ = policy.predict({key: value[0] for key, value in alone.items()}, deterministic=True)
                differ += not np.array_equal(own, actions[row])
                single.step(own)
            batch.step(actions)
            rounds += 21
        for single in singles:
            single.reset()
        batch.step(actions)
    assert rounds > 1000
    assert differ == 0

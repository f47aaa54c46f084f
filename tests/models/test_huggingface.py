"""Language models of a folder in the loop: who is scheduled is heard, answers are scored, bad input is refused."""

from __future__ import annotations

import json
import pickle
import shutil

import gymnasium as gym
import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from tiny_models import save_tiny, write_prompts
from transformers import AutoModelForCausalLM

from dmoe_gym.dmoe import Schedule
from dmoe_gym.models.causal.source import load_folder
from dmoe_gym.models.huggingface import load_questions, read_prompts

JOINT = "DMoE-Inference-Joint-v0"
PROMPTS = [
    {"prompt": "ab=", "answer": "bac", "domain": "short"},
    {"prompt": "abcdefg=", "answer": "gf", "domain": "long"},
    {"prompt": "hijklmnopq=", "answer": "q", "domain": "long"},
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return save_tiny(tmp_path_factory.mktemp("mixtral"))


@pytest.fixture
def prompts(tmp_path):
    return write_prompts(tmp_path / "prompts.jsonl", PROMPTS)


def make(folder, prompts, **overrides):
    fields = {"num_states": 4, "max_experts": 2, **overrides}
    return gym.make(JOINT, model=f"hf:{folder}", prompts=str(prompts), **fields)


def everywhere(selected: np.ndarray, subcarriers: int) -> Schedule:
    """A schedule in which every link has a subcarrier of its own."""
    nodes = len(selected)
    subcarrier = np.full((nodes, nodes), -1)
    subcarrier[~np.eye(nodes, dtype=bool)] = np.arange(nodes * (nodes - 1))
    return Schedule.from_subcarriers(selected, subcarrier, subcarriers)


def play(env, seed, choose):
    env.reset(seed=seed)
    terminated = False
    while not terminated:
        selected = choose(env.unwrapped.round.gate_scores)
        _, _, terminated, _, info = env.step(env.unwrapped.encode(everywhere(selected, 64)))
    return info


def best_two(scores):
    return np.argsort(np.argsort(-scores, axis=-1), axis=-1) < 2


@pytest.mark.parametrize(("name", "states"), [("mixtral", 1), ("olmoe", 4), ("qwen2 half dense", 5), ("qwen3", 4)])
def test_top_k_scheduled_and_delivered_is_the_models_own_forward(name, states, tmp_path, prompts):
    folder = save_tiny(tmp_path / "model", name)
    top_k = load_folder(folder).top_k
    env = make(folder, prompts, num_states=states, max_experts=top_k)
    process = env.unwrapped.core.relevance
    model = AutoModelForCausalLM.from_pretrained(folder, local_files_only=True).eval()
    for seed in range(3):
        info = play(env, seed, lambda scores: np.argsort(np.argsort(-scores, axis=-1), axis=-1) < top_k)
        asked, right = process.asked, []
        for row, hidden in enumerate(process.hidden[0]):
            tokens = torch.from_numpy(asked.tokens[row, asked.padding[row] :])
            with torch.no_grad():
                expected = model(input_ids=tokens[None, :-1]).logits[0]
            found = process._model.logits(hidden[None], torch.from_numpy(asked.padding[row : row + 1]))[0]
            torch.testing.assert_close(found[asked.padding[row] :], expected, rtol=0, atol=1e-5)
            answered = asked.answered[row, asked.padding[row] :][1:]
            right.append((expected.argmax(-1) == tokens[1:]).numpy()[answered].all())
        assert info["correct"] == np.mean(right)


def test_prompts_are_tokens_in_their_domains(folder, prompts):
    questions = load_questions(str(folder), str(prompts))
    assert questions.domains == ("long", "short")
    assert (questions.fewest, questions.length) == (5, 11)
    asked = questions.ask(np.array([1, 0, 0]), np.array([7, 4, 5]))
    assert asked.padding.tolist() == [6, 2, 0]
    for row, text in enumerate(["ab=bac", "abcdefg=gf", "hijklmnopq=q"]):
        tokens = asked.tokens[row, asked.padding[row] :]
        assert [30 if letter == "=" else ord(letter) - 97 + 4 for letter in text] == tokens.tolist()
    assert asked.answered.sum(-1).tolist() == [3, 2, 1]
    assert asked.answered[:, -1].all()


def test_texts_are_scored_by_their_likelihood(folder, tmp_path):
    texts = [{"text": "abcdefgh"}, {"text": "hgfedcba"}]
    env = make(folder, write_prompts(tmp_path / "texts.jsonl", texts), num_states=7)
    info = play(env, 0, best_two)
    process = env.unwrapped.core.relevance
    logits = process._model.logits(process.hidden[0])
    targets = torch.from_numpy(process.asked.tokens)[:, 1:]
    entropy = torch.nn.functional.cross_entropy(logits.transpose(1, 2), targets, reduction="none").mean(-1)
    assert 0 < info["correct"] < 1
    assert info["correct"] == pytest.approx(float((-entropy).exp().mean()), rel=1e-5)


def test_who_is_not_heard_changes_later_gate_scores(folder, prompts):
    seen = []
    for chosen in (best_two, lambda scores: ~best_two(scores)):
        env = make(folder, prompts)
        env.reset(seed=1)
        first = env.unwrapped.round
        env.step(env.unwrapped.encode(everywhere(chosen(first.gate_scores), 64)))
        seen.append((first, env.unwrapped.round))
    np.testing.assert_array_equal(seen[0][0].gate_scores, seen[1][0].gate_scores)
    np.testing.assert_array_equal(seen[0][1].gains, seen[1][1].gains)
    assert np.abs(seen[0][1].gate_scores - seen[1][1].gate_scores).max() > 1e-3


def test_wdmoe_serves_any_model(folder, prompts):
    """The model's sizes are the system's; four queries to a prompt unless told otherwise."""
    env = gym.make("WDMoE-Inference-v0", model=f"hf:{folder}", prompts=str(prompts), query_states=4).unwrapped
    config = env.config
    assert (config.num_devices, config.num_blocks, config.num_tokens) == (4, 3, 16)
    env.reset(seed=0)
    ends = [env.step(env.action_space.sample())[2] for _ in range(3)]
    assert ends == [False, False, True]
    assert env.core.relevance.domains.shape == (1, 4)


def test_a_model_is_in_memory_once_and_copies_name_it(folder, prompts):
    cores = [make(folder, prompts).unwrapped.core for _ in range(2)]
    cores.append(pickle.loads(pickle.dumps(cores[0])))
    assert len({id(core.relevance._model) for core in cores}) == 1
    assert len(pickle.dumps(cores[0])) < 200_000


def test_rows_that_are_not_in_step_are_each_in_their_own_layer(folder, prompts):
    """A vector environment whose second environment starts anew: each goes on as it would alone."""
    batch = gym.make_vec(JOINT, 2, model=f"hf:{folder}", prompts=str(prompts), num_states=4, max_experts=2)
    batch.reset(seed=3)
    core = batch.unwrapped.core
    actions = batch.action_space.sample() * 0
    batch.step(actions)
    core.start(np.array([1]))
    observations, *_ = batch.step(actions)
    alone = gym.make_vec(JOINT, 2, model=f"hf:{folder}", prompts=str(prompts), num_states=4, max_experts=2)
    alone.reset(seed=3)
    alone.step(actions)
    expected, *_ = alone.step(actions)
    assert core.layer.tolist() == [3, 2]
    np.testing.assert_allclose(observations["gate_scores"][0], expected["gate_scores"][0], atol=1e-5)


@pytest.mark.parametrize(
    ("lines", "said"),
    [
        ([], "is empty"),
        (["nonsense"], "line 1: is no JSON"),
        ([[1]], "line 1: holds list"),
        (
            [PROMPTS[0], {"prompt": "a"}],
            "line 2: has the fields prompt; valid are the fields prompt and",
        ),
        ([{"prompt": "a", "answer": ""}], "line 1: answer = ''"),
        ([{"prompt": "a", "answer": 3}], "line 1: answer = 3"),
        ([{"prompt": "a", "answer": "b", "domain": 1}], "line 1: domain = 1"),
        ([PROMPTS[0], {"text": "ab"}], "not both"),
        (['{"prompt": "a\\ud800", "answer": "b"}'], "line 1: prompt = 'a.*' has half a character"),
    ],
)
def test_bad_prompts_are_refused_in_one_line(lines, said, tmp_path, folder):
    path = write_prompts(tmp_path / "bad.jsonl", lines)
    with pytest.raises(ValueError, match=said) as raised:
        read_prompts(path)
    assert str(path) in str(raised.value)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r", "\n \n\n"])
def test_lines_end_where_json_lines_do(end, tmp_path):
    """Whatever ends a line elsewhere is a character of a text."""
    path = tmp_path / "prompts.jsonl"
    text = "a\u2028b\x85c\x0bd"
    lines = [json.dumps({"prompt": prompt, "answer": "b"}, ensure_ascii=False) for prompt in (text, "z")]
    path.write_bytes(end.join([*lines, ""]).encode())
    assert [prompt.prompt for prompt in read_prompts(path)[0]] == [text, "z"]
    path.write_bytes(end.join([lines[0], "no JSON"]).encode())
    with pytest.raises(ValueError, match=f"line {1 + max(end.count(mark) for mark in end)}:"):
        read_prompts(path)


@pytest.mark.parametrize("path", ["~nobody-here/x", "a\0b", "x" * 5000, "/dev/zero"])
def test_prompts_that_are_no_file_are_refused_by_name(path, folder):
    with pytest.raises(ValueError, match=r"^prompts = "):
        make(folder, path)


def test_another_tokenizer_in_the_folder_is_read_anew(folder, prompts, tmp_path):
    folder = shutil.copytree(folder, tmp_path / "model")
    before = load_questions(str(folder), str(prompts))
    assert load_questions(str(folder), str(prompts)) is before
    path = folder / "tokenizer.json"
    path.write_text(path.read_text().replace('"a": 4', '"a": 5').replace('"b": 5', '"b": 4'))
    first = [np.zeros(1, np.int64), np.zeros(1, np.int64)]
    assert (load_questions(str(folder), str(prompts)).ask(*first).tokens != before.ask(*first).tokens).any()


def test_queries_that_do_not_fit_are_refused(folder, prompts, tmp_path):
    for value in (6, 12):
        with pytest.raises(ValueError, match=f"num_states = {value}: valid with .* is 5"):
            make(folder, prompts, num_states=value)
    long = write_prompts(tmp_path / "long.jsonl", [{"text": "a" * 49}])
    with pytest.raises(ValueError, match="one has 49 tokens; valid with this model are 48"):
        make(folder, long)
    with pytest.raises(ValueError, match="no such file"):
        make(folder, tmp_path / "none.jsonl")
    with pytest.raises(ValueError, match="num_experts = 3: valid with this model is 4"):
        make(folder, prompts, num_experts=3)


def _cut(folder):
    path = folder / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-100])


def _without(folder):
    weights = load_file(folder / "model.safetensors")
    weights.pop("model.norm.weight")
    save_file(weights, folder / "model.safetensors", {"format": "pt"})


def _pickled(folder):
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")


def _not_a_number(folder):
    weights = load_file(folder / "model.safetensors")
    weights["model.norm.weight"][0] = torch.nan
    save_file(weights, folder / "model.safetensors", {"format": "pt"})


def _changed(**fields):
    def change(folder):
        path = folder / "config.json"
        path.write_text(json.dumps({**json.loads(path.read_text()), **fields}))

    return change


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (_cut, "cannot be read"),
        (_without, "missing_keys model.norm.weight"),
        (_pickled, "valid are weights in safetensors only"),
        (_changed(model_type="gpt2"), "model_type = 'gpt2'; valid are mixtral, olmoe, qwen2_moe, qwen3_moe"),
        (_changed(hidden_size=64), "cannot be read|mismatched"),
        (_changed(num_hidden_layers="many"), "config.json is not complete"),
        (_changed(num_hidden_layers=float("inf")), "config.json is not complete"),
        (_changed(num_hidden_layers=10**9), "num_hidden_layers = 1000000000; valid with its weights is 3"),
        (_changed(num_experts_per_tok=5), "num_experts_per_tok = 5; valid are 1 to 4"),
        (_changed(num_experts_per_tok=0), "num_experts_per_tok = 0; valid are 1 to 4"),
        (_changed(rms_norm_eps=float("nan")), "not finite"),
        (_not_a_number, "not finite"),
        (_changed(num_local_experts=1), "valid is a mixture of experts"),
        (lambda folder: (folder / "config.json").write_text("{"), "config.json: is no JSON"),
        (lambda folder: (folder / "config.json").unlink(), "has no config.json"),
        (lambda folder: (folder / "tokenizer.json").unlink(), "tokenizer cannot be read"),
    ],
)
def test_damaged_and_foreign_folders_are_refused_in_one_line(damage, said, folder, tmp_path, prompts):
    folder = shutil.copytree(folder, tmp_path / "model")
    damage(folder)
    with pytest.raises(ValueError, match=said) as raised:
        make(folder, prompts)
    assert "\n" not in str(raised.value)
    assert str(folder) in str(raised.value)


def test_no_code_of_a_folders_is_run(folder, tmp_path, prompts):
    folder = shutil.copytree(folder, tmp_path / "model")
    (folder / "own.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w')\nclass M: pass\n")
    _changed(auto_map={"AutoModelForCausalLM": "own.M", "AutoConfig": "own.C"})(folder)
    make(folder, prompts).reset(seed=0)
    assert not (tmp_path / "ran").exists()

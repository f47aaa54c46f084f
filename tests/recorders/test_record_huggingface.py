"""Recording language models: tiny, randomly initialised ones that are built here. Nothing is downloaded."""

from __future__ import annotations

import os

import gymnasium as gym
import numpy as np
import pytest
from typer import Typer
from typer.testing import CliRunner

import dmoe_gym  # noqa: F401 - registers the environments

os.environ.setdefault("HF_HUB_OFFLINE", "1")
torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")

from dmoe_gym.recorders import huggingface  # noqa: E402
from dmoe_gym.recorders.huggingface import record_router  # noqa: E402
from dmoe_gym.relevance import read_trace  # noqa: E402

WORDS = ["the", "node", "sends", "its", "hidden", "state", "to", "an", "expert", "unknown"]
LAYERS, EXPERTS, WIDTH = 3, 4, 16
SIZES = {
    "vocab_size": len(WORDS),
    "hidden_size": WIDTH,
    "intermediate_size": 24,
    "num_hidden_layers": LAYERS,
    "num_attention_heads": 2,
    "num_key_value_heads": 2,
    "num_experts_per_tok": 2,
    "pad_token_id": 0,
    "bos_token_id": 0,
    "eos_token_id": 0,
}
FAMILIES = {
    "Mixtral": {"num_local_experts": EXPERTS},
    "Olmoe": {"num_experts": EXPERTS},
    "Qwen2Moe": {"num_experts": EXPERTS, "moe_intermediate_size": 24, "shared_expert_intermediate_size": 24},
}


def tiny(family: str = "Mixtral", **changes: object):
    torch.manual_seed(0)
    config = getattr(transformers, f"{family}Config")(**{**SIZES, **FAMILIES[family], **changes})
    model = getattr(transformers, f"{family}ForCausalLM")(config).eval()
    # initial weights are so small that all experts would be alike
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.dim() > 1:
                parameter.mul_(20)
    return model


def routers_seen(model, tokens: list[int]) -> np.ndarray:
    """Softmax in NumPy of what reaches every router times its weight, by hooks: (layers, tokens, experts)."""
    seen: list[np.ndarray] = []

    def keep(module, arguments):
        states = arguments[0].detach().double().reshape(-1, WIDTH)
        seen.append((states @ module.weight.detach().double().T).numpy())

    hooks = [layer.mlp.gate.register_forward_pre_hook(keep) for layer in model.model.layers]
    with torch.inference_mode():
        model(input_ids=torch.tensor([tokens]))
    for hook in hooks:
        hook.remove()
    powers = np.exp(np.stack(seen) - np.stack(seen).max(-1, keepdims=True))
    return powers / powers.sum(-1, keepdims=True)


@pytest.mark.parametrize("family", FAMILIES)
def test_scores_are_the_softmax_of_what_the_routers_see(family):
    model = tiny(family)
    passages = {"first": [[0, 1, 2, 3, 4]], "second": [[5, 6], [7, 8, 0]]}
    trace = record_router(model, passages, "tiny", {"command": "a test"})
    expected = np.concatenate([routers_seen(model, tokens) for part in passages.values() for tokens in part], axis=1)
    assert trace.gate_scores.shape == (LAYERS, 10, EXPERTS)
    np.testing.assert_allclose(trace.gate_scores, expected, atol=1e-5)
    assert trace.gate_scores.std() > 0.05
    np.testing.assert_array_equal(trace.domains, [0] * 5 + [1] * 5)
    assert trace.domain_names == ("first", "second")
    assert trace.tokens_per_input == 1


def test_passages_do_not_see_each_other():
    model = tiny()
    alone = record_router(model, {"a": [[7, 8, 0]]}, "tiny", {}).gate_scores
    after = record_router(model, {"a": [[5, 6], [7, 8, 0]]}, "tiny", {}).gate_scores
    np.testing.assert_allclose(after[:, 2:], alone, atol=1e-6)


def test_a_model_without_experts_is_refused():
    changes = {key: value for key, value in SIZES.items() if key != "num_experts_per_tok"}
    dense = transformers.LlamaForCausalLM(transformers.LlamaConfig(**changes)).eval()
    with pytest.raises(ValueError, match="no output_router_logits; valid are mixture-of-experts"):
        record_router(dense, {"a": [[1, 2]]}, "dense", {})


def test_tokens_that_are_none_are_refused():
    with pytest.raises(ValueError, match="domain 'b': has no tokens"):
        record_router(tiny(), {"a": [[1, 2]], "b": [[]]}, "tiny", {})
    with pytest.raises(ValueError, match="knows tokens 0 to 9, given were 1 to 10"):
        record_router(tiny(), {"a": [[1, 10]]}, "tiny", {})


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A model folder as `save_pretrained` writes it, with a tokenizer that knows ten words."""
    tokenizers = pytest.importorskip("tokenizers")
    path = tmp_path_factory.mktemp("mixtral")
    tiny().save_pretrained(path)
    words = tokenizers.Tokenizer(
        tokenizers.models.WordLevel({word: index for index, word in enumerate(WORDS)}, unk_token="unknown")
    )
    words.pre_tokenizer = tokenizers.pre_tokenizers.Whitespace()
    transformers.PreTrainedTokenizerFast(tokenizer_object=words, unk_token="unknown").save_pretrained(path)
    return path


def run(*arguments: object):
    app = Typer()
    app.command()(huggingface.record_huggingface)
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def test_the_command_records_texts_that_an_environment_plays(folder, tmp_path):
    first, second = tmp_path / "physics.txt", tmp_path / "law.txt"
    first.write_text("the node sends its hidden state to an expert " * 3)
    second.write_text("an expert sends the state " * 2)
    out = tmp_path / "tiny.npz"
    arguments = (folder, "--text", first, "--text", f"courts={second}", "--out", out, "--tokens", 20, "--context", 8)
    result = run(*arguments)
    assert result.exit_code == 0, result.output
    trace = read_trace(out)
    assert trace.domain_names == ("physics", "courts")
    np.testing.assert_array_equal(trace.domain_tokens, [20, 10])
    # contexts of 8 tokens, on their own
    ids = [WORDS.index(word) for word in first.read_text().split()[:20]]
    network = tiny()
    expected = np.concatenate([routers_seen(network, ids[begin : begin + 8]) for begin in (0, 8, 16)], axis=1)
    np.testing.assert_allclose(trace.gate_scores[:, :20], expected, atol=1e-5)
    assert "--context 8" in trace.recorded["command"]

    before = out.read_bytes()
    again = run(*arguments)
    assert again.exit_code == 2
    assert out.read_bytes() == before

    env = gym.make("DMoE-JESA-v0", relevance=f"trace:{out}", num_layers=LAYERS, num_experts=EXPERTS, num_states=2)
    assert env.reset(seed=0)[0]["gate_scores"].shape == (EXPERTS, 2, EXPERTS)


def test_two_domains_of_one_name_are_refused(folder, tmp_path):
    (tmp_path / "a.txt").write_text("node")
    text = tmp_path / "a.txt"
    assert run(folder, "--text", text, "--text", f"a={text}", "--out", tmp_path / "x.npz").exit_code == 2
    assert not (tmp_path / "x.npz").exists()


def test_texts_and_models_of_others_are_read_or_refused_in_one_line(folder, tmp_path):
    """A pipe that nobody writes into is not waited for, a device without end not read, and errors are a line."""
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "latin.txt").write_bytes("caf\u00e9".encode("latin-1"))
    (tmp_path / "a.txt").write_text("node")
    (tmp_path / "empty").mkdir()
    for model, text, said in (
        (folder, tmp_path / "pipe", "is no file but a folder, a device or a pipe"),
        (folder, "/dev/zero", "is no file but a folder, a device or a pipe"),
        (folder, tmp_path / "latin.txt", "is no text"),
        (tmp_path / "empty", tmp_path / "a.txt", f"model = '{tmp_path / 'empty'}': cannot be read"),
    ):
        refused = run(model, "--text", f"a={text}", "--out", tmp_path / "x.npz")
        assert refused.exit_code == 2, refused.output
        assert said in refused.stderr
        assert refused.stderr.strip().count("\n") == 0


def test_weights_that_could_run_code_are_refused(folder, tmp_path):
    """A folder with a pickled checkpoint instead of safetensors is not loaded."""
    pickled = tmp_path / "pickled"
    pickled.mkdir()
    for file in folder.iterdir():
        if file.suffix == ".json":
            (pickled / file.name).write_bytes(file.read_bytes())
    torch.save(tiny().state_dict(), pickled / "pytorch_model.bin")
    (tmp_path / "a.txt").write_text("node")
    assert run(pickled, "--text", tmp_path / "a.txt", "--out", tmp_path / "x.npz").exit_code == 2


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda logits: logits.T, r"returned shape \(4, 3\), valid is \(3 tokens, 4 experts\)"),
        (lambda logits: logits[:, :2], r"returned shape \(3, 2\)"),
        (lambda logits: logits.masked_fill(logits < logits.amax(-1, keepdim=True), -torch.inf), "not finite"),
    ],
)
def test_router_outputs_of_another_layout_are_refused(change, words):
    from types import SimpleNamespace

    config = SimpleNamespace(output_router_logits=True, vocab_size=9, num_local_experts=4)
    logits = torch.arange(12.0).reshape(3, 4)

    def model(**_):
        return SimpleNamespace(router_logits=(change(logits),))

    model.config, model.device = config, "cpu"
    with pytest.raises(ValueError, match=words):
        record_router(model, {"a": [[0, 1, 2]]}, "tiny", {})

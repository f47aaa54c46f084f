"""Configurations of causal language models as sources of gate scores; torch is imported when a process is built."""

from __future__ import annotations

from abc import ABC, abstractmethod
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from safetensors import SafetensorError, safe_open

from dmoe_gym.io.extras import needed_for, readable
from dmoe_gym.io.files import read_bytes, read_json, regular_file, state_of
from dmoe_gym.models.process import ModelRelevance, ModelSizes, ModelSource

if TYPE_CHECKING:
    from dmoe_gym.models.causal.layers import LayeredModel


class Asked(NamedTuple):
    """Queries of one length, with all of their answers' tokens: what the model is to say is known (teacher forcing).

    An answer is right if every token of it is the model's likeliest after all before it: just then the model would have
    written it by itself, under the same schedules.

    Attributes:
        tokens: (rows, T + 1) int64; the model sees the first T.
        answered: (rows, T + 1) bool, the tokens that make the answer; never the first one.
        padding: (rows,) int64, how many tokens at the beginning hold nothing.
    """

    tokens: np.ndarray
    answered: np.ndarray
    padding: np.ndarray


class Questions(ABC):
    """A stock of queries in domains.

    Attributes:
        domains: their names.
        length: T, the tokens that the model sees of each query.
        by_likelihood: are answers scored by their likelihood, the geometric mean over their tokens, instead of as
            right or wrong?
    """

    domains: tuple[str, ...]
    length: int
    by_likelihood: bool = False

    @abstractmethod
    def ask(self, domains: np.ndarray, numbers: np.ndarray) -> Asked:
        """A query per domain (rows,), each a function of its domain and its number (rows,) alone.

        Numbers are uniform whole numbers from 0 to 2^62 - 1.
        """


# `model_type` of config.json, and transformers' class for it
CLASSES = {
    "mixtral": "MixtralForCausalLM",
    "olmoe": "OlmoeForCausalLM",
    "qwen2_moe": "Qwen2MoeForCausalLM",
    "qwen3_moe": "Qwen3MoeForCausalLM",
}


def read_sizes(folder: Path | str) -> ModelSizes:
    """What config.json says: layers with experts, experts, and how many tokens there may be.

    Raises:
        ValueError: one line, for a folder that holds no such model.
    """
    fields = _read_config(Path(folder))
    try:
        layers = min(int(fields["num_hidden_layers"]), 10_000)
        experts = int(fields["num_local_experts"] if "num_local_experts" in fields else fields["num_experts"])
        step, dense = int(fields.get("decoder_sparse_step", 1)), fields.get("mlp_only_layers") or ()
        sparse = [layer for layer in range(layers) if (layer + 1) % step == 0 and layer not in dense]
        most, heard = int(fields["max_position_embeddings"]), int(fields.get("num_experts_per_tok", 1))
    except (KeyError, TypeError, ValueError, ArithmeticError) as error:
        raise ValueError(f"model folder {str(folder)!r}: config.json is not complete ({error!r})") from None
    if not sparse or experts < 2 or most < 1:
        raise ValueError(
            f"model folder {str(folder)!r}: {len(sparse)} layers with {experts} experts of {most} tokens at most; "
            "valid is a mixture of experts"
        )
    if not 1 <= heard <= experts:
        raise ValueError(f"model folder {str(folder)!r}: num_experts_per_tok = {heard}; valid are 1 to {experts}")
    return ModelSizes(len(sparse), experts, 1, most)


def load_folder(folder: Path | str, dtype: str = "auto") -> LayeredModel:
    """The model of a folder; read once per process while its files stay the same. No code of the folder's is run.

    Args:
        folder: with config.json and weights.
        dtype: in what precision it computes, as transformers names it; by default that of its weights.

    Raises:
        ImportError: with the command that installs transformers, if it is missing.
        ValueError: one line, for a folder that is foreign or damaged.
    """
    path = Path(folder).expanduser().resolve()
    _read_config(path)
    return _load(path, dtype, files_of(path))


def files_of(folder: Path) -> tuple[Any, ...]:
    """Names, times and sizes of a folder's files: what is kept in memory of it holds while they stay the same."""
    files = sorted(file for file in folder.iterdir() if file.is_file())
    return tuple((file.name, *state_of(file)) for file in files)


@lru_cache(maxsize=4)
def _load(path: Path, dtype: str, _changed: tuple[Any, ...]) -> LayeredModel:
    with needed_for("a language model", "record"):
        import torch
        import transformers

        from dmoe_gym.models.causal.layers import LayeredModel
    fields = _read_config(path)
    _require_layers(path, fields["num_hidden_layers"])
    made = getattr(transformers, CLASSES[fields["model_type"]])
    transformers.utils.logging.disable_progress_bar()
    try:
        with readable(f"model folder {str(path)!r}:"):
            model, report = made.from_pretrained(
                path,
                use_safetensors=True,
                local_files_only=True,
                trust_remote_code=False,
                output_loading_info=True,
                dtype=dtype,
            )
            # numbers that are none, in weights or of what config.json says, are found in the weights or by one token
            said = [*model.parameters(), model(torch.zeros((1, 1), dtype=torch.long)).logits]
            if not all(torch.isfinite(values).all() for values in said):
                raise ValueError("holds or gives numbers that are not finite")
    finally:
        transformers.utils.logging.enable_progress_bar()
    for kind in ("missing_keys", "unexpected_keys", "mismatched_keys"):
        if report.get(kind):
            first = sorted(map(str, report[kind]))[0]
            raise ValueError(f"model folder {str(path)!r}: weights and config.json differ: {kind} {first}")
    return LayeredModel(model)


def _require_layers(folder: Path, said: Any) -> None:
    """Refuse weights that are not of as many layers as config.json says, which transformers would build first."""
    where, names = f"model folder {str(folder)!r}", list[str]()
    for file in folder.glob("*.safetensors"):
        try:
            with safe_open(regular_file(file, "weights"), framework="np") as stored:
                names += stored.keys()
        except (SafetensorError, OSError) as error:
            raise ValueError(f"{where}: {file.name} cannot be read: {error}") from None
    if not names:
        raise ValueError(f"{where}: has no *.safetensors; valid are weights in safetensors only")
    held = len({name.split(".")[2] for name in names if name.startswith("model.layers.")})
    if said != held:
        raise ValueError(f"{where}: num_hidden_layers = {said!r:.99}; valid with its weights is {held}")


def _read_config(folder: Path) -> dict[str, Any]:
    where = f"model folder {str(folder)!r}"
    try:
        content = read_bytes(folder / "config.json", "config.json")
    except ValueError as error:
        raise ValueError(f"{where}: has no config.json that can be read ({error})") from None
    fields = read_json(content, f"{where}: config.json")
    kind = fields.get("model_type")
    if not isinstance(kind, str) or kind not in CLASSES:
        raise ValueError(f"{where}: model_type = {kind!r:.99}; valid are {', '.join(CLASSES)}")
    return fields


class CausalSource(ModelSource):
    """A source whose model is a causal language model; model and questions are loaded once per process."""

    @abstractmethod
    def layered(self) -> LayeredModel:
        """The model, kept by whoever loads it."""

    @abstractmethod
    def questions(self) -> Questions:
        """What it is asked, kept likewise."""

    def build(self, batch: int, nodes: int, states: int, experts: int) -> ModelRelevance:
        """The process for `batch` environments.

        Raises:
            ImportError: with the command that installs transformers, if it is missing.
            ValueError: if the model, the queries or the sizes do not fit.
        """
        with needed_for("a language model", "record"):
            from dmoe_gym.models.causal.process import CausalRelevance
        return CausalRelevance(batch, nodes, states, experts, self)

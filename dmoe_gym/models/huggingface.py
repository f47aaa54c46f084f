"""Any mixture-of-experts causal language model in a local folder, asked what a file of prompts says.

Files of prompts are JSON lines with `prompt` and `answer`, or with `text`, and a `domain` if there are several."""

from __future__ import annotations

import io
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, NamedTuple

import numpy as np
from pydantic import Field

from dmoe_gym.io.extras import needed_for, readable
from dmoe_gym.io.files import read_json, read_text, regular_file, state_of
from dmoe_gym.models.causal.source import Asked, CausalSource, Questions, files_of, load_folder, read_sizes
from dmoe_gym.models.process import ModelRelevance, ModelSizes

if TYPE_CHECKING:
    from dmoe_gym.models.causal.layers import LayeredModel

NO_DOMAIN = "all"


class Prompt(NamedTuple):
    """One line; `answer` is empty for a text."""

    prompt: str
    answer: str
    domain: str


def read_prompts(path: Path | str) -> tuple[list[Prompt], bool]:
    """The lines of a file, and whether they are texts, to be scored by their likelihood.

    Raises:
        ValueError: one line that names file, line and what is valid.
    """
    # as `open` reads lines; `splitlines` would cut a text at other characters, too
    lines = io.StringIO(read_text(path, "prompts"), newline=None)
    prompts = [
        _read_line(line, f"prompts {str(path)!r}, line {place}") for place, line in enumerate(lines, 1) if line.strip()
    ]
    if not prompts:
        raise ValueError(f"prompts {str(path)!r}: is empty; valid is one JSON object per line")
    are_texts = {not prompt.answer for prompt in prompts}
    if len(are_texts) > 1:
        raise ValueError(f"prompts {str(path)!r}: valid are lines of prompt and answer or lines of text, not both")
    return prompts, are_texts.pop()


def _read_line(line: str, where: str) -> Prompt:
    fields = read_json(line, where)
    wanted = "valid are the fields prompt and answer, or text, and domain, all of them text and not empty"
    domain = fields.pop("domain", NO_DOMAIN)
    if set(fields) not in ({"prompt", "answer"}, {"text"}):
        raise ValueError(f"{where}: has the fields {', '.join(fields) or 'none'}; {wanted}")
    for name, value in {**fields, "domain": domain}.items():
        if not isinstance(value, str) or not value:
            raise ValueError(f"{where}: {name} = {value!r:.99}; {wanted}")
        if any("\ud800" <= character <= "\udfff" for character in value):
            raise ValueError(f"{where}: {name} = {value!r:.99} has half a character; {wanted}")
    return Prompt(fields["text"] if "text" in fields else fields["prompt"], fields.get("answer", ""), domain)


class PromptQuestions(Questions):
    """The prompts of a file in a model's tokens; shorter ones are padded at their beginning.

    Attributes:
        fewest: tokens that the model sees of the shortest one.
    """

    def __init__(self, folder: Path | str, path: Path | str) -> None:
        prompts, self.by_likelihood = read_prompts(path)
        self.domains = tuple(sorted({prompt.domain for prompt in prompts}))
        rows = _tokenised(folder, prompts, f"prompts {str(path)!r}")
        lengths = [len(tokens) for tokens, _ in rows]
        most = read_sizes(folder).most_states
        if max(lengths) > most:
            raise ValueError(f"prompts {str(path)!r}: one has {max(lengths)} tokens; valid with this model are {most}")
        self.fewest, self.length = min(lengths) - 1, max(lengths) - 1
        self._asked = Asked(
            np.zeros((len(rows), self.length + 1), np.int64),
            np.zeros((len(rows), self.length + 1), np.bool_),
            self.length + 1 - np.array(lengths),
        )
        for row, (tokens, answer) in enumerate(rows):
            self._asked.tokens[row, -len(tokens) :] = tokens
            self._asked.answered[row, -answer:] = True
        owners = np.array([self.domains.index(prompt.domain) for prompt in prompts])
        self._members = [np.flatnonzero(owners == domain) for domain in range(len(self.domains))]

    def ask(self, domains: np.ndarray, numbers: np.ndarray) -> Asked:
        members = [self._members[domain] for domain in domains]
        rows = np.array([own[number % len(own)] for own, number in zip(members, numbers, strict=True)], np.int64)
        return Asked(*(values[rows] for values in self._asked))


def _tokenised(folder: Path | str, prompts: list[Prompt], where: str) -> list[tuple[list[int], int]]:
    """Of each prompt its tokens, the answer's included, and how many of them are the answer.

    A text is its own answer, but for the first token that the tokenizer gives it.
    """
    with needed_for("a language model", "record"):
        from transformers import PreTrainedTokenizerFast
    with readable(f"model folder {str(folder)!r}: its tokenizer"):
        # tokenizer.json alone: no class that the folder names is looked up
        tokenizer: Any = PreTrainedTokenizerFast.from_pretrained(Path(folder).expanduser(), local_files_only=True)
    rows = []
    for prompt in prompts:
        first = tokenizer(prompt.prompt)["input_ids"]
        second = tokenizer(prompt.answer, add_special_tokens=False)["input_ids"] if prompt.answer else []
        answer = len(second) or len(first) - 1
        if not first or not answer:
            raise ValueError(f"{where}: {prompt.prompt!r} {prompt.answer!r} has too few tokens to be scored")
        rows.append(([*first, *second], answer))
    return rows


def load_questions(folder: str, path: str) -> PromptQuestions:
    """The questions of a file; read once per process while it and the model's folder stay the same."""
    file, model = regular_file(path, "prompts").resolve(), Path(folder).expanduser().resolve()
    return _kept(model, file, (state_of(file), files_of(model)))


@lru_cache(maxsize=8)
def _kept(folder: Path, path: Path, _changed: tuple[Any, ...]) -> PromptQuestions:
    return PromptQuestions(folder, path)


class HuggingFaceSource(CausalSource):
    """Mixtral, OLMoE, Qwen2-MoE or Qwen3-MoE from a local folder, weights in safetensors.

    Attributes:
        folder: as transformers saves a model and its tokenizer.
        prompts: JSON lines, see `read_prompts`. Of every query the last N tokens are scheduled.
    """

    kind: Literal["huggingface"] = "huggingface"
    folder: Annotated[str, Field(min_length=1)]
    prompts: Annotated[str, Field(min_length=1)]

    def sizes(self) -> ModelSizes:
        return read_sizes(self.folder)

    def layered(self) -> LayeredModel:
        return load_folder(self.folder)

    def questions(self) -> Questions:
        return load_questions(self.folder, self.prompts)

    def build(self, batch: int, nodes: int, states: int, experts: int) -> ModelRelevance:
        """As `CausalSource.build`."""
        fewest = load_questions(self.folder, self.prompts).fewest
        if states > fewest:
            raise ValueError(f"num_states = {states}: valid with the shortest of prompts {self.prompts!r} is {fewest}")
        return super().build(batch, nodes, states, experts)

"""Training the language model: who is heard, accuracy as a count, a resumed training as an uninterrupted one."""

from __future__ import annotations

import csv
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from dmoe_gym.models.language import training as language
from dmoe_gym.models.language.accuracy import answers, best
from dmoe_gym.models.language.families import FAMILIES, MOST_TOKENS, VOCABULARY, Queries, base, families_in_turn
from dmoe_gym.models.language.source import GeneratedQuestions
from dmoe_gym.models.language.training import Trainer, Training, accuracy, closing_windows, heard_in_training
from dmoe_gym.models.reproducible import one_thread

COUNT = 3 * len(FAMILIES)


def heard(scores: torch.Tensor, seed: int = 0, **fields) -> torch.Tensor:
    """Who is heard of 4 rows of 6 hidden states, (4, 6, K)."""
    training = Training(rows=4, length=6, **fields)
    generator = torch.Generator().manual_seed(seed)
    return heard_in_training(scores.reshape(24, -1), training, generator).view(scores.shape)


@pytest.mark.parametrize("count", [1, 2, 3, 8])
def test_a_row_hears_its_best_experts(count):
    scores = torch.rand(4, 6, 8, generator=torch.Generator().manual_seed(1))
    threshold = scores.sort(-1, descending=True).values[..., count - 1 : count]
    assert torch.equal(heard(scores, counts=((count, 1.0),), loss_share=0.0), scores >= threshold)


def test_losses_spare_the_best_and_are_of_whole_rows():
    """With every asked expert lost the best one alone is heard, in as many rows as the share says."""
    scores = torch.rand(4, 6, 8, generator=torch.Generator().manual_seed(2))
    first = scores == scores.max(-1, keepdim=True).values
    assert torch.equal(heard(scores, counts=((3, 1.0),), loss_share=1.0, lost=1.0), first)
    kinds = set()
    for seed in range(12):
        lossy = heard(scores, seed, counts=((3, 1.0),), loss_share=0.5, lost=1.0).sum(-1) == 1
        assert (lossy.all(-1) == lossy.any(-1)).all()
        kinds |= set(lossy.all(-1).tolist())
    assert kinds == {True, False}
    # one in four of the experts asked, of 24 hidden states in 40 draws
    share = np.mean(
        [heard(scores, seed, counts=((8, 1.0),), loss_share=1.0, lost=0.25).float().mean() for seed in range(40)]
    )
    assert share == pytest.approx(0.75, abs=4 * np.sqrt(0.75 * 0.25 / (40 * 192)))


class Oracle(torch.nn.Module):
    """A model that knows every answer but those of one family, which it always gets wrong.

    Attributes:
        model: nothing that routes.
    """

    layers, experts = 2, 3

    def __init__(self, tokens: np.ndarray, families: np.ndarray, unknown: int) -> None:
        super().__init__()
        self.model = SimpleNamespace(layers=[])
        self.next = {}
        for row, family in zip(tokens, families, strict=True):
            self.next[row[:MOST_TOKENS].tobytes()] = (row[1:] + (family == unknown)) % VOCABULARY

    def forward(self, input_ids: torch.Tensor, use_cache: bool = True) -> SimpleNamespace:
        return SimpleNamespace(logits=self.logits(input_ids))

    def embed(self, tokens: torch.Tensor) -> torch.Tensor:
        return tokens

    def open_layer(self, layer: int, hidden: torch.Tensor, padding: None = None) -> tuple[torch.Tensor, torch.Tensor]:
        return hidden, torch.full((*hidden.shape, 3), 0.25 * layer)

    def close_layer(self, layer, hidden, scores, heard) -> torch.Tensor:
        return hidden

    def logits(self, hidden: torch.Tensor) -> torch.Tensor:
        rows = []
        for row in hidden.numpy():
            known = self.next[row.tobytes()]
            rows.append(torch.nn.functional.one_hot(torch.from_numpy(np.resize(known, len(row))), VOCABULARY))
        return torch.stack(rows).float()


@pytest.mark.parametrize("unknown", [0, 4, len(FAMILIES) - 1])
def test_accuracy_counts_exact_answers_per_family(unknown):
    """Of a model that knows all families but one: 1 of all but that one, in every batch; it is not trained on."""
    families = families_in_turn(COUNT)
    expected = np.arange(len(FAMILIES)) != unknown
    tokens, _ = closing_windows(Queries("validation", 5), families, MOST_TOKENS)
    model = Oracle(tokens, families, unknown).train()
    np.testing.assert_array_equal(accuracy(model, "validation", COUNT, 2, seed=5), expected)
    assert not model.training
    asked = GeneratedQuestions("test").ask(families, 2 * COUNT + np.arange(COUNT))
    found, scores = answers(Oracle(asked.tokens, families, unknown), "test", COUNT, best(1), seed=2)
    np.testing.assert_array_equal(found, expected)
    np.testing.assert_allclose(scores, np.array([0.25, 0.5])[:, None, None] * np.ones((2, len(FAMILIES), 3)))


def test_numbers_to_convert_have_three_to_eight_digits():
    """In base 8; to seven in base 4; and half of the family are sums."""
    draw = Queries("train", 3).draw
    texts = [base(draw)[0] for _ in range(4000)]
    digits: dict[str, set[int]] = {"4": set(), "8": set()}
    for number, into in (text.split(":") for text in texts if ":" in text):
        digits[into].add(len(number))
    assert digits == {"4": set(range(3, 8)), "8": set(range(3, 9))}
    assert sum("+" in text for text in texts) == pytest.approx(2000, abs=4 * np.sqrt(1000))


def test_a_resumed_training_is_an_uninterrupted_one(tmp_path, monkeypatch):
    """Weights, moments and the log, but for the seconds."""
    monkeypatch.setattr(language, "accuracy", lambda *_, **__: np.full(len(FAMILIES), 0.5))
    fields = {"rows": 2, "length": 16, "check_every": 1, "learning_rates": ((0, 1e-3), (9, 1e-3))}
    with one_thread():
        whole = Trainer(tmp_path / "whole", Training(steps=2, **fields))
        whole.run(lambda _: None)
        Trainer(tmp_path / "part", Training(steps=1, **fields)).run(lambda _: None)
        resumed = Trainer(tmp_path / "part", Training(steps=2, **fields))
        assert (resumed.step, resumed.best) == (1, 0.5)
        resumed.run(lambda _: None)
    for one, other in zip(whole.model.parameters(), resumed.model.parameters(), strict=True):
        assert torch.equal(one, other)
    logs = []
    for name in ("whole", "part"):
        with (tmp_path / name / "log.csv").open() as file:
            logs.append([{**row, "seconds": ""} for row in csv.DictReader(file)])
    assert logs[0] == logs[1]
    assert [row["step"] for row in logs[0]] == ["1", "2"]


def test_the_page_says_how_it_is_trained():
    said = " ".join((Path(__file__).parents[2] / "docs" / "language.md").read_text().split())
    training = Training()
    assert f"Every {training.check_every} steps {training.check_queries:,} validation queries are asked" in said
    assert f"one thread, {training.steps:,} steps" in said
    assert f"in {100 * training.loss_share:.0f} % of the rows a quarter of the experts asked is lost" in said
    assert training.lost == 0.25
    assert dict(training.counts)[2] == pytest.approx(2 / 3, abs=0.02)
    assert sum(chance for _, chance in training.counts) == pytest.approx(1)
    assert {count for count, _ in training.counts} == {1, 2, 3, 8}


def test_one_thread_gives_back_as_many_as_there_were():
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(3)
        with one_thread():
            assert torch.get_num_threads() == 1
        assert torch.get_num_threads() == 3
    finally:
        torch.set_num_threads(before)

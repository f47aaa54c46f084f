"""Training of the language model: next tokens of answers, while random experts are not heard."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter
from typing import Annotated, Any

import numpy as np
import torch
import typer
from torch import Tensor, nn
from torch.nn.functional import cross_entropy
from transformers import MixtralConfig, MixtralForCausalLM

from dmoe_gym.io.command_line import one_line_errors, wide_console
from dmoe_gym.io.files import read_tensors, tensor_bytes, write_whole
from dmoe_gym.models.causal.layers import top_experts, weights_of
from dmoe_gym.models.language.families import (
    END,
    FAMILIES,
    MOST_TOKENS,
    PAD,
    VOCABULARY,
    Part,
    Queries,
    closing_windows,
    families_in_turn,
    stream_rows,
)
from dmoe_gym.models.reproducible import one_thread


def build() -> MixtralForCausalLM:
    """The model with fresh weights from torch's global generator."""
    model = MixtralForCausalLM(
        MixtralConfig(
            vocab_size=VOCABULARY,
            hidden_size=64,
            intermediate_size=96,
            num_hidden_layers=6,
            num_attention_heads=4,
            num_key_value_heads=4,
            num_local_experts=8,
            num_experts_per_tok=2,
            max_position_embeddings=64,
            # positions are a few dozen: the usual 1e6 would leave most frequencies without use
            rope_parameters={"rope_type": "default", "rope_theta": 100.0},
            tie_word_embeddings=True,
            bos_token_id=None,
            eos_token_id=END,
            pad_token_id=PAD,
        )
    )
    # the other implementations return nan where an expert number is nobody's
    model.set_experts_implementation("eager")
    return model


def routers(model: Any) -> list[nn.Module]:
    """The routers of all layers, in order."""
    return [layer.mlp.gate for layer in model.model.layers]


def route(logits: Tensor, heard: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """What a router of transformers answers with where exactly `heard` (T, K) bool answer.

    Returns:
        logits (T, K), weights (T, k), experts (T, k); expert number K is nobody.
    """
    weights, experts = weights_of(logits.float().softmax(-1), heard).topk(max(1, int(heard.sum(-1).max())), -1)
    return logits, weights.to(logits.dtype), torch.where(weights > 0, experts, logits.shape[-1])


def override(model: Any, choose: Callable[[int, Tensor], Tensor]) -> list[Any]:
    """Let `choose(layer, logits)` say who is heard (T, K) bool; returns handles whose `remove` undoes it."""
    return [
        router.register_forward_hook(lambda _module, _inputs, output, n=layer: route(output[0], choose(n, output[0])))
        for layer, router in enumerate(routers(model))
    ]


@dataclass(frozen=True)
class Training:
    """How the shipped model is trained; every number is this project's choice.

    learning_rates: by step, linear between.
    rows, length: of a step; every row is a piece of one family's stream of queries.
    counts: how many of a row's best experts are asked, and with what probability.
    loss_share: share of the rows in which every asked expert is lost with probability `lost`.
    balance: weight of the loss that keeps experts equally busy (that of Switch Transformers, arXiv 2101.03961).
    """

    steps: int = 4000
    rows: int = 50
    length: int = 48
    learning_rates: tuple[tuple[int, float], ...] = ((-1, 0.0), (149, 2e-3), (2600, 2e-3), (4000, 0.0))
    weight_decay: float = 0.05
    balance: float = 0.01
    counts: tuple[tuple[int, float], ...] = ((1, 0.1), (2, 0.65), (3, 0.2), (8, 0.05))
    loss_share: float = 0.15
    lost: float = 0.25
    seed: int = 0
    check_every: int = 125
    check_queries: int = 2000


def heard_in_training(scores: Tensor, training: Training, generator: torch.Generator) -> Tensor:
    """Who is heard in one layer, (B T, K) bool; scores (B T, K)."""
    batch, length, experts = training.rows, training.length, scores.shape[-1]
    numbers = torch.tensor([count for count, _ in training.counts])
    chances = torch.tensor([chance for _, chance in training.counts])
    asked = numbers[torch.multinomial(chances, batch, True, generator=generator)]
    drawn = torch.rand(2, batch, length, experts, generator=generator)
    order = scores.view(batch, length, experts).argsort(-1, descending=True)
    places = torch.empty_like(order).scatter_(-1, order, torch.arange(experts).expand_as(order))
    lossy = drawn[0, :, :1, :1] < training.loss_share
    lost = lossy & (drawn[1] < training.lost)
    # somebody is always heard: whom the loss spares in place of the first is arbitrary, so the first is
    first = places == 0
    heard = (places < asked[:, None, None]) & ~lost
    heard = heard | (first & ~heard.any(-1, keepdim=True))
    return heard.view(-1, experts)


def balance_loss(logits: Tensor) -> Tensor:
    """K times the sum over experts of (share of hidden states whose best it is) x (its mean score); 1 at best."""
    scores = logits.softmax(-1)
    experts = scores.shape[-1]
    share = torch.bincount(scores.detach().argmax(-1), minlength=experts) / len(scores)
    return experts * (share * scores.mean(0)).sum()


def answer_losses(model: torch.nn.Module, tokens: Tensor, answered: Tensor) -> tuple[Tensor, Tensor]:
    """Cross entropy of every answer token, and right answers: (places,) and (B,) bool; tokens, answered (B, T)."""
    logits = model(input_ids=tokens, use_cache=False).logits[:, :-1]
    wanted, targets = answered[:, 1:], tokens[:, 1:]
    losses = cross_entropy(logits[wanted], targets[wanted], reduction="none")
    return losses, ((logits.argmax(-1) == targets) | ~wanted).all(-1)


def accuracy(model: torch.nn.Module, part: Part, queries: int, top: int, seed: int = 0) -> np.ndarray:
    """Share of exact answers per family, (families,), where every hidden state hears its `top` best experts."""
    families = families_in_turn(queries)
    tokens, answered = map(torch.from_numpy, closing_windows(Queries(part, seed), families, MOST_TOKENS))
    right = np.zeros(queries, np.bool_)
    handles = override(model, lambda _layer, logits: top_experts(logits, top))
    model.eval()
    with torch.no_grad():
        for start in range(0, queries, 500):
            some = slice(start, start + 500)
            right[some] = answer_losses(model, tokens[some], answered[some])[1]
    for handle in handles:
        handle.remove()
    return np.array([right[families == family].mean() for family in range(len(FAMILIES))])


class Trainer:
    """One training in a folder: log.csv, last.safetensors (weights and optimizer) and best.safetensors (weights)."""

    def __init__(self, folder: Path, training: Training) -> None:
        self.folder, self.training = folder, training
        torch.manual_seed(training.seed)
        self.model = build()
        matrices = [p for p in self.model.parameters() if p.ndim > 1]
        vectors = [p for p in self.model.parameters() if p.ndim == 1]
        groups = [{"params": matrices, "weight_decay": training.weight_decay}, {"params": vectors, "weight_decay": 0.0}]
        self.optimizer = torch.optim.AdamW(groups, lr=1.0, betas=(0.9, 0.99))
        self.step, self.best = 0, -1.0
        folder.mkdir(parents=True, exist_ok=True)
        if (folder / "last.safetensors").exists():
            self._resume()

    def run(self, say: Callable[[str], None] = print) -> None:
        """Train to the end, from wherever the folder stands."""
        training, started, losses = self.training, perf_counter(), []
        while self.step < training.steps:
            losses.append(self._one_step())
            self.step += 1
            if self.step % training.check_every == 0 or self.step == training.steps:
                families = accuracy(self.model, "validation", training.check_queries, top=2)
                self._record(float(np.mean(losses)), families, perf_counter() - started)
                say(f"{self.step} {np.mean(losses):.4f} {families.mean():.4f} {perf_counter() - started:.0f}s")
                losses = []

    def _one_step(self) -> float:
        training = self.training
        queries, families = Queries("train", training.seed, self.step), families_in_turn(training.rows)
        tokens, answered = map(torch.from_numpy, stream_rows(queries, families, training.length))
        generator = torch.Generator().manual_seed(training.seed * 1_000_003 + self.step)
        balances: list[Tensor] = []

        def choose(_layer: int, logits: Tensor) -> Tensor:
            balances.append(balance_loss(logits))
            return heard_in_training(logits.detach(), training, generator)

        for group in self.optimizer.param_groups:
            group["lr"] = self._learning_rate()
        self.model.train()
        handles = override(self.model, choose)
        losses, _ = answer_losses(self.model, tokens, answered)
        for handle in handles:
            handle.remove()
        loss = losses.mean()
        self.optimizer.zero_grad()
        (loss + training.balance * torch.stack(balances).mean()).backward()
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
        self.optimizer.step()
        return loss.item()

    def _learning_rate(self) -> float:
        steps, rates = zip(*self.training.learning_rates, strict=True)
        return float(np.interp(self.step, steps, rates))

    def _record(self, loss: float, families: np.ndarray, seconds: float) -> None:
        mean = float(families.mean())
        weights = {name: value.detach().numpy() for name, value in self.model.named_parameters()}
        if mean > self.best:
            self.best = mean
            write_whole(self.folder / "best.safetensors", tensor_bytes({"step": str(self.step)}, weights))
        state = {f"model.{name}": value for name, value in weights.items()}
        for name, parameter in self.model.named_parameters():
            state |= {f"{key}.{name}": value.numpy() for key, value in self.optimizer.state[parameter].items()}
        progress = {"progress": json.dumps({"step": self.step, "best": self.best})}
        write_whole(self.folder / "last.safetensors", tensor_bytes(progress, state))
        log = self.folder / "log.csv"
        is_new = not log.exists()
        with log.open("a", newline="") as file:
            writer = csv.writer(file)
            if is_new:
                writer.writerow(["step", "loss", "seconds", "validation", *FAMILIES])
            writer.writerow([self.step, round(loss, 5), round(seconds), round(mean, 5), *families.round(4)])

    def _resume(self) -> None:
        header, arrays = read_tensors(self.folder / "last.safetensors")
        state = {name: torch.from_numpy(array) for name, array in arrays.items()}
        progress = json.loads(header["progress"])
        self.step, self.best = progress["step"], progress["best"]
        with torch.no_grad():
            for name, parameter in self.model.named_parameters():
                parameter.copy_(state[f"model.{name}"])
                moments = ("step", "exp_avg", "exp_avg_sq")
                self.optimizer.state[parameter] = {key: state[f"{key}.{name}"] for key in moments}


@one_line_errors
def train_language(
    out: Annotated[Path, typer.Option(help="Where the model goes, a folder as transformers saves it.")],
    folder: Annotated[
        Path, typer.Option(help="Log and checkpoints of the training; one that was interrupted goes on.")
    ] = Path("runs/language"),
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace OUT if it exists.")] = False,
) -> None:
    """Train on generated queries, on one thread; `python -m experiments run language-model` shows what it learned."""
    if (out / "model.safetensors").exists() and not overwrite:
        raise ValueError(f"out = {str(out)!r}: holds a model already; pass --overwrite to replace it")
    console = wide_console()
    with one_thread():
        Trainer(folder, Training()).run(console.print)
    export(folder / "best.safetensors", out)
    console.print(f"model: {out}")


def export(weights: Path, output: Path) -> None:
    """Save weights as transformers does, in 16 bit."""
    model = build()
    _, arrays = read_tensors(weights)
    model.load_state_dict({name: torch.from_numpy(array) for name, array in arrays.items()}, strict=False)
    model.half().save_pretrained(output)
    (output / "generation_config.json").unlink(missing_ok=True)

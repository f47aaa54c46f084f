"""Two-stage training: perfect channels first, then simulated SNRs, noise on the features and a load-balance penalty."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import nll_loss
from tqdm import tqdm

from dmoe_gym.gating.config import GateKind, GatingConfig
from dmoe_gym.gating.data import DataSplit
from dmoe_gym.gating.networks import GatedModel, mixture
from dmoe_gym.gating.transmission import Analog, Digital
from dmoe_gym.models.reproducible import reproducible


def hear(features: Tensor, snr: np.ndarray, transmission: Analog | Digital, generator: np.random.Generator) -> Tensor:
    """Send each input's features to all K experts, each over its own channel.

    The gradient takes the disturbance as proportional to the features' root mean square. For analog transmission that
    is exact: without it, training would try to outgrow a noise that in truth grows along. For digital transmission,
    which has no useful gradient, it is a straight-through estimate.

    Args:
        features: (B, D).
        snr: (B, K) linear; infinity is a perfect channel.
        transmission: analog or digital.
        generator: random source; the draws of input b are the same whatever batch it is in.

    Returns:
        (B, K, D) float32.
    """
    sent = features.detach().numpy()[:, None].astype(float)
    received = transmission.transmit(sent, snr, generator)
    if not features.requires_grad:
        return torch.from_numpy(received.astype(np.float32))
    scale = features.pow(2).mean(dim=1).add(1e-12).sqrt()[:, None, None]
    disturbance = torch.from_numpy((received - sent).astype(np.float32))
    return features[:, None] + scale * (disturbance / scale.detach())


class EpochMeans:
    """Means over one epoch's training images: loss, accuracy of the output, share of images by preferred expert."""

    def __init__(self, experts: int) -> None:
        self._images = 0
        self._loss = 0.0
        self._correct = 0
        self._load = torch.zeros(experts, dtype=torch.long)

    def add(self, loss: Tensor, log_weights: Tensor, log_answers: Tensor, labels: Tensor) -> None:
        """Count one batch in."""
        self._images += len(labels)
        self._loss += float(loss) * len(labels)
        self._correct += int((mixture(log_weights, log_answers).argmax(dim=1) == labels).sum())
        self._load += torch.bincount(log_weights.argmax(dim=1), minlength=len(self._load))

    def scalars(self) -> dict[str, float]:
        """Tag to value."""
        load = {f"gate_load/expert_{k}": count / self._images for k, count in enumerate(self._load.tolist())}
        return {"loss": self._loss / self._images, "accuracy": self._correct / self._images, **load}


@contextmanager
def scalar_writer(log_dir: Path | str | None, stage: int) -> Iterator[Callable[[int, EpochMeans], None]]:
    """A function that writes one epoch's scalars to `log_dir`/stage_N, or does nothing if `log_dir` is None."""
    if log_dir is None:
        yield lambda epoch, means: None
        return
    from torch.utils.tensorboard import SummaryWriter

    with SummaryWriter(Path(log_dir) / f"stage_{stage}") as writer:

        def write(epoch: int, means: EpochMeans) -> None:
            for tag, value in means.scalars().items():
                writer.add_scalar(tag, value, epoch)

        yield write


def train_two_stage(
    data: DataSplit,
    config: GatingConfig | None = None,
    *,
    transmission: Analog | Digital | None = None,
    seed: int = 0,
    log_dir: Path | str | None = None,
    progress: bool = False,
) -> GatedModel:
    """Train backbone, gate and experts (docs/gating.md, after Song et al., arXiv 2504.00819).

    Same data, configuration, transmission and seed give the same weights bit for bit on one machine, whatever the
    thread count and the state of torch's global random generator.

    Args:
        data: only `data.train` is used.
        config: networks and training; `GatingConfig()` if None.
        transmission: how stage 2 disturbs the features; analog if None.
        seed: of weights, order of images, SNRs and noise.
        log_dir: folder for TensorBoard scalars (loss, accuracy, gate load per expert), none if None.
        progress: show a progress bar.

    Raises:
        ValueError: if images or labels do not fit the configuration.
    """
    model = train_stage_one(data, config, seed=seed, log_dir=log_dir, progress=progress)
    return train_stage_two(model, data, transmission, seed=seed, log_dir=log_dir, progress=progress)


def train_stage_one(
    data: DataSplit,
    config: GatingConfig | None = None,
    *,
    seed: int = 0,
    log_dir: Path | str | None = None,
    progress: bool = False,
) -> GatedModel:
    """Train F, G and Q under perfect channels; arguments as in `train_two_stage`."""
    config = config or GatingConfig()
    _check_data(data, config)
    generator = np.random.default_rng([seed, 1])
    with reproducible(int(generator.integers(2**31))):
        model = GatedModel(config)
        _train(model, data, None, generator, log_dir, progress)
    return model.eval()


def train_stage_two(
    model: GatedModel,
    data: DataSplit,
    transmission: Analog | Digital | None = None,
    *,
    seed: int = 0,
    log_dir: Path | str | None = None,
    progress: bool = False,
) -> GatedModel:
    """Train a copy of a stage-1 model under simulated channels; arguments as in `train_two_stage`."""
    _check_data(data, model.config)
    generator = np.random.default_rng([seed, 2])
    with reproducible(int(generator.integers(2**31))):
        model = copy.deepcopy(model)
        _train(model, data, transmission or Analog(), generator, log_dir, progress)
    return model.eval()


def train_gate(
    experts: GatedModel,
    gate: GateKind,
    data: DataSplit,
    transmission: Analog | Digital | None = None,
    *,
    seed: int = 0,
    progress: bool = False,
) -> GatedModel:
    """Train another gate for a model's backbone and experts, which stay as they are; arguments as in `train_two_stage`.

    The gate meets what gates meet in stage 2, for as many epochs.

    Raises:
        ValueError: if images or labels do not fit the model.
    """
    _check_data(data, experts.config)
    generator = np.random.default_rng([seed, 4])
    with reproducible(int(generator.integers(2**31))):
        model = GatedModel(experts.config.replace(gate=gate))
        for part, trained in ((model.backbone, experts.backbone), (model.experts, experts.experts)):
            part.load_state_dict(trained.state_dict())
            part.requires_grad_(False)
        _train(model, data, transmission or Analog(), generator, None, progress)
    return model.requires_grad_(True).eval()


def load_balance_penalty(log_weights: Tensor) -> Tensor:
    """Squared coefficient of variation of the gate's importance, the weights (B, K) summed over the batch; a scalar.

    Source: Shazeer et al., "Outrageously Large Neural Networks", arXiv 1701.06538, section 4.
    """
    importance = log_weights.exp().sum(dim=0)
    return importance.var(correction=0) / importance.mean().square()


def loss_terms(
    model: GatedModel, log_weights: Tensor, log_answers: Tensor, labels: Tensor, generator: np.random.Generator
) -> tuple[Tensor, Tensor]:
    """Cross-entropy of the output and load-balance penalty, two scalars.

    Args:
        model: tells whether the gate is learned. Under a rule without parameters one expert is drawn from its weights
            for each input and trained alone: an expert is then trained on what it will serve.
        log_weights: (B, K) from the gate.
        log_answers: (B, K, C) from the experts.
        labels: (B,).
        generator: random source of that draw.
    """
    if model.gate.learned:
        return nll_loss(mixture(log_weights, log_answers), labels), load_balance_penalty(log_weights)
    gumbel = torch.from_numpy(generator.gumbel(size=log_weights.shape).astype(np.float32))
    chosen = (log_weights + gumbel).argmax(dim=1)
    return nll_loss(log_answers[torch.arange(len(labels)), chosen], labels), torch.zeros(())


def _train(
    model: GatedModel,
    data: DataSplit,
    transmission: Analog | Digital | None,
    generator: np.random.Generator,
    log_dir: Path | str | None,
    progress: bool,
) -> None:
    """One stage: the first under perfect channels where `transmission` is None, else the second."""
    config = model.config
    stage, epochs = (1, config.stage_one_epochs) if transmission is None else (2, config.stage_two_epochs)
    if epochs == 0:
        return
    images, labels = torch.from_numpy(data.train.images), torch.from_numpy(data.train.labels)
    steps = epochs * -(-len(labels) // config.batch_size)
    optimiser = torch.optim.AdamW(
        [parameter for parameter in model.parameters() if parameter.requires_grad],
        lr=config.learning_rate,
        weight_decay=config.weight_decay,
        fused=True,
    )
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, steps)
    model.train()
    with scalar_writer(log_dir, stage) as write:
        for epoch in tqdm(range(epochs), desc=f"stage {stage}", disable=not progress):
            means = EpochMeans(config.experts)
            for rows in _batches(len(labels), config.batch_size, generator):
                snr = _stage_snr(config, transmission, len(rows), generator)
                features = model.features(images[rows])
                if transmission is None:
                    heard = features[:, None].expand(-1, config.experts, -1)
                else:
                    heard = hear(features, snr, transmission, generator)
                log_weights = model.gate_log_weights(features, torch.from_numpy(snr).float())
                log_answers = model.expert_log_probabilities(heard)
                loss, penalty = loss_terms(model, log_weights, log_answers, labels[rows], generator)
                total = loss + config.load_balance_weight * penalty
                optimiser.zero_grad()
                total.backward()
                optimiser.step()
                schedule.step()
                means.add(total.detach(), log_weights.detach(), log_answers.detach(), labels[rows])
            write(epoch, means)


def _stage_snr(
    config: GatingConfig, transmission: Analog | Digital | None, inputs: int, generator: np.random.Generator
) -> np.ndarray:
    """Linear SNRs (inputs, K): infinite in stage 1, simulated in stage 2 as `GatingConfig` says."""
    if transmission is None:
        return np.full((inputs, config.experts), np.inf)
    mean_db = generator.uniform(config.training_mean_snr_low_db, config.training_mean_snr_high_db, (inputs, 1))
    spread_db = generator.uniform(0, config.training_spread_high_db, (inputs, 1))
    snr_db = mean_db + spread_db * generator.standard_normal((inputs, config.experts))
    return 10 ** (snr_db / 10)


def _batches(size: int, batch_size: int, generator: np.random.Generator) -> Iterator[Tensor]:
    order = torch.from_numpy(generator.permutation(size))
    yield from order.split(batch_size)


def _check_data(data: DataSplit, config: GatingConfig) -> None:
    expected = (config.image_channels, config.image_size, config.image_size)
    if data.train.images.shape[1:] != expected:
        raise ValueError(
            f"data: images have shape {data.train.images.shape[1:]}, valid for this configuration is {expected}"
        )
    if data.train.labels.max() >= config.classes:
        raise ValueError(f"data: label {data.train.labels.max()}, valid is below classes = {config.classes}")

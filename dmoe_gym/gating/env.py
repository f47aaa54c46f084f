"""`ChannelAwareGating-v0`."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from types import MappingProxyType

import numpy as np
from gymnasium import spaces

from dmoe_gym.core import BatchedCore
from dmoe_gym.gating.data import DatasetName, load_split
from dmoe_gym.gating.frozen import FrozenNetworks, load_frozen, observed_snr, weights_path
from dmoe_gym.gating.networks import output_probabilities
from dmoe_gym.gating.scenarios import GatingSystemConfig


@dataclass(frozen=True)
class GatingRound:
    """One input; K experts, D features, C classes.

    Attributes:
        features: (D,), what the server sends.
        snr: (K,) linear, the true ones.
        log_weights: (K,), log p of the frozen networks' own gate, which weights the selected experts' answers.
        log_answers: (K, C), what every expert would answer to what it hears.
        label: the right class.
        top_k: the most experts.
        reward: see `GatingSystemConfig`.
    """

    features: np.ndarray
    snr: np.ndarray
    log_weights: np.ndarray
    log_answers: np.ndarray
    label: int
    top_k: int
    reward: str


def outcome_terms(
    log_weights: np.ndarray,
    log_answers: np.ndarray,
    labels: np.ndarray,
    snr: np.ndarray,
    selected: np.ndarray,
    reward: str,
) -> tuple[dict[str, np.ndarray], np.ndarray]:
    """The terms, but for repairs, of N inputs and their selected experts, and the outputs (N, C).

    Shapes as in `GatingRound` with a leading N; `selected` is (N, K) bool. The SNR term is the selected experts' mean
    in dB, each clipped to -30 and 30.
    """
    output = output_probabilities(log_weights, log_answers, selected)
    accuracy = (output.argmax(axis=1) == labels).astype(float)
    # a probability of exactly 0 cannot be told from one below the smallest double
    right = np.maximum(output[np.arange(len(labels)), labels], np.finfo(float).tiny)
    cross_entropy = -np.log(right)
    snr_db = np.clip(10 * np.log10(np.maximum(snr, 1e-12)), -30, 30)
    count = selected.sum(axis=1)
    terms = {
        "cost": 1 - accuracy if reward == "correctness" else cross_entropy,
        "accuracy": accuracy,
        "cross_entropy_nat": cross_entropy,
        "selected_snr_db": np.where(selected, snr_db, 0).sum(axis=1) / count,
        "experts": count.astype(float),
    }
    return terms, output


def check_selection(round: GatingRound, selected: np.ndarray) -> list[str]:
    """The constraints that a selection (K,) bool violates, in words."""
    count = int(np.count_nonzero(selected))
    return [] if 1 <= count <= round.top_k else [f"{count} experts are selected, valid is 1 to {round.top_k}"]


# A link never fades by more than 90 dB: one draw in 1e9 would, and noise over a gain of zero is no number.
DEEPEST_FADE = 1e-9


class GatingCore(BatchedCore):
    """One step chooses the experts of one input, an image; frozen networks answer over noisy channels.

    With `top_k > 1` at least one and at most `top_k` experts count: of more, the ones with the largest gate weights
    stay, of none, the gate's first choice answers (`repairs`). The answers are weighted by the frozen networks' own
    gate, renormalised over the selected. An episode is a row of inputs, drawn with replacement.
    """

    reward = 'minus the cost: 1 for a wrong label, or with `reward="cross_entropy"` the log-loss of the right one [nat]'

    decides_rounds = True
    meaning = MappingProxyType(
        {
            "features": "(F,): what the server sends, before the channel",
            "snr_bel": "(K,): SNR of every expert's channel as the server knows it [bel, dB / 10]",
        }
    )
    entries = MappingProxyType({"expert": "K: the expert that answers; with `top_k > 1` one bit per expert"})
    config: GatingSystemConfig
    term_names = ("cost", "accuracy", "cross_entropy_nat", "selected_snr_db", "experts", "repairs")

    def __init__(self, num_envs: int, config: GatingSystemConfig) -> None:
        super().__init__(num_envs, config, config.num_inputs)
        self.networks = load_frozen(weights_path(config.networks))
        self.images, self.labels, self._features = _inputs(
            self.networks, config.dataset, config.data_root, config.inputs
        )
        experts, self._feature_size = self.networks.config.experts, self.networks.config.feature_size
        if config.top_k > experts:
            raise ValueError(f"top_k = {config.top_k}: valid are whole numbers from 1 to {experts}, the experts")
        self.image = np.zeros(num_envs, np.int64)
        self.features = np.zeros((num_envs, self._feature_size), np.float32)
        self.snr = np.ones((num_envs, experts))
        self.snr_bel = np.zeros((num_envs, experts), np.float32)
        self.selected = np.zeros((num_envs, experts), np.bool_)
        self._shadowing = np.zeros((num_envs, experts))
        self._noise = np.zeros(
            config.transmission.draw(np.random.default_rng(0), (num_envs, experts), self._feature_size).shape
        )
        self.fading = None if config.channel is None else config.channel.process(num_envs, (1, experts), 1)
        self.knowledge = None if self.fading is None else config.csi.knowledge(self.fading)
        self.output = np.zeros((num_envs, self.networks.config.classes))
        self._build_spaces()

    def _build_spaces(self) -> None:
        self._name_views()
        self.observation_space = spaces.Dict(
            {
                "features": spaces.Box(-1, 1, self.features.shape[1:], np.float32),
                "snr_bel": spaces.Box(-3, 3, self.snr_bel.shape[1:], np.float32),
            }
        )
        self.action_space = self._action_space()

    def _observations(self) -> dict[str, np.ndarray]:
        return {"features": self.features, "snr_bel": self.snr_bel}

    def _action_space(self) -> spaces.Space:
        experts = self.snr.shape[1]
        return spaces.Discrete(experts) if self.config.top_k == 1 else spaces.MultiBinary(experts)

    # --- episodes

    def _draw_first_round(self, rows: np.ndarray) -> None:
        for process in (self.fading, self.knowledge):
            if process is not None:
                process.start(rows, self.generators)
        self._draw_inputs(rows)

    def _draw_next_round(self, rows: np.ndarray) -> None:
        for process in (self.fading, self.knowledge):
            if process is not None:
                process.advance(rows, self.generators)
        self._draw_inputs(rows)

    def _draw_inputs(self, rows: np.ndarray) -> None:
        links = self.snr.shape[1:]
        for row in rows:
            generator = self.generators[row]
            self.image[row] = generator.integers(len(self.labels))
            generator.standard_normal(out=self._shadowing[row])
            self._noise[row] = self.config.transmission.draw(generator, links, self._feature_size)

    def _observe_round(self, rows: np.ndarray) -> None:
        config = self.config
        mean = 10 ** ((config.mean_snr_db + config.snr_spread_db * self._shadowing[rows]) / 10)
        self.features[rows] = self._features[self.image[rows]]
        self.snr[rows] = mean * self._gains(rows, "gains")
        self.snr_bel[rows] = observed_snr(mean * self._gains(rows, "observed_gains"))

    def _gains(self, rows: np.ndarray, which: str) -> np.ndarray | float:
        source = self.fading if which == "gains" else self.knowledge
        return 1.0 if source is None else np.maximum(getattr(source, which)[rows, 0, :, 0], DEEPEST_FADE)

    def step(self, actions: np.ndarray, rows: np.ndarray) -> None:
        log_weights, log_answers = self._forward(rows)
        selected, repairs = self._decode(actions[rows], log_weights)
        labels = self.labels[self.image[rows]]
        terms, output = outcome_terms(log_weights, log_answers, labels, self.snr[rows], selected, self.config.reward)
        self.selected[rows] = selected
        for name, values in {**terms, "repairs": repairs}.items():
            self.terms[name][rows] = values
        self.rewards[rows] = -terms["cost"]
        self.output[rows] = output
        self._finish_round(rows)

    def _forward(self, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The gate's log weights (R, K) and all experts' log answers (R, K, C): one forward for all rows."""
        features = self.features[rows]
        heard = self.config.transmission.receive(features[:, None], self.snr[rows], self._noise[rows])
        log_weights = self.networks.gate_log_weights(features, self.snr_bel[rows])
        return log_weights, self.networks.expert_log_probabilities(heard)

    def _decode(self, actions: np.ndarray, log_weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Selections (R, K) bool and how many of them (R,) 0 or 1 were repaired."""
        wished = encoded_selection(actions, self.snr.shape[1])
        top_k = self.config.top_k
        # by falling gate weight, wished ones first
        order = np.lexsort((-log_weights, ~wished), axis=1)
        count = np.clip(wished.sum(axis=1), 1, top_k)
        selected = np.zeros_like(wished)
        np.put_along_axis(selected, order, np.arange(wished.shape[1]) < count[:, None], axis=1)
        return selected, (selected != wished).any(axis=1).astype(float)

    # --- for users of one environment

    def round(self, row: int) -> GatingRound:
        """The true current input of one environment."""
        return self._round(row, self.snr[row].copy())

    def observed_round(self, row: int) -> GatingRound:
        return self._round(row, 10.0 ** self.snr_bel[row].astype(float))

    def _round(self, row: int, snr: np.ndarray) -> GatingRound:
        log_weights, log_answers = self._forward(np.array([row]))
        return GatingRound(
            features=self.features[row].copy(),
            snr=snr,
            log_weights=log_weights[0],
            log_answers=log_answers[0],
            label=int(self.labels[self.image[row]]),
            top_k=self.config.top_k,
            reward=self.config.reward,
        )

    def schedule(self, row: int) -> np.ndarray:
        """The experts that the last step of one environment selected, (K,) bool."""
        return self.selected[row].copy()

    def check(self, round: GatingRound, schedule: np.ndarray) -> list[str]:
        """See `check_selection`."""
        return check_selection(round, schedule)

    def encode(self, schedule: np.ndarray) -> np.ndarray:
        """The action that selects the given experts, (K,) bool."""
        return encode_selection(np.asarray(schedule, bool)[None], self.config.top_k)[0]


def encoded_selection(actions: np.ndarray, experts: int) -> np.ndarray:
    """Actions (R,) expert numbers or (R, K) bits as selections (R, K) bool."""
    return actions[:, None] == np.arange(experts) if actions.ndim == 1 else actions > 0


def encode_selection(selected: np.ndarray, top_k: int) -> np.ndarray:
    """Selections (R, K) bool as actions: (R,) int64 for `top_k = 1`, else (R, K) int8."""
    return selected.argmax(axis=1) if top_k == 1 else selected.astype(np.int8)


@lru_cache(maxsize=16)
def _inputs(
    networks: FrozenNetworks, dataset: DatasetName, data_root: str | None, inputs: str
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Images, labels and features of one part of a data set, read-only; the features in one forward for all."""
    part = getattr(load_split(dataset, data_root, 0), inputs)
    config = networks.config
    if part.images.shape[1:] != (config.image_channels, config.image_size, config.image_size):
        raise ValueError(
            f"dataset = {dataset!r}: has images of {part.images.shape[1:]}, which do not fit {networks.path}"
        )
    arrays = part.images, part.labels, networks.features(part.images)
    for array in arrays:
        array.setflags(write=False)
    return arrays

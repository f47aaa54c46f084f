"""DMoE-Inference: one step is one layer of a real model; who is heard shapes later gate scores and the answer."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable
from dataclasses import replace
from types import MappingProxyType

import numpy as np
from gymnasium import spaces
from numba import prange

from dmoe_gym.compiled.njit import njit, serial_or_parallel
from dmoe_gym.dmoe.env.base import TERMS, DMoECore
from dmoe_gym.dmoe.env.batch import charge_served, new_workspace
from dmoe_gym.dmoe.env.joint import JointCore, PriceCore, apply_joint, encode_joint, price_links
from dmoe_gym.dmoe.inference import InferenceConfig
from dmoe_gym.dmoe.physics import Round, Schedule
from dmoe_gym.dmoe.solvers.jesa import MAX_ITERATIONS, jesa
from dmoe_gym.models.serving import ServingCore

# What an action of 1 means for a hidden state (this project's choice): a threshold four times as high, at most 1.
LOG_STATE_FACTOR = float(np.log(4.0))


class InferenceBase(ServingCore, DMoECore):
    """A round is a layer of a real model: who is heard shapes the gate scores of later layers and the answer.

    Observations are those of `DMoE-JESA-v0`; gate scores are the model's. Relevance and shortfall are reported and not
    priced. `correct` is in the last round the share of the K nodes whose answer is right, before that 0.
    """

    reward = "minus energy / E_ref; in the last round also minus `wrong_answer_price` times the share of wrong answers"

    term_names = (*TERMS, "correct")
    config: InferenceConfig

    def __init__(self, num_envs: int, config: InferenceConfig) -> None:
        super().__init__(num_envs, config)
        self.served = np.zeros(self.selected.shape, np.bool_)

    def step(self, actions: np.ndarray, rows: np.ndarray) -> None:
        self._decide(actions, rows)
        joules = self.terms["energy_communication_J"][rows] + self.terms["energy_computation_J"][rows]
        self._answer(rows, self.served, joules / self.config.reference_energy_j)

    @abstractmethod
    def _decide(self, actions: np.ndarray, rows: np.ndarray) -> None:
        """Write selected, subcarrier, served and the terms that `charge_served` writes."""

    def _run(self, kernel: Callable[..., None], actions: np.ndarray, rows: np.ndarray) -> None:
        """A kernel that decodes actions and charges their schedules, over the batch."""
        kernel(len(rows), rows, actions, self.constants, self.rules, self.batch, self.served)

    def check(self, round: Round, schedule: Schedule) -> list[str]:
        """The constraints on experts and subcarriers; a shortfall is no violation here, for none is priced."""
        return super().check(replace(round, threshold=0.0), schedule)

    def metrics(self, means: dict[str, float]) -> dict[str, float]:
        """Adds accuracy and the energy of one answer [mJ]."""
        joules = means["energy_communication_J"] + means["energy_computation_J"]
        answers = self.config.num_experts / self.config.num_layers
        return {**super().metrics(means), "energy_per_answer_mJ": 1e3 * joules / answers}


class InferenceCore(InferenceBase):
    """One step prices a layer, and JESA decides it at those prices; action 0 is JESA with z and gamma as configured."""

    decides_rounds = True
    entries = MappingProxyType(
        {
            "price": PriceCore.entries["price"],
            "threshold": "K*N: the threshold of hidden state n of node i, at i N + n, is multiplied by 4^entry",
        }
    )

    def _action_space(self) -> spaces.Space:
        nodes, states = self.config.num_experts, self.config.num_states
        return spaces.Box(-1, 1, (nodes * (nodes - 1) + nodes * states,), np.float32)

    def _decide(self, actions: np.ndarray, rows: np.ndarray) -> None:
        self._run(_step_priced, actions, rows)


class InferenceJointCore(InferenceBase):
    """One step decides a layer's whole schedule; actions as in `DMoE-JESA-v0`, but that shortfalls are not cured."""

    decides_rounds = True
    entries = JointCore.entries

    def _action_space(self) -> spaces.Space:
        return JointCore._action_space(self)  # type: ignore[arg-type]

    def encode(self, schedule: Schedule) -> np.ndarray:
        """As `JointCore.encode`."""
        return encode_joint(schedule.selected, schedule.allocated.argmax(-1))

    def _decide(self, actions: np.ndarray, rows: np.ndarray) -> None:
        self._run(_step_joint, actions, rows)


@njit
def decode_importance(row, actions, constants, batch):
    """Write JESA's schedule under an action's prices and thresholds."""
    action, threshold = actions[row], np.float64(batch.threshold[row, 0])
    gate_scores, efficiency = batch.gate_scores[row], batch.efficiency[row]
    experts, states, _ = gate_scores.shape
    priced = np.empty(efficiency.shape)
    position = price_links(action, efficiency, priced)
    # a threshold f times as high is a gate score 1 / f times as high
    scaled = np.empty(gate_scores.shape, gate_scores.dtype)
    for i in range(experts):
        for n in range(states):
            factor = np.exp(LOG_STATE_FACTOR * action[position])
            if threshold * factor > 1.0:
                factor = 1.0 / threshold
            position += 1
            for j in range(experts):
                scaled[i, n, j] = gate_scores[i, n, j] / factor
    jesa(scaled, priced, threshold, constants, batch.selected[row], batch.subcarrier[row], MAX_ITERATIONS)


@serial_or_parallel
def _step_priced(rows, actions, constants, rules, batch, served):
    for position in prange(rows.shape[0]):
        row = rows[position]
        decode_importance(row, actions, constants, batch)
        charge_served(row, 0, constants, rules, batch, served[row], new_workspace(constants, batch))


@serial_or_parallel
def _step_joint(rows, actions, constants, rules, batch, served):
    for position in prange(rows.shape[0]):
        row = rows[position]
        workspace = new_workspace(constants, batch)
        repairs = apply_joint(row, actions, 0.0, constants, batch, workspace)
        charge_served(row, repairs, constants, rules, batch, served[row], workspace)

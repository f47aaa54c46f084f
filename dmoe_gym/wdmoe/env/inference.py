"""WDMoE-Inference: one step is one block of a real model; who is asked shapes later gate weights and the answers."""

from __future__ import annotations

import numpy as np

from dmoe_gym.models.serving import ServingCore
from dmoe_gym.wdmoe.env.base import WDMoECore
from dmoe_gym.wdmoe.env.joint import DiscountCore, JointCore
from dmoe_gym.wdmoe.env.residual import ResidualCore
from dmoe_gym.wdmoe.inference import WDMoEInferenceConfig


class InferenceBase(ServingCore, WDMoECore):
    """A block is a layer of a real model: who is asked shapes the gate weights of later blocks and the answers.

    A prompt is a number of queries, whose tokens are sent together. `correct` is in the last block how many of their
    answers are right, before that 0.
    """

    reward = (
        "minus latency over a reference latency; in the last block also minus `wrong_answer_price` times the share of "
        "wrong answers"
    )
    term_names = (*WDMoECore.term_names, "correct")
    config: WDMoEInferenceConfig

    def step(self, actions: np.ndarray, rows: np.ndarray) -> None:
        self._decide(actions, rows)
        queries, cost = self.relevance.gate_scores.shape, self.terms["cost"][rows]
        # rewards of savings count against action 0's cost, others against nothing
        self._answer(rows, self.selected.reshape(queries), cost, credit=self.rewards[rows] + cost)


class InferenceCore(InferenceBase, DiscountCore):
    """One step discounts the devices' gate weights, as in `WDMoE-v0`; action 0 is the gate's choice of D experts."""

    entries = DiscountCore.entries


class InferenceJointCore(InferenceBase, JointCore):
    """One step decides a whole allocation, as in `WDMoE-Joint-v0`; the analytic schedulers act here."""

    entries = JointCore.entries


class InferenceResidualCore(InferenceBase, ResidualCore):
    """One step corrects `priced-optimal`, as in `WDMoE-Residual-v0`; action 0 is it, bit for bit."""

    entries = ResidualCore.entries
    meaning = ResidualCore.meaning

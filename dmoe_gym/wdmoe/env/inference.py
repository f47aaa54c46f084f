"""WDMoE-Inference: one step is one block of a real model; who is asked shapes later gate weights and the answers."""

from __future__ import annotations

import numpy as np

from dmoe_gym.models.serving import ServingCore
from dmoe_gym.wdmoe.env.base import WDMoECore
from dmoe_gym.wdmoe.env.discount import DiscountCore
from dmoe_gym.wdmoe.env.joint import JointCore
from dmoe_gym.wdmoe.inference import WDMoEInferenceConfig


class InferenceBase(ServingCore, WDMoECore):
    """What both inference environments share.

    Terms as in every WDMoE environment, and `correct`. The cost of a block is its latency over the reference latency,
    plus in the last block `wrong_answer_price` times the share of wrong answers.
    """

    term_names = (*WDMoECore.term_names, "correct")
    config: WDMoEInferenceConfig

    def step(self, actions: np.ndarray, rows: np.ndarray) -> None:
        self._decide(actions, rows)
        queries = self.relevance.gate_scores.shape
        self._answer(rows, self.selected.reshape(queries), self.terms["cost"][rows])


class InferenceCore(InferenceBase, DiscountCore):
    """Action as in `WDMoE-v0`: action 0 is the gate's choice of D experts at optimal bandwidths."""


class InferenceJointCore(InferenceBase, JointCore):
    """Action as in `WDMoE-Joint-v0`; the analytic schedulers act here."""

"""An own scheduler in the line-up: every hidden state goes to its best-scoring expert, while there are subcarriers."""

from collections.abc import Mapping

import numpy as np

from dmoe_gym.dmoe.schedulers.scheduler import Scheduler
from dmoe_gym.evaluation import compare, evaluate_line_up


class BestScore(Scheduler):
    """Links ask for subcarriers in the order of what they would carry, and take the best one that is free."""

    def fill(self, observation: Mapping[str, np.ndarray], selected: np.ndarray, subcarrier: np.ndarray) -> None:
        scores, efficiency = observation["gate_scores"], observation["spectral_efficiency"]
        for row, wished in enumerate(scores == scores.max(-1, keepdims=True)):
            payload = wished.sum(1)
            free = np.ones(efficiency.shape[-1], bool)
            for node, expert in np.argwhere(payload > 0)[np.argsort(-payload[payload > 0], kind="stable")]:
                if node != expert and not (free & (efficiency[row, node, expert] > 0)).any():
                    # nobody is left out: a node's own expert needs no link
                    selected[row, node, wished[node, :, expert], node] = True
                    continue
                selected[row, node, :, expert] = wished[node, :, expert] | selected[row, node, :, expert]
                if node != expert:
                    best = int(np.where(free, efficiency[row, node, expert], -1).argmax())
                    subcarrier[row, node, expert], free[best] = best, False


if __name__ == "__main__":
    rows = evaluate_line_up(
        "DMoE-JESA-v0", scenario="scarce", seeds=range(20), names=("mine", "JESA", "top-2"), extra={"mine": BestScore}
    )
    for result in compare(rows, reference="JESA"):
        print(f"{result.policy:6s} cost {result.value:.4f}   difference to JESA {result.difference:+.4f}")

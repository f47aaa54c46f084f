"""An own scheduler beside JESA on the same episodes. Run from the checkout: python examples/own_policy.py"""

from dmoe_gym.dmoe import scenario
from dmoe_gym.dmoe.env.joint import encode_joint
from dmoe_gym.dmoe.policies import JESA, JointPolicy
from dmoe_gym.evaluation import compare, evaluate


class BestScorePolicy:
    """Every hidden state goes to its best-scoring expert, over that link's best subcarrier."""

    def predict(self, observation, state=None, episode_start=None, deterministic=True):
        scores = observation["gate_scores"]
        selected = scores == scores.max(-1, keepdims=True)
        subcarrier = observation["spectral_efficiency"].argmax(-1)
        return encode_joint(selected, subcarrier), state


episodes = {"env_id": "DMoE-JESA-v0", "scenario": "small", "seeds": range(100)}
rows = evaluate(BestScorePolicy(), name="mine", **episodes)
rows += evaluate(JointPolicy(JESA(scenario("small"))), name="JESA", **episodes)
for result in compare(rows, reference="JESA"):
    print(f"{result.policy:5s} cost {result.value:.4f}   difference to JESA {result.difference:+.4f}")

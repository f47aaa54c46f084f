"""Which policies there are, by the names that tables and commands use."""

from __future__ import annotations

from dmoe_gym.gating.bounds import BOUNDS
from dmoe_gym.gating.frozen import load_frozen, weights_path
from dmoe_gym.gating.policies import GatePolicy, RandomExperts, SNRGreedy
from dmoe_gym.gating.scenarios import GatingSystemConfig
from dmoe_gym.policy import Policy
from dmoe_gym.system import LineUp, affordable_bounds


def line_up(config: GatingSystemConfig) -> LineUp:
    """The policies and the oracle; the naive gate where its weights are at hand."""
    policies: dict[str, Policy] = {"random": RandomExperts(config.top_k), "SNR-greedy": SNRGreedy(config.top_k)}
    for gate in ("naive", "channel_aware"):
        try:
            path = weights_path(config.networks, gate)
        except ValueError:
            if gate == "naive":
                continue
            raise
        policies[f"{gate.replace('_', '-')}-gate"] = GatePolicy(load_frozen(str(path)), config.top_k)
    return LineUp(
        env_id="ChannelAwareGating-v0",
        policies=policies,
        bounds=affordable_bounds(BOUNDS, config),
        random="random",
        optimum="oracle",
        reference="channel-aware-gate",
    )

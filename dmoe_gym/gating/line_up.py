"""Which policies there are, by the names that tables and commands use."""

from __future__ import annotations

from dmoe_gym.gating.frozen import load_frozen, weights_path
from dmoe_gym.gating.policies import GatePolicy, RandomExperts, SNRGreedy
from dmoe_gym.gating.system import GatingSystemConfig
from dmoe_gym.line_up import LineUp
from dmoe_gym.policy import Policy


def line_up(env_id: str, config: GatingSystemConfig) -> LineUp:
    """The policies and the oracle of a gating environment; the naive gate where its weights are at hand.

    Raises:
        ValueError: for an id that is not of this system.
    """
    if env_id != "ChannelAwareGating-v0":
        raise ValueError(f"env_id = {env_id!r}: valid is ChannelAwareGating-v0")
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
        env_id=env_id,
        policies=policies,
        bounds=("oracle",),
        random="random",
        optimum="oracle",
        reference="channel-aware-gate",
    )

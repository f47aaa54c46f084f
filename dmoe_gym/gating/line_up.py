"""Which policies there are, by the names that tables and commands use."""

from __future__ import annotations

from dmoe_gym.gating.bounds import BOUNDS
from dmoe_gym.gating.frozen import load_frozen, weights_path
from dmoe_gym.gating.policies import SelectionPolicy
from dmoe_gym.gating.scenarios import GatingSystemConfig
from dmoe_gym.gating.schedulers import Gate, RandomExperts, Ranking, SNRGreedy
from dmoe_gym.system import LineUp, affordable_bounds


def line_up(config: GatingSystemConfig) -> LineUp:
    """The policies and the oracle; the naive gate where its weights are at hand."""
    schedulers: dict[str, Ranking] = {"random": RandomExperts(config), "SNR-greedy": SNRGreedy(config)}
    for gate in ("naive", "channel_aware"):
        try:
            path = weights_path(config.networks, gate)
        except ValueError:
            if gate == "naive":
                continue
            raise
        schedulers[f"{gate.replace('_', '-')}-gate"] = Gate(config, load_frozen(str(path)))
    return LineUp(
        env_id="ChannelAwareGating-v0",
        policies={name: SelectionPolicy(scheduler) for name, scheduler in schedulers.items()},
        bounds=affordable_bounds(BOUNDS, config),
        random="random",
        optimum="oracle",
        reference="channel-aware-gate",
    )

"""WDMoE-Residual-v0: an action corrects what `priced-optimal` believes of the devices, and its bandwidths.

Residual policy learning (Silver et al., arXiv 1812.06298; Johannink et al., arXiv 1812.03201).
"""

from __future__ import annotations

from dataclasses import replace
from types import MappingProxyType

import numpy as np
from gymnasium import spaces

from dmoe_gym.residual import FeatureCore, feature_names
from dmoe_gym.wdmoe.config import WDMoEConfig
from dmoe_gym.wdmoe.env.joint import JointCore, encode_joint
from dmoe_gym.wdmoe.schedulers import Observed, Priced

# What an action of 1 multiplies by (this project's choice). A block waits for its slowest device, so cost rises on both
# sides of the best bandwidths: a tenth more for one device costs 1.5 %.
TIME_FACTOR = 1.2
BANDWIDTH_FACTOR = 1.2
# One of each per device, and what it means.
DEVICE_FEATURES = MappingProxyType(
    {
        "downlink": "log of the downlink's spectral efficiency over an equal share of the band",
        "uplink": "the same of the uplink",
        "computation": "log of its time per token over the mean device's",
        "demand": "U times its mean gate weight over all tokens, less 1",
        "best": "U times the share of tokens that weigh it most, less 1",
    }
)
GLOBAL_FEATURES = MappingProxyType({"relevance_budget": "as in `WDMoE-v0`", "progress": "as in `WDMoE-v0`"})
LEAST = 1e-3  # efficiencies and times below count as this


class ResidualCore(FeatureCore, JointCore):
    """One step corrects `priced-optimal`, which decides the block; action 0 is it, bit for bit.

    Stock learners take the one flat vector that is observed: features of order one, clipped to +-5, whose length
    depends on U alone; `env.unwrapped.feature_names` names them. All are functions of the present observation of
    `WDMoE-v0`.
    """

    entries = MappingProxyType(
        {
            "time": f"U: a token on device u is believed to take {TIME_FACTOR:g}^entry times as long",
            "bandwidth": f"U: what bandwidth device u gets is multiplied by {BANDWIDTH_FACTOR:g}^entry",
        }
    )
    features_told = MappingProxyType({"every device": DEVICE_FEATURES, "all": GLOBAL_FEATURES})
    meaning = MappingProxyType(
        {"features": "(5*U + 2,): 5 features of every device, feature after feature, and 2 of all"}
    )

    def __init__(self, num_envs: int, config: WDMoEConfig) -> None:
        self.config = config
        self._make_features(num_envs)
        self.underneath = Priced(config)
        super().__init__(num_envs, config)

    @property
    def feature_names(self) -> tuple[str, ...]:
        """What the entries of an observation mean: "demand[3]" is of device 3."""
        return feature_names(DEVICE_FEATURES, self.config.num_devices, GLOBAL_FEATURES)

    def _action_space(self) -> spaces.Space:
        return spaces.Box(-1, 1, (2 * self.config.num_devices,), np.float32)

    def _decide(self, actions: np.ndarray, rows: np.ndarray) -> None:
        blocks = Observed.of(self.config, {name: values[rows] for name, values in self.inputs.items()})
        before = 0.0
        if self.config.residual_reward == "saving":
            self._correct(blocks, np.zeros_like(actions), rows)
            before = self.rewards[rows].copy()
        self._correct(blocks, actions, rows)
        self.rewards[rows] -= before

    def _correct(self, blocks: Observed, actions: np.ndarray, rows: np.ndarray) -> None:
        """Decide and charge blocks under these corrections."""
        times, shares = np.split(actions[rows].astype(np.float64), 2, axis=1)
        longer = TIME_FACTOR**times
        believed = replace(
            blocks,
            downlink_cn0=blocks.downlink_cn0 / longer,
            uplink_cn0=blocks.uplink_cn0 / longer,
            computation_time=blocks.computation_time * longer,
        )
        selected, bandwidth = self.underneath.decide(believed)
        joint = np.zeros((self.num_envs, self.config.num_devices * (1 + self.config.num_tokens)), np.float32)
        joint[rows] = encode_joint(selected, bandwidth * BANDWIDTH_FACTOR**shares)
        super()._decide(joint, rows)

    def _observe_round(self, rows: np.ndarray) -> None:
        super()._observe_round(rows)
        seen = self._observed(rows)
        weights, devices = seen["gate_weights"], self.config.num_devices
        computation = np.maximum(seen["computation_time"], LEAST)
        best = weights.argmax(2)[..., None] == np.arange(devices)
        parts = [
            np.log(np.maximum(seen["downlink_efficiency"], LEAST)),
            np.log(np.maximum(seen["uplink_efficiency"], LEAST)),
            np.log(computation / computation.mean(1, keepdims=True)),
            devices * weights.mean(1) - 1,
            devices * best.mean(1) - 1,
            *(seen[name] for name in GLOBAL_FEATURES),
        ]
        self._write(rows, parts)

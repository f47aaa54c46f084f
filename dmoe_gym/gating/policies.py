"""Schedulers as policies of `ChannelAwareGating-v0`."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from dmoe_gym.gating.env.core import encode_selection
from dmoe_gym.policy import SchedulerPolicy


class SelectionPolicy(SchedulerPolicy):
    """A scheduler that acts in `ChannelAwareGating-v0`."""

    key, dimensions = "features", 1

    def actions(self, batch: Mapping[str, np.ndarray]) -> np.ndarray:
        (selected,) = self.scheduler.schedule(batch)
        return encode_selection(selected, self.scheduler.config.top_k)

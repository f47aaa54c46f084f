"""WDMoE at learned prices: imitation of a slow search, then an evolution strategy on the latency itself."""

from __future__ import annotations

from agents.prices.learner import PriceEvolution
from agents.prices.policy import PricePolicy
from agents.prices.scheduler import PriceScheduler

__all__ = ["PriceEvolution", "PricePolicy", "PriceScheduler"]

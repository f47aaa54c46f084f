"""An own channel: shadowing that is drawn anew in every round, log-normal with mean 1."""

from collections.abc import Sequence
from typing import Annotated, Literal

import gymnasium as gym
import numpy as np
from pydantic import Field

import dmoe_gym  # noqa: F401  registers the environments
from dmoe_gym.channel import ChannelProcess, GainLaw, SmallScaleConfig
from dmoe_gym.config import register


class LogNormalProcess(ChannelProcess):
    """gains = exp(s x - s^2 / 2), x standard normal."""

    def __init__(self, batch: int, links: tuple[int, int], subcarriers: int, nepers: float) -> None:
        super().__init__(batch, links, subcarriers)
        self.nepers = nepers

    def start(self, rows: Sequence[int] | np.ndarray, generators: Sequence[np.random.Generator]) -> None:
        for row in rows:
            normal = generators[row].standard_normal(self.gains.shape[1:])
            self.gains[row] = np.exp(self.nepers * normal - self.nepers**2 / 2)

    advance = start


class LogNormalLaw(GainLaw):
    """A gain that was seen this round is known; an older one says nothing of the present one, whose mean is 1."""

    def __init__(self, lag_rounds: int) -> None:
        self.lag_rounds = lag_rounds

    def mean_gain(self, observed: np.ndarray) -> np.ndarray:
        return observed if self.lag_rounds == 0 else np.ones_like(observed)


@register  # for text files: channel: {kind: log_normal, std_db: 8}
class LogNormalConfig(SmallScaleConfig):
    """Log-normal fading.

    Attributes:
        std_db: standard deviation of a gain in decibels [dB].
    """

    kind: Literal["log_normal"] = "log_normal"
    std_db: Annotated[float, Field(ge=0, le=20)] = 6.0

    def build(self, batch: int, links: tuple[int, int], subcarriers: int) -> LogNormalProcess:
        return LogNormalProcess(batch, links, subcarriers, self.std_db * np.log(10) / 10)

    def law(self, lag_rounds: int, error_variance: float) -> GainLaw | None:
        return LogNormalLaw(lag_rounds) if error_variance == 0 else None


if __name__ == "__main__":
    env = gym.make("DMoE-JESA-v0", scenario="small", channel=LogNormalConfig(std_db=8.0))
    observation, info = env.reset(seed=0)
    observation, reward, *rest = env.step(env.action_space.sample())
    print(f"cost {-reward:.3f}")

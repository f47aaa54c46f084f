"""What a table or chart of an environment holds beside learned policies."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from dmoe_gym.policy import Policy


@dataclass(frozen=True)
class LineUp:
    """The analytic policies and bounds of an environment.

    Fields:
        env_id: where they run; its episodes are those of the environment that was asked for, bit for bit.
        policies: by name.
        bounds: names of bounds that `evaluate_bound` knows.
        random: the policy whose normalized score is 0.
        optimum: the policy or bound whose normalized score is 1.
        reference: the policy that differences are taken to.
    """

    env_id: str
    policies: Mapping[str, Policy]
    bounds: tuple[str, ...]
    random: str
    optimum: str
    reference: str

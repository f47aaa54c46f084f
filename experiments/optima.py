"""The optima of held-out episodes, kept in a data file of the package with a digest of what they are optima of."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Annotated, Any, ClassVar

from pydantic import Field, field_validator

from dmoe_gym.config import list_as_tuple
from dmoe_gym.evaluation import held_out_seeds, line_up_of
from dmoe_gym.evaluation.optima import ENV_ID, OPTIMA, episode_digest
from experiments.episodes import episode_piece, rows_by_policy
from experiments.page import Page
from experiments.runner import Experiment, Piece

SCENARIOS = ("scarce", "stale", "selective", "budget", "battery", "mobile")
FILE = "dmoe_gym/dmoe/data/optima.json"
# Episodes of one piece.
BLOCK = 10


class Optima(Experiment):
    """The optimum (exact per round, or clairvoyant over the episode) of the first held-out episodes."""

    name: ClassVar[str] = "optima"
    about: ClassVar[str] = "optima of held-out episodes, which the package ships"
    places: ClassVar[tuple[str, ...]] = (FILE,)

    scenarios: tuple[str, ...] = SCENARIOS
    episodes: Annotated[int, Field(ge=1)] = 100

    _list_as_tuple = field_validator("scenarios", mode="before")(list_as_tuple)

    def pieces(self) -> list[Piece]:
        seeds = held_out_seeds(self.episodes)
        blocks = [seeds[first : first + BLOCK] for first in range(0, len(seeds), BLOCK)]
        return [
            episode_piece(line_up_of(ENV_ID, scenario).optimum, ENV_ID, scenario, block)
            for scenario in self.scenarios
            for block in blocks
        ]

    def page(self, values: Sequence[Any]) -> Page:
        """The package's file with these scenarios' optima, others kept."""
        kept = json.loads(OPTIMA.read_text()) if OPTIMA.is_file() else {}
        first = held_out_seeds(1).start
        for scenario in self.scenarios:
            ((bound, rows),) = rows_by_policy(self.pieces(), values, scenario=scenario).items()
            kept[scenario] = {
                "bound": bound,
                "first_seed": first,
                "first_digest": episode_digest(scenario, first),
                "cost": [row["cost"] for row in rows],
            }
        return Page(files={FILE: json.dumps(kept, indent=2) + "\n"})

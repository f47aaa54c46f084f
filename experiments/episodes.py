"""Episodes of one scheduler or bound as the value of a piece."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from dmoe_gym.evaluation import Row, evaluate_line_up
from experiments.runner import Piece

# What says where an episode ran; a piece's key has it.
LABELS = ("env_id", "scenario", "configuration", "predict_ms", "return")


def episodes_of(
    policy: str, env_id: str, scenario: str, first_seed: int, episodes: int, overrides: Mapping[str, Any]
) -> list[Row]:
    """A row per episode of a policy or bound of a line-up: policy, seed, every mean."""
    seeds = range(first_seed, first_seed + episodes)
    rows = evaluate_line_up(env_id, scenario=scenario, seeds=seeds, names=[policy], **overrides)
    return [{key: value for key, value in row.items() if key not in LABELS} for row in rows]


def episode_piece(
    policy: str, env_id: str, scenario: str, seeds: range, overrides: Mapping[str, Any] | None = None
) -> Piece:
    """The piece of those episodes."""
    return Piece(
        episodes_of,
        {
            "policy": policy,
            "env_id": env_id,
            "scenario": scenario,
            "first_seed": seeds.start,
            "episodes": len(seeds),
            "overrides": dict(overrides or {}),
        },
    )


def rows_by_policy(pieces: Sequence[Piece], values: Sequence[list[Row]], **where: Any) -> dict[str, list[Row]]:
    """Rows of the pieces whose keys say so, by policy, in the order of the pieces."""
    found: dict[str, list[Row]] = {}
    for piece, rows in zip(pieces, values, strict=True):
        if all(piece.key[name] == value for name, value in where.items()):
            found.setdefault(piece.key["policy"], []).extend(rows)
    return found

"""Policies on shared episodes: rows, paired statistics, scores."""

from dmoe_gym.evaluation.run import (
    FIRST_HELD_OUT_SEED,
    Row,
    evaluate,
    evaluate_bound,
    evaluate_line_up,
    held_out_seeds,
    read_rows,
)
from dmoe_gym.evaluation.statistics import (
    Comparison,
    Interval,
    by_policy,
    compare,
    paired_difference,
    paired_percent,
    percent_change,
    seed_matrix,
    two_way_mean,
)
from dmoe_gym.evaluation.tensorboard import charted_means, scores
from dmoe_gym.registration import line_up_of

__all__ = [
    "FIRST_HELD_OUT_SEED",
    "Comparison",
    "Interval",
    "Row",
    "by_policy",
    "charted_means",
    "compare",
    "evaluate",
    "evaluate_bound",
    "evaluate_line_up",
    "held_out_seeds",
    "line_up_of",
    "paired_difference",
    "paired_percent",
    "percent_change",
    "read_rows",
    "scores",
    "seed_matrix",
    "two_way_mean",
]

"""Policies on shared episodes: rows, paired statistics, scores."""

from dmoe_gym.evaluation.aggregate import (
    crossed_bootstrap,
    interquartile_mean,
    paired_difference,
    performance_profile,
    probability_of_improvement,
    seed_matrix,
    stratified_interquartile_mean,
    two_way_mean,
)
from dmoe_gym.evaluation.line_up import evaluate_line_up, line_up_of
from dmoe_gym.evaluation.run import Row, evaluate, evaluate_bound
from dmoe_gym.evaluation.scores import charted_means, scores
from dmoe_gym.evaluation.seeds import FIRST_HELD_OUT_SEED, held_out_seeds
from dmoe_gym.evaluation.statistics import Comparison, Interval, by_policy, compare

__all__ = [
    "FIRST_HELD_OUT_SEED",
    "Comparison",
    "Interval",
    "Row",
    "by_policy",
    "charted_means",
    "compare",
    "crossed_bootstrap",
    "evaluate",
    "evaluate_bound",
    "evaluate_line_up",
    "held_out_seeds",
    "interquartile_mean",
    "line_up_of",
    "paired_difference",
    "performance_profile",
    "probability_of_improvement",
    "scores",
    "seed_matrix",
    "stratified_interquartile_mean",
    "two_way_mean",
]

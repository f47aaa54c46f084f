"""Schedulers on gate scores that a real model gave, and on a trace of your own.

python examples/recorded_scores.py              # JESA and Top-2: recorded scores beside drawn ones
python examples/recorded_scores.py own.npz      # writes a small trace of made-up scores and plays it
"""

from __future__ import annotations

import sys

import gymnasium as gym
import numpy as np

import dmoe_gym  # noqa: F401 - registers the environments
from dmoe_gym.evaluation import Interval, evaluate_line_up, held_out_seeds
from dmoe_gym.relevance import Trace, write_trace


def recorded_beside_drawn(episodes: int) -> None:
    """Mean cost and relevance per round of JESA and Top-2 in the scenario `recorded`, and with Dirichlet scores."""
    for source in ("trace:digits", "dirichlet"):
        rows = evaluate_line_up(
            "DMoE-JESA-v0",
            scenario="recorded",
            seeds=held_out_seeds(episodes),
            names=["JESA", "top-2"],
            relevance=source,
        )
        for name in ("JESA", "top-2"):
            own = [row for row in rows if row["policy"] == name]
            cost, relevance = (Interval.of([row[key] for row in own]) for key in ("cost", "relevance"))
            print(f"{source:13} {name:6} cost {cost:.3f}, relevance {relevance:.3f}")


def own_trace(path: str) -> None:
    """Write a trace of 3 layers, 4 experts and 2 domains of 50 tokens, and play one episode of it."""
    scores = np.random.default_rng(0).dirichlet(np.full(4, 0.5), size=(3, 100)).astype(np.float32)
    domains = np.repeat([0, 1], 50)
    write_trace(Trace(scores, domains, ("letters", "figures"), "made up", {"command": " ".join(sys.argv)}), path)
    env = gym.make("DMoE-JESA-v0", relevance=f"trace:{path}", num_layers=3, num_experts=4, num_states=2)
    env.reset(seed=0)
    ended = False
    while not ended:
        _, reward, ended, _, info = env.step(env.action_space.sample())
        print(f"reward {reward:.3f}, relevance {info['relevance']:.3f}")


if __name__ == "__main__":
    if len(sys.argv) > 1:
        try:
            own_trace(sys.argv[1])
        except OSError as error:  # the file is there already, or its folder is not
            sys.exit(str(error))
    else:
        recorded_beside_drawn(episodes=50)

"""What a trial is worth: the mean cost on validation episodes of what it has learned."""

from __future__ import annotations

import time
from collections.abc import Callable

import numpy as np
import optuna
import torch
from stable_baselines3.common.logger import Logger

from agents.callback import BetweenUpdates
from agents.config import TrainingConfig
from agents.learners import build_env, build_learner
from agents.policy import as_policy
from agents.study.space import Space
from agents.train import learn
from dmoe_gym.evaluation import evaluate
from dmoe_gym.evaluation.seeds import FIRST_HELD_OUT_SEED, FIRST_VALIDATION_SEED

# Overrides of training that say which inputs are drawn (images of a data set): test inputs are held out too.
INPUTS = ("inputs", "relevance")
# How often a trial is compared to the others while it trains.
LOOKS = 5


class Objective:
    """Trains a trial's recipe and evaluates it; held-out episodes have no part in it.

    Episodes are those of the seeds from FIRST_VALIDATION_SEED, training seeds start at the one after the last of them:
    published runs train on neither.

    Args:
        space: the recipe and what is searched.
        episodes: how many validation episodes.
        seeds: training runs per trial, whose costs are averaged.
        deadline: `time.monotonic()` at which a running trial is given up.
    """

    def __init__(self, space: Space, episodes: int, seeds: int = 1, deadline: float = np.inf) -> None:
        if not 1 <= episodes <= FIRST_HELD_OUT_SEED - FIRST_VALIDATION_SEED - seeds or seeds < 1:
            raise ValueError(f"episodes = {episodes}, seeds = {seeds}: valid are positive numbers, 99,000 at most")
        self.space, self.deadline = space, deadline
        self.episodes = range(FIRST_VALIDATION_SEED, FIRST_VALIDATION_SEED + episodes)
        self.seeds = range(self.episodes.stop, self.episodes.stop + seeds)

    def __call__(self, trial: optuna.Trial) -> float:
        """The trial's mean cost; less is better.

        Raises:
            optuna.TrialPruned: if the others were better at the same step, or time is up.
            ValueError: if the learner refuses what was drawn.
        """
        config = self.space.suggest(trial)
        trial.set_user_attr("timesteps", config.total_timesteps)
        began = time.process_time()
        costs = []
        for index, seed in enumerate(self.seeds):

            def look(steps: int, cost: float, index: int = index) -> None:
                trial.report(cost, index * config.total_timesteps + steps)
                if time.monotonic() > self.deadline:
                    trial.set_user_attr("stopped", "time was up")
                    raise optuna.TrialPruned
                if trial.should_prune():
                    raise optuna.TrialPruned

            costs.append(self._train(config, seed, look))
            trial.set_user_attr("cpu_seconds", round(time.process_time() - began, 1))
        return float(np.mean(costs))

    def _train(self, config: TrainingConfig, seed: int, look: Callable[[int, float], None]) -> float:
        torch.set_num_threads(1)
        env = build_env(config, seed)
        model = build_learner(config, env, seed)
        model.set_logger(Logger(None, []))
        callback = _Looks(config.total_timesteps // LOOKS, lambda: self.cost(model, config), look)
        learn(model, config, env, callback, seed=seed)
        return self.cost(model, config)

    def cost(self, model: object, config: TrainingConfig) -> float:
        """Mean cost of a learner on the validation episodes; infinite if it is no number."""
        inputs = {name: value for name, value in config.training_overrides.items() if name in INPUTS}
        rows = evaluate(
            as_policy(model),  # type: ignore[arg-type]
            config.env_id,
            scenario=config.scenario,
            seeds=self.episodes,
            check=False,
            **{**config.overrides, **inputs},
        )
        cost = float(np.mean([row["cost"] for row in rows]))
        return cost if np.isfinite(cost) else float("inf")


class _Looks(BetweenUpdates):
    """Reports the cost every so many steps."""

    def __init__(self, every: int, cost: Callable[[], float], look: Callable[[int, float], None]) -> None:
        super().__init__()
        self._every, self._cost, self._look = max(every, 1), cost, look
        self._next = self._every

    def between_updates(self) -> None:
        if self.model.num_timesteps >= self._next:
            self._next = self.model.num_timesteps + self._every
            self._look(self.model.num_timesteps, self._cost())

"""Searching hyperparameters with Optuna: what is searched, what a trial is worth, and the journal of trials."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import optuna
import torch
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend
from optuna.trial import FrozenTrial, Trial, TrialState
from pydantic import Field, model_validator
from stable_baselines3.common.logger import Logger

from agents.callback import BetweenUpdates
from agents.config import RECIPES, TrainingConfig, dump_config
from agents.learners import as_policy, build_env, build_learner
from agents.run_folder import alone
from agents.train import learn
from dmoe_gym.config import StrictConfig
from dmoe_gym.evaluation import evaluate
from dmoe_gym.evaluation.run import FIRST_HELD_OUT_SEED, FIRST_VALIDATION_SEED
from dmoe_gym.io.files import write_whole
from dmoe_gym.io.yaml_file import read_yaml

SPACES = RECIPES / "spaces"
# Algorithms that share a file.
FILES = {"maskable_ppo": "ppo"}


class Range(StrictConfig):
    """Numbers from low to high, both included; whole ones if both are.

    Attributes:
        low, high: the ends.
        log: spread over magnitudes.
    """

    low: int | float
    high: int | float
    log: bool = False

    @model_validator(mode="after")
    def _ordered(self) -> Range:
        if self.low >= self.high or (self.log and self.low <= 0):
            raise ValueError(f"low = {self.low}, high = {self.high}: valid are low < high, and low > 0 with log")
        return self

    def suggest(self, trial: Trial, name: str) -> int | float:
        """Let the trial draw a number."""
        if isinstance(self.low, int) and isinstance(self.high, int):
            return trial.suggest_int(name, self.low, self.high, log=self.log)
        return trial.suggest_float(name, self.low, self.high, log=self.log)

    def holds(self, value: Any) -> bool:
        """Whether a value could have been drawn."""
        whole = isinstance(self.low, int) and isinstance(self.high, int)
        kind = int if whole else (int, float)
        return isinstance(value, kind) and not isinstance(value, bool) and self.low <= value <= self.high


class Choice(StrictConfig):
    """One of some values."""

    values: Annotated[tuple[str | int | float | bool, ...], Field(min_length=2)]

    def suggest(self, trial: Trial, name: str) -> str | int | float | bool:
        """Let the trial draw a value."""
        return trial.suggest_categorical(name, list(self.values))  # type: ignore[return-value]

    def holds(self, value: Any) -> bool:
        """Whether a value could have been drawn."""
        return value in self.values


class Space:
    """Fields of one recipe, dots between levels, and what may stand there.

    Args:
        config: the recipe; fields of parts that it has not are left out.
        entries: ranges and lists by field, as read from YAML.

    Raises:
        ValueError: for a field that the recipe cannot have or an entry that is neither range nor list.
    """

    def __init__(self, config: TrainingConfig, entries: Mapping[str, Any]) -> None:
        self.config = config
        self.entries: dict[str, Range | Choice] = {}
        for name, entry in entries.items():
            parent = self._parent(name)
            if parent is None:
                continue
            try:
                self.entries[name] = Choice(values=tuple(entry)) if isinstance(entry, list) else Range(**entry)
            except (TypeError, ValueError) as error:
                raise ValueError(f"space.{name}: {error}") from None
        if not self.entries:
            raise ValueError("space: has no field that the recipe has")

    def _parent(self, name: str) -> dict[str, Any] | None:
        """The part of the recipe that a field belongs to; None if the recipe has no such part."""
        part: Any = self.config.model_dump(mode="json")
        *levels, last = name.split(".")
        for level in levels:
            if not isinstance(part, dict) or level not in part:
                raise ValueError(f"space.{name}: the recipe has no field {level!r}")
            part = part[level]
            if part is None or (level == "network" and not isinstance(part, dict)):
                return None
        if levels != ["hyperparameters"] and last not in part:
            raise ValueError(f"space.{name}: valid fields there are {', '.join(part)}")
        return part

    def suggest(self, trial: Trial) -> TrainingConfig:
        """The recipe with what a trial draws."""
        return self.applied({name: entry.suggest(trial, name) for name, entry in self.entries.items()})

    def applied(self, values: Mapping[str, Any]) -> TrainingConfig:
        """The recipe with values for some of the fields.

        Raises:
            ValueError: if the recipe refuses them.
        """
        fields = self.config.model_dump(mode="json")
        for name, value in values.items():
            *levels, last = name.split(".")
            part = fields
            for level in levels:
                part = part[level]
            part[last] = value
        return TrainingConfig(**fields)

    def own_values(self) -> dict[str, Any]:
        """What the recipe itself has in the fields, those left out that it does not say or that lie outside."""
        own = {name: (self._parent(name) or {}).get(name.rpartition(".")[2]) for name in self.entries}
        return {name: value for name, value in own.items() if self.entries[name].holds(value)}


def load_space(config: TrainingConfig, file: Path | None = None) -> Space:
    """The space in a YAML file, by default that of the recipe's algorithm in configs/spaces.

    Raises:
        ValueError: naming the file and what is wrong with it.
        OSError: if it cannot be read.
    """
    path = file or SPACES / f"{FILES.get(config.algorithm, config.algorithm)}.yaml"
    entries = read_yaml(path)
    try:
        return Space(config, entries)
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from None


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

    def __call__(self, trial: Trial) -> float:
        """The trial's mean cost; less is better.

        Raises:
            optuna.TrialPruned: if the others were better at the same step, or time is up.
            Exception: what the learner raises; the study counts the trial as failed.
        """
        config = self.space.suggest(trial)
        trial.set_user_attr("timesteps", config.total_timesteps)
        began = time.process_time()
        try:
            return self._mean_cost(trial, config, began)
        except KeyboardInterrupt:
            trial.set_user_attr(CUT_OFF, True)
            raise
        except optuna.TrialPruned:
            raise
        except Exception as error:
            trial.set_user_attr("error", f"{type(error).__name__}: {' '.join(str(error).split())[:300]}")
            raise

    def _mean_cost(self, trial: Trial, config: TrainingConfig, began: float) -> float:
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


JOURNAL, BEST = "journal.jsonl", "best.yaml"
# An attribute of trials that an interrupt or the end of their process cut off.
CUT_OFF = "cut off"


@dataclass(frozen=True)
class Budget:
    """What one call may spend.

    Attributes:
        trials: the study's, with those of earlier calls; failed ones count.
        minutes: of this call; a trial that runs longer is pruned at its next look.
        timesteps: of each training run.
        episodes: validation episodes per look.
        seeds: training runs per trial.
    """

    trials: int
    minutes: float
    timesteps: int
    episodes: int
    seeds: int


def run_study(
    folder: Path,
    space: Space,
    budget: Budget,
    *,
    command: str,
    report: Callable[[FrozenTrial], Any] = lambda trial: None,
) -> optuna.Study:
    """Start or continue the study in a folder; `journal.jsonl` has every trial, `best.yaml` the best one's recipe.

    The recipe as it stands is the first trial, if it lies in the space. A trial that was cut off is drawn again, the
    same one, so that an interrupted study has the trials of an uninterrupted one.

    Args:
        folder: the study's.
        space: the recipe and what is searched.
        budget: kept in the journal with the command.
        command: what was called.
        report: told of every trial that ends.

    Raises:
        ValueError: if the folder holds a study of another recipe, space or length of training, is damaged, or another
            process is at it.
    """
    with alone(folder, "running this study"):
        study = _open(folder, space, budget)
        began = time.monotonic()
        calls = study.user_attrs.get("calls", [])
        study.set_user_attr("calls", [*calls, {**asdict(budget), "command": command}])
        objective = Objective(space, budget.episodes, budget.seeds, began + 60 * budget.minutes)

        def after(study: optuna.Study, trial: FrozenTrial) -> None:
            _write_best(folder, study, space, command)
            report(trial)

        while (ended := len(_ended(study))) < budget.trials and time.monotonic() < objective.deadline:
            # by the number of trials alone, so that an interrupted study draws what an uninterrupted one draws
            study.sampler = optuna.samplers.TPESampler(seed=ended, n_startup_trials=5)
            # a recipe that the learner refuses is a failed trial and no end of the study
            study.optimize(objective, n_trials=1, callbacks=[after], catch=(Exception,))
        return study


def _open(folder: Path, space: Space, budget: Budget) -> optuna.Study:
    optuna.logging.set_verbosity(optuna.logging.ERROR)  # failed trials are reported by name
    of = {
        "recipe": dump_config(space.config),
        "space": {name: entry.model_dump(mode="json") for name, entry in space.entries.items()},
        "timesteps": budget.timesteps,
        "episodes": budget.episodes,
        "seeds": budget.seeds,
    }
    try:
        storage = JournalStorage(JournalFileBackend(str(folder / JOURNAL)))
        pruner = optuna.pruners.MedianPruner(n_startup_trials=5, n_warmup_steps=budget.timesteps // LOOKS)
        study = optuna.create_study(storage=storage, study_name="study", load_if_exists=True, pruner=pruner)
    except (ValueError, KeyError, TypeError, AssertionError, RecursionError) as error:
        raise ValueError(f"{folder / JOURNAL}: is no readable journal ({' '.join(str(error).split())[:120]})") from None
    known = study.user_attrs.get("of")
    if known is None:
        study.set_user_attr("of", of)
    elif known != of:
        odd = next(key for key in of if known.get(key) != of[key])
        raise ValueError(f"{folder}: holds a study of another {odd}; --studies names another root")
    for trial in study.get_trials(states=(TrialState.RUNNING,)):  # of a process that was killed
        storage.set_trial_user_attr(trial._trial_id, CUT_OFF, True)
        study.tell(trial.number, state=TrialState.FAIL)
    own = space.own_values()
    if own and not _ended(study) and not study.get_trials(states=(TrialState.WAITING,)):
        study.enqueue_trial(own)
    return study


def _ended(study: optuna.Study) -> list[FrozenTrial]:
    """Trials that count: all that ended, but for those that were cut off, which are drawn again."""
    trials = study.get_trials(states=(TrialState.COMPLETE, TrialState.PRUNED, TrialState.FAIL))
    return [trial for trial in trials if not trial.user_attrs.get(CUT_OFF)]


def ranked(study: optuna.Study) -> list[FrozenTrial]:
    """Completed trials by rising cost."""
    costs = {trial.number: trial.value for trial in study.trials if trial.value is not None}
    complete = study.get_trials(states=(TrialState.COMPLETE,))
    return sorted(complete, key=lambda trial: costs[trial.number])


def _write_best(folder: Path, study: optuna.Study, space: Space, command: str) -> None:
    complete = ranked(study)
    if not complete:
        return
    best = complete[0]
    spent = sum(trial.user_attrs.get("cpu_seconds", 0) for trial in study.trials) / 60
    heading = (
        f"# Trial {best.number} of {len(_ended(study))} of `{command}`:\n"
        f"# mean cost {best.value:.6g} on validation episodes; {spent:.1f} minutes of one core in all.\n"
    )
    write_whole(folder / BEST, heading + dump_config(space.applied(best.params)))

"""A study: trials in a journal of JSON lines, resumable, with its budget and its best recipe."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import optuna
from filelock import FileLock, Timeout
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend
from optuna.trial import FrozenTrial, TrialState

from agents.config import dump_config
from agents.study.objective import LOOKS, Objective
from agents.study.space import Space
from dmoe_gym.io.files import write_whole

JOURNAL, BEST = "journal.jsonl", "best.yaml"


@dataclass(frozen=True)
class Budget:
    """What one call may spend.

    Fields:
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

    The recipe as it stands is the first trial, if it lies in the space. Trials that were cut off count as failed.

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
    folder.mkdir(parents=True, exist_ok=True)
    lock = FileLock(folder / ".lock")
    try:
        lock.acquire(timeout=0)
    except Timeout:
        raise ValueError(f"{folder}: another process is running this study") from None
    try:
        study = _open(folder, space, budget)
        began = time.monotonic()
        calls = study.user_attrs.get("calls", [])
        study.set_user_attr("calls", [*calls, {**asdict(budget), "command": command}])
        objective = Objective(space, budget.episodes, budget.seeds, began + 60 * budget.minutes)

        def after(study: optuna.Study, trial: FrozenTrial) -> None:
            _write_best(folder, study, space, command)
            report(trial)

        left = budget.trials - len(_ended(study))
        if left > 0:
            # a recipe that the learner refuses is a failed trial and no end of the study
            study.optimize(
                objective, n_trials=left, timeout=60 * budget.minutes, callbacks=[after], catch=(ValueError,)
            )
        return study
    finally:
        lock.release()


def _open(folder: Path, space: Space, budget: Budget) -> optuna.Study:
    optuna.logging.set_verbosity(optuna.logging.WARNING)
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
    except (ValueError, KeyError, TypeError, AssertionError) as error:
        raise ValueError(f"{folder / JOURNAL}: is no readable journal ({' '.join(str(error).split())[:120]})") from None
    known = study.user_attrs.get("of")
    if known is None:
        study.set_user_attr("of", of)
        own = space.own_values()
        if own:
            study.enqueue_trial(own)
    elif known != of:
        odd = next(key for key in of if known.get(key) != of[key])
        raise ValueError(f"{folder}: holds a study of another {odd}; --studies names another root")
    for trial in study.get_trials(states=(TrialState.RUNNING,)):
        study.tell(trial.number, state=TrialState.FAIL)
    study.sampler = optuna.samplers.TPESampler(seed=len(study.trials), n_startup_trials=5)
    return study


def _ended(study: optuna.Study) -> list[FrozenTrial]:
    return study.get_trials(states=(TrialState.COMPLETE, TrialState.PRUNED, TrialState.FAIL))


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

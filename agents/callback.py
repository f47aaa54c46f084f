"""What happens during training: evaluation on held-out episodes, and checkpoints."""

from __future__ import annotations

import csv
import io
import signal
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any

import numpy as np
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.logger import KVWriter, Logger, TensorBoardOutputFormat, filter_excluded_keys
from tensorboard.summary.writer.event_file_writer import EventFileWriter
from torch.utils.tensorboard import SummaryWriter

from agents.config import TrainingConfig
from agents.learners import as_policy, save_replay
from agents.run_folder import RunFolder, StatusKeeper, save_checkpoint
from dmoe_gym.evaluation import Row, evaluate, held_out_seeds
from dmoe_gym.evaluation.tensorboard import eval_scalars
from dmoe_gym.io.files import write_csv
from dmoe_gym.system import LineUp

PROGRESS = "progress.csv"
STEPS = "time/total_timesteps"


class ProgressFile(KVWriter):
    """What TensorBoard shows, as a table: a row per log, with the environment steps in every one.

    Rows of steps that lie behind a resumed run stay, later ones, which it makes again, go.

    Args:
        path: the file; it is whole at any time but for its last line.
        done: environment steps behind the run.
    """

    def __init__(self, path: Path, done: int) -> None:
        self._path = path
        self._rows = [row for row in _whole_rows(path) if float(row[STEPS]) <= done] if done else []
        self._columns = list(dict.fromkeys([STEPS, *(key for row in self._rows for key in row)]))
        self._path.unlink(missing_ok=True)
        if self._rows:
            self._write_all()

    def write(self, key_values: dict[str, Any], key_excluded: dict[str, tuple[str, ...]], step: int = 0) -> None:
        """Add a row; a column that is new gives a new file."""
        row = {STEPS: step, **filter_excluded_keys(key_values, key_excluded, "csv")}
        self._rows.append(row)
        new = [key for key in row if key not in self._columns]
        if new:
            self._columns += new
            self._write_all()
            return
        line = io.StringIO()
        csv.DictWriter(line, self._columns, lineterminator="\n").writerow(row)
        with self._path.open("a") as file:
            file.write(line.getvalue())

    def close(self) -> None:
        """Nothing is held open."""

    def _write_all(self) -> None:
        write_csv(self._path, self._rows)


def _whole_rows(path: Path) -> list[dict[str, str]]:
    """Rows as text, empty cells left out; a line that a killed process left half-written is no row."""
    if not path.is_file():
        return []
    with path.open(newline="", errors="replace") as file:
        rows = [row for row in csv.DictReader(file) if None not in row and None not in row.values()]
    return [{key: cell for key, cell in row.items() if cell != ""} for row in rows if _is_number(row.get(STEPS))]


def _is_number(cell: str | None) -> bool:
    try:
        return float(cell or "") >= 0
    except ValueError:
        return False


def run_logger(folder: Path, done: int) -> Logger:
    """Stable-Baselines3's logger into a run's folder.

    TensorBoard is told to forget what an earlier process wrote beyond `done` environment steps.
    """
    return Logger(str(folder), [ProgressFile(folder / PROGRESS, done), _Events(folder, done)])


class _Events(TensorBoardOutputFormat):
    """TensorBoard's events of the steps after `done`."""

    def __init__(self, folder: Path, done: int) -> None:
        self._hook, threading.excepthook = threading.excepthook, self._thread_failed
        self.writer = SummaryWriter(log_dir=str(folder), purge_step=done + 1 if done else 0)
        self._is_closed = False

    def close(self) -> None:
        try:
            super().close()
        finally:
            threading.excepthook = self._hook

    def _thread_failed(self, failed: threading.ExceptHookArgs) -> None:
        """On a full disk TensorBoard's thread fails, and then whoever writes to it does: one of them says enough."""
        of_tensorboard = type(failed.thread).__module__ == EventFileWriter.__module__
        if not (of_tensorboard and issubclass(failed.exc_type, OSError)):
            self._hook(failed)


class BetweenUpdates(BaseCallback):
    """Looks at the policy between rollouts, so that it sees a policy and not half an update."""

    def _on_step(self) -> bool:
        return True

    def _on_rollout_start(self) -> None:
        self.between_updates()

    def between_updates(self) -> None:
        """Called with a whole policy, also by `agents.imitation`."""
        raise NotImplementedError


class EvaluateAndCheckpoint(BetweenUpdates):
    """Evaluates before training, at the first update after every `evaluation.every` steps and after training.

    Checkpoints likewise. When is a matter of the steps alone, so an interrupted run evaluates where an uninterrupted
    one does.

    Args:
        config: the recipe.
        folder: where evaluations and checkpoints go; what is there of a resumed run is gone on with.
        name: how rows call the run.
        references: rows of the line-up on the same held-out episodes.
        line_up: which of them are random and optimal.
        status: told of every step between updates.
        interrupts: whether to stop.
        done: environment steps behind the run.
        progress: told of them after every step.
    """

    def __init__(
        self,
        config: TrainingConfig,
        folder: RunFolder,
        name: str,
        references: Sequence[Row],
        line_up: LineUp,
        status: StatusKeeper,
        interrupts: Interrupts,
        done: int = 0,
        progress: Callable[[int], None] = lambda steps: None,
    ) -> None:
        super().__init__()
        self.config, self.folder, self.name, self.status = config, folder, name, status
        self.references, self.line_up, self.interrupts = references, line_up, interrupts
        self.rows = [row for row in folder.evaluations(config) if row["step"] <= done] if done else []
        never = -config.evaluation.every if config.evaluation.untrained else 0
        self._evaluated = max((row["step"] for row in self.rows), default=never)
        self._checkpointed = done
        self.whole_steps = done
        self.progress = progress

    def _on_step(self) -> bool:
        self.progress(min(self.num_timesteps, self.config.total_timesteps))
        return True

    def between_updates(self) -> None:
        """Evaluate and checkpoint if it is time, and stop if somebody asked for it."""
        steps = self.whole_steps = self.model.num_timesteps
        self.status.update(steps)
        self.progress(min(steps, self.config.total_timesteps))
        if _due(steps, self._evaluated, self.config.evaluation.every):
            self.evaluate()
        if _due(steps, self._checkpointed, self.config.checkpoint_every):
            self.checkpoint()
        self.interrupts.check()

    def _on_training_end(self) -> None:
        # kept before it is evaluated, which may be interrupted
        self.whole_steps = self.model.num_timesteps
        self.checkpoint()
        self.evaluate()

    def checkpoint(self) -> None:
        """Write the learner's tensors as of the last whole update, if there is anything new to write."""
        if self.whole_steps > self._checkpointed:
            save_replay(self.model, self.folder.replay_file, self.whole_steps)
            save_checkpoint(self.model, self.folder.checkpoint_file, self.whole_steps)
            self._checkpointed = self.whole_steps

    def evaluate(self) -> None:
        """Run the held-out episodes, write their rows and log their means beside the optimum's lines."""
        step = self.model.num_timesteps
        self._evaluated = step
        if any(row["step"] == step for row in self.rows):
            return
        self.interrupts.check()
        self.interrupts.at_once = True
        try:
            rows = evaluate(
                as_policy(self.model),
                self.config.env_id,
                scenario=self.config.scenario,
                seeds=held_out_seeds(self.config.evaluation.episodes),
                name=self.name,
                **self.config.overrides,
            )
        finally:
            self.interrupts.at_once = False
        self.rows += [{**row, "step": step} for row in rows]
        write_csv(self.folder.evaluations_file, self.rows)
        for tag, value in eval_scalars(rows, self.references, self.line_up).items():
            self.logger.record(tag, value)
        # beside the episodes' return r, length l and time t stand their terms
        recent = list(self.model.ep_info_buffer or ())
        for term in recent[0] if recent else ():
            if term not in ("r", "l", "t"):
                self.logger.record(f"rollout/{term}", float(np.mean([episode[term] for episode in recent])))
        self.logger.dump(step)


def _due(steps: int, last: int, every: int) -> bool:
    """Was a multiple of `every` reached since the last time?"""
    return steps // every > last // every


SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Interrupts:
    """Whether somebody asked this process to stop.

    Attributes:
        asked: so it is; who is whole then raises KeyboardInterrupt by `check`.
        at_once: raise where the signal arrives: for long work that leaves nothing half-done.
    """

    def __init__(self) -> None:
        self.asked = False
        self.at_once = False

    def check(self) -> None:
        """Stop here, if it was asked for.

        Raises:
            KeyboardInterrupt: so it is.
        """
        if self.asked:
            raise KeyboardInterrupt

    def handle(self, number: int, frame: FrameType | None) -> None:
        """The handler of the signals."""
        if self.at_once or self.asked:
            raise KeyboardInterrupt
        self.asked = True
        print("stopping after this update; Ctrl-C again stops at once", file=sys.stderr, flush=True)


@contextmanager
def handled(handler: signal._HANDLER) -> Iterator[None]:
    """Handle both signals so in the meantime; in a thread other than the main one they stay as they are."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.signal(number, handler) for number in SIGNALS}
    try:
        yield
    finally:
        for number, former in before.items():
            signal.signal(number, former)


def stop(number: int, frame: FrameType | None) -> None:
    """A handler that stops at once, whichever signal it is.

    Raises:
        KeyboardInterrupt: always.
    """
    raise KeyboardInterrupt

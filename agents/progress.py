"""A run's logs, which go on where a resumed run goes on: `progress.csv` and TensorBoard's events."""

from __future__ import annotations

import csv
import io
from pathlib import Path
from typing import Any

from stable_baselines3.common.logger import KVWriter, Logger, TensorBoardOutputFormat, filter_excluded_keys
from torch.utils.tensorboard import SummaryWriter

from dmoe_gym.io.files import write_csv

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
        self.writer = SummaryWriter(log_dir=str(folder), purge_step=done + 1 if done else 0)
        self._is_closed = False

"""How far a run is: `status.json` in its folder, for people, sweeps and tables."""

from __future__ import annotations

import json
import time
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Literal

from dmoe_gym.io.files import write_json

STATUS = "status.json"
State = Literal["training", "finished", "interrupted", "failed"]
# Seconds between two updates of the file.
INTERVAL = 1.0


@dataclass(frozen=True)
class Status:
    """A run's state.

    Attributes:
        state: what it is.
        steps, total_steps: environment steps, all environments together.
        wall_seconds, cpu_seconds: of all training processes so far, evaluations included.
        deaths: processes that were killed while training it.
        error: why it failed, one line.
    """

    state: State
    steps: int = 0
    total_steps: int = 0
    wall_seconds: float = 0.0
    cpu_seconds: float = 0.0
    deaths: int = 0
    error: str = ""


def read_status(folder: Path) -> Status | None:
    """The status in a run folder; None where there is none or it cannot be read, as nothing depends on it."""
    try:
        content = json.loads((folder / STATUS).read_text())
        return Status(**{field.name: content[field.name] for field in fields(Status)})
    except (OSError, ValueError, KeyError, TypeError):
        return None


def write_status(folder: Path, status: Status) -> None:
    """Write the status, whole or not at all."""
    write_json(folder / STATUS, asdict(status))


class StatusKeeper:
    """Keeps a run's status up to date while this process trains it.

    Args:
        folder: the run's.
        total_steps: of the recipe.
    """

    def __init__(self, folder: Path, total_steps: int) -> None:
        self._folder = folder
        self._before = replace(read_status(folder) or Status("training"), total_steps=total_steps)
        self._began = time.perf_counter(), time.process_time()
        self._written = -INTERVAL

    def update(self, steps: int, state: State = "training", error: str = "") -> None:
        """Write the status, at most once a second while the state is "training"."""
        now = time.perf_counter()
        if state == "training" and now - self._written < INTERVAL:
            return
        self._written = now
        status = replace(
            self._before,
            state=state,
            steps=steps,
            wall_seconds=round(self._before.wall_seconds + now - self._began[0], 1),
            cpu_seconds=round(self._before.cpu_seconds + time.process_time() - self._began[1], 1),
            error=error,
        )
        write_status(self._folder, status)

"""Timing a program of another virtual environment in turns with this one.

The other side is a script that, for every line it reads, does its work once and prints {"wall": s, "processor": s}.
It prints one line of JSON about itself first, once it has warmed up.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from benchmarks.side_by_side import Clock


class Worker:
    """The other side as a process.

    Raises:
        SystemExit: with one line that says how to get there, if its Python or a package of it is missing.
    """

    def __init__(self, python: str, script: str, install: str) -> None:
        path = Path(__file__).parent / "workers" / script
        try:
            self.process = subprocess.Popen(
                [python, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
            )
        except OSError as error:
            sys.exit(f"{python}: {error.strerror}; make it with: {install}")
        self.clock = Clock(lambda: None)
        self.about: dict[str, Any] = self._read(install)

    def _read(self, hint: str) -> dict[str, Any]:
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        if not line:
            sys.exit(f"the other side ended before it answered; is it installed? {hint}")
        return json.loads(line)

    def __call__(self) -> None:
        """Let it work once and keep its times."""
        assert self.process.stdin is not None
        self.process.stdin.write("go\n")
        self.process.stdin.flush()
        times = self._read("")
        self.clock.wall.append(times["wall"])
        self.clock.processor.append(times["processor"])

    def close(self) -> None:
        """End the process."""
        self.process.communicate()


def in_turns(ours: Clock, worker: Worker, rounds: int) -> None:
    """Both sides in turns, after one warm-up of ours."""
    ours.function()
    for _ in range(rounds):
        worker()
        ours()
    worker.close()

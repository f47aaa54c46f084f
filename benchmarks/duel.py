"""Timing a program of another virtual environment in turns with this one.

The other side is a script that, for every line it reads, does its work once and prints {"wall": s, "processor": s}.
It prints one line of JSON about itself first, once it has warmed up. Its virtual environment is made on first use in
the folder DMOE_BENCH_VENVS (default: `dmoe_gym_venvs` in the system's folder for temporary files).
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from benchmarks.side_by_side import Clock

VENVS = Path(os.environ.get("DMOE_BENCH_VENVS", Path(tempfile.gettempdir()) / "dmoe_gym_venvs"))


class NotInstalledError(Exception):
    """The other suite could not be installed here; the message says what was tried."""


def python_with(name: str, *packages: str) -> Path:
    """The Python of the virtual environment `name` with these packages, made if it is not there yet.

    Raises:
        NotInstalledError: if pip could not install them.
    """
    folder = VENVS / name
    python = folder / "bin" / "python"
    done = folder / "installed"
    if not done.exists():
        install = [str(python), "-m", "pip", "install", "--quiet", *packages]
        try:
            subprocess.run([sys.executable, "-m", "venv", str(folder)], check=True, capture_output=True)
            subprocess.run(install, check=True, capture_output=True, timeout=600)
        except (subprocess.SubprocessError, OSError) as error:
            raise NotInstalledError(f"{name} is not measured: {' '.join(install)} failed ({error})") from None
        done.touch()
    return python


class Worker:
    """The other side as a process.

    Attributes:
        clock: its times so far.
        about: what it said about itself.

    Raises:
        RuntimeError: if it ends before it answers.
    """

    def __init__(self, python: Path, script: str) -> None:
        path = Path(__file__).parent / "workers" / script
        self.process = subprocess.Popen(
            [str(python), str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        self.clock = Clock(lambda: None)
        self.about: dict[str, Any] = self._read()

    def _read(self) -> dict[str, Any]:
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        if not line:
            raise RuntimeError(f"{self.process.args} ended before it answered")
        return json.loads(line)

    def __call__(self) -> None:
        """Let it work once and keep its times."""
        assert self.process.stdin is not None
        self.process.stdin.write("go\n")
        self.process.stdin.flush()
        times = self._read()
        self.clock.wall.append(times["wall"])
        self.clock.processor.append(times["processor"])

    def close(self) -> None:
        """End the process."""
        self.process.communicate()

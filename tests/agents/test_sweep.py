"""Sweeps: what is run, what is not repeated, and what becomes of runs that die, fail or are interrupted."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.testing import CliRunner

from agents.__main__ import app
from agents.config import TrainingConfig
from agents.run_folder import RunFolder, Status, StatusKeeper, checkpoint_steps, read_status, write_status
from agents.sweep import DEATHS, Job, is_finished, jobs_of, run_local, seeds_of, sweep


@pytest.fixture
def jobs(tiny: dict[str, Any], tmp_path: Path) -> list[Job]:
    """Three seeds of the tiny recipe."""
    config = TrainingConfig(**tiny)
    return [Job(tmp_path / "tiny.yaml", config, seed, tmp_path / "runs") for seed in range(3)]


def _ignore(job: Job, steps: int) -> None:
    pass


def _python(code: str) -> list[str]:
    """A process that stands in for training: training itself would take seconds to start."""
    return [sys.executable, "-c", code]


def _status_code(folder: Path, steps: int) -> str:
    status = {
        "state": "training",
        "steps": steps,
        "total_steps": 1024,
        "wall_seconds": 0,
        "cpu_seconds": 0,
        "deaths": 0,
    }
    content = json.dumps({**status, "error": ""})
    return f"open({str(folder / 'status.json')!r}, 'w').write({content!r}); "


def test_seeds_are_numbers_and_ranges() -> None:
    assert seeds_of("0-4,7") == [0, 1, 2, 3, 4, 7]
    for text in ("", "3-", "a", "1,1", "4-2", "-1"):
        with pytest.raises(ValueError, match="seeds"):
            seeds_of(text)


def test_jobs_interleave_recipes_and_refuse_shared_folders(recipe_file: Path, tmp_path: Path) -> None:
    other = tmp_path / "other.yaml"
    other.write_text(recipe_file.read_text())
    jobs = jobs_of([recipe_file, other], [3, 4], tmp_path / "runs")
    assert [(job.recipe.stem, job.seed) for job in jobs] == [("tiny", 3), ("other", 3), ("tiny", 4), ("other", 4)]
    assert jobs[1].name == "tiny/other-seed3"
    twin = tmp_path / "elsewhere" / "tiny.yaml"
    twin.parent.mkdir()
    twin.write_text(recipe_file.read_text())
    with pytest.raises(ValueError, match=r"both are run in .*tiny-seed0"):
        jobs_of([recipe_file, twin], [0], tmp_path / "runs")
    with pytest.raises(ValueError, match="seeds"):
        jobs_of([recipe_file], [1_000_000], tmp_path / "runs")


def test_failures_are_listed_and_stop_nobody(jobs: list[Job]) -> None:
    def command(job: Job) -> list[str]:
        return _python("import sys; print('error: of its own'); sys.exit(2)" if job.seed == 1 else "")

    outcomes = {outcome.job.seed: outcome for outcome in run_local(jobs, 2, _ignore, command=command)}
    assert {seed: outcome.state for seed, outcome in outcomes.items()} == {0: "finished", 1: "failed", 2: "finished"}
    assert outcomes[1].error == "of its own"
    status = read_status(jobs[1].folder.path)
    assert status is not None
    assert (status.state, status.error) == ("failed", "of its own")


def test_a_killed_run_is_started_again_until_it_gets_no_further(jobs: list[Job]) -> None:
    """Killed twice with progress in between it ends well; without progress it is given up after DEATHS deaths."""
    kill = "import os, signal; os.kill(os.getpid(), signal.SIGKILL)"
    starts: dict[int, int] = {0: 0, 1: 0}

    def command(job: Job) -> list[str]:
        starts[job.seed] += 1
        if job.seed == 0 and starts[0] <= DEATHS + 2:
            return _python(_status_code(job.folder.path, starts[0] * 100) + kill)
        return _python(kill if job.seed == 1 else "")

    outcomes = {outcome.job.seed: outcome for outcome in run_local(jobs[:2], 1, _ignore, command=command)}
    assert outcomes[0].state == "finished"
    assert starts == {0: DEATHS + 3, 1: DEATHS}
    assert outcomes[1].state == "failed"
    assert outcomes[1].error.startswith("killed by signal 9")


def test_an_interrupt_reaches_every_run_once(jobs: list[Job]) -> None:
    """Each process writes down how often it is interrupted; nothing new is started afterwards."""
    code = """
import pathlib, signal, sys, time
folder = pathlib.Path(sys.argv[1])
def count(*_):
    with (folder / "interrupts").open("a") as file: file.write("x")
    time.sleep(0.5)
    sys.exit(130)
signal.signal(signal.SIGINT, count)
(folder / "started").touch()
time.sleep(60)
"""

    def interrupt() -> None:
        while not all((job.folder.path / "started").exists() for job in jobs[:2]):
            time.sleep(0.05)
        os.kill(os.getpid(), signal.SIGINT)

    # a shell that starts tests in the background lets them ignore interrupts
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        threading.Thread(target=interrupt, daemon=True).start()
        with pytest.raises(KeyboardInterrupt):
            list(run_local(jobs, 2, _ignore, command=lambda job: [*_python(code), str(job.folder.path)]))
    finally:
        signal.signal(signal.SIGINT, before)
    assert [(job.folder.path / "interrupts").read_text() for job in jobs[:2]] == ["x", "x"]
    assert not (jobs[2].folder.path / "started").exists()


def test_finished_runs_are_not_repeated(jobs: list[Job], monkeypatch: pytest.MonkeyPatch) -> None:
    ran: list[int] = []

    def engine(left: list[Job], workers: int, report: Any) -> Any:
        ran.extend(job.seed for job in left)
        return iter(())

    monkeypatch.setitem(sys.modules["agents.sweep"].ENGINES, "joblib", engine)
    monkeypatch.setattr(sys.modules["agents.sweep"], "is_finished", lambda job: job.seed == 1)
    outcomes = list(sweep(jobs))
    assert ran == [0, 2]
    assert [(outcome.job.seed, outcome.state) for outcome in outcomes] == [(1, "finished")]
    with pytest.raises(ValueError, match="valid are joblib, ray"):
        list(sweep(jobs, engine="slurm"))


def test_status_adds_up_over_processes(tmp_path: Path) -> None:
    write_status(tmp_path, Status("interrupted", 10, 20, wall_seconds=100.0, cpu_seconds=50.0, deaths=2))
    keeper = StatusKeeper(tmp_path, 20)
    keeper.update(11)
    keeper.update(12)  # within the same second: not written
    status = read_status(tmp_path)
    assert status is not None
    assert (status.state, status.steps, status.deaths) == ("training", 11, 2)
    assert status.wall_seconds >= 100
    keeper.update(20, "finished")
    assert getattr(read_status(tmp_path), "state", "") == "finished"
    (tmp_path / "status.json").write_text("{")
    assert read_status(tmp_path) is None


def test_two_processes_never_train_one_run(jobs: list[Job]) -> None:
    folder = jobs[0].folder
    with folder.locked(), pytest.raises(ValueError, match="another process"), RunFolder(folder.path).locked():
        pass
    with folder.locked():
        pass


@pytest.mark.slow
def test_a_real_sweep_survives_a_kill(recipe_file: Path, tiny: dict[str, Any], tmp_path: Path) -> None:
    """Two seeds, one of them killed after its first checkpoint: both end, and a second sweep does nothing."""
    references = {**tiny["evaluation"], "references": ["random", "JESA"]}
    recipe_file.write_text(yaml.safe_dump({**tiny, "total_timesteps": 6000, "evaluation": references}))
    runs = tmp_path / "runs"
    job = jobs_of([recipe_file], [0], runs)[0]

    def kill() -> None:
        while checkpoint_steps(job.folder.checkpoint_file) < 1024:
            time.sleep(0.2)
        # processes are children of the threads that started them
        lists = [task.read_text() for task in Path(f"/proc/{os.getpid()}/task").glob("*/children")]
        children = " ".join(lists).split()
        ours = [int(pid) for pid in children if b"--seed\x000" in Path(f"/proc/{pid}/cmdline").read_bytes()]
        os.kill(ours[0], signal.SIGKILL)

    threading.Thread(target=kill, daemon=True).start()
    command = ["sweep", str(recipe_file), "--seeds", "0-1", "--runs", str(runs), "--jobs", "2"]
    result = CliRunner().invoke(app, command)
    assert result.exit_code == 0, result.output
    status = read_status(job.folder.path)
    assert status is not None
    assert (status.state, status.deaths) == ("finished", 1)
    assert all(is_finished(job) for job in jobs_of([recipe_file], [0, 1], runs))
    before = job.folder.checkpoint_file.stat().st_mtime_ns
    assert CliRunner().invoke(app, command).exit_code == 0
    assert job.folder.checkpoint_file.stat().st_mtime_ns == before


@pytest.mark.slow
def test_ray_trains_the_same_runs_on_two_workers(recipe_file: Path, tmp_path: Path) -> None:
    """A local cluster of two workers; the second seed's recipe is damaged by then and fails alone."""
    pytest.importorskip("ray")
    runs = tmp_path / "runs"
    jobs = jobs_of([recipe_file], [0, 1], runs)
    (runs / "tiny" / "tiny-seed1").mkdir(parents=True)
    (runs / "tiny" / "tiny-seed1" / "config.yaml").write_text("algorithm: [")
    command = ["sweep", str(recipe_file), "--seeds", "0-1", "--runs", str(runs), "--jobs", "2", "--engine", "ray"]
    result = CliRunner().invoke(app, command)
    assert result.exit_code == 1, result.output
    assert is_finished(jobs[0])
    status = read_status(jobs[1].folder.path)
    assert status is not None
    assert status.state == "failed"
    assert "is no YAML" in status.error


def test_a_terminated_sweep_stops_its_trainings(recipe_file: Path, tiny: dict[str, Any], tmp_path: Path) -> None:
    """SIGTERM to the sweep's process: the trainings end with a checkpoint, and none goes on."""
    references = {**tiny["evaluation"], "references": ["random"]}
    recipe_file.write_text(yaml.safe_dump({**tiny, "total_timesteps": 400_000, "evaluation": references}))
    runs = tmp_path / "runs"
    job = jobs_of([recipe_file], [0], runs)[0]
    command = ["sweep", str(recipe_file), "--seeds", "0", "--runs", str(runs), "--jobs", "1"]
    process = subprocess.Popen([sys.executable, "-m", "agents", *command], stderr=subprocess.PIPE, text=True)
    try:
        limit = time.monotonic() + 120
        while checkpoint_steps(job.folder.checkpoint_file) == 0 and time.monotonic() < limit:
            time.sleep(0.2)
        process.send_signal(signal.SIGTERM)
        _, said = process.communicate(timeout=60)
    finally:
        process.kill()
    assert process.returncode == 130
    assert "the same command goes on" in said
    status = read_status(job.folder.path)
    assert status is not None
    assert (status.state, status.steps) == ("interrupted", checkpoint_steps(job.folder.checkpoint_file))
    with job.folder.locked():  # nobody trains it
        pass

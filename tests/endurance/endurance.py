"""How long does it hold? `make endurance`: hostile actions, random configurations and recipes, kills, full disks.

Every part has its share of `--minutes` and says how far it got in it; what it finds it lists with what gives it again.
"""

from __future__ import annotations

import argparse
import csv
import gc
import json
import os
import random
import resource
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import yaml

from agents.run_folder import checkpoint_steps, read_status
from dmoe_gym.registration import ENVIRONMENTS
from tests.agents.test_recipes import judge, mutated, outcome_of
from tests.fuzz.configurations import drawn_overrides, outcome

ROOT = Path(__file__).resolve().parents[2]
IDS = tuple(ENVIRONMENTS)


@dataclass
class Part:
    """What a part did: how many of what, and what went wrong."""

    done: int = 0
    faults: list[str] = field(default_factory=list)
    note: str = ""


def left(until: float) -> Iterator[None]:
    """As long as there is time."""
    while time.monotonic() < until:
        yield


def hostile(envs: gym.vector.VectorEnv, rng: np.random.Generator) -> np.ndarray:
    """Members of a batch's action space, and for boxes whatever finite number there is."""
    if not isinstance(envs.single_action_space, gym.spaces.Box):
        return envs.action_space.sample()
    actions = rng.uniform(-1, 1, envs.action_space.shape)
    kind = rng.random(actions.shape)
    actions[kind < 0.1] = rng.choice([-1.0, 0.0, 1.0, 3e38, -3e38, 1e-45, -1e-45])
    actions[kind > 0.9] *= 1e6
    return actions.astype(np.float32)


def actions(until: float, steps: int, env_id: str, size: int = 64) -> Part:
    """Hostile actions in a batch: finite rewards, observations inside of their space, schedules that pass the check."""
    part = Part()
    rng = np.random.default_rng(0)
    envs = gym.make_vec(env_id, num_envs=size, vectorization_mode="vector_entry_point")
    envs.action_space.seed(0)
    core = envs.unwrapped.core  # type: ignore[attr-defined]
    envs.reset(seed=0)
    for _ in left(until):
        if part.done >= steps:
            break
        if core.masked:
            scores = np.where(core.masks(), rng.random(core.masks().shape), -1)
            chosen = scores.argmax(1)
        else:
            chosen = hostile(envs, rng)
        judged = part.done % (size * 16) == 0 and core.decides_rounds
        seen = core.observed_round(0) if judged and not core.terminated[0] else None
        observations, rewards, *_ = envs.step(chosen)
        part.done += size
        if not np.isfinite(rewards).all():
            part.faults.append(f"{env_id}, after {part.done} steps: reward {rewards[~np.isfinite(rewards)][0]}")
        if part.done % (size * 16) == 0 and not envs.observation_space.contains(observations):
            part.faults.append(f"{env_id}, after {part.done} steps: an observation outside of its space")
        if seen is not None and (violations := core.check(seen, core.schedule(0))):
            part.faults.append(f"{env_id}, after {part.done} steps: {violations[0]}")
    envs.close()
    return part


def configurations(until: float, cases: int) -> Part:
    """Random configurations of every id in turn, each valid or refused in one line (`tests/fuzz`)."""
    part = Part()
    configs = {env_id: type(gym.make(env_id).unwrapped.config) for env_id in IDS}  # type: ignore[attr-defined]
    for _ in left(until):
        if part.done >= cases:
            break
        env_id = IDS[part.done % len(IDS)]
        overrides = drawn_overrides(np.random.default_rng([2, part.done]), env_id, configs[env_id])
        try:
            outcome(env_id, None, overrides, part.done)
        except Exception as error:
            part.faults.append(f"{env_id}, case {part.done}: {type(error).__name__}: {error}: {overrides}")
        part.done += 1
    return part


def recipes(until: float, cases: int) -> Part:
    """Random recipes, each valid or refused in one line."""
    part, generator = Part(), random.Random(2)
    with tempfile.TemporaryDirectory() as folder:
        for _ in left(until):
            if part.done >= cases:
                break
            recipe = mutated(generator)
            try:
                judge(outcome_of(recipe, Path(folder) / "recipe.yaml"), recipe)
            except Exception as error:
                part.faults.append(f"recipe {part.done}: {type(error).__name__}: {error}"[:500])
            part.done += 1
    return part


def growth(until: float, resets: int, cycles: int) -> Part:
    """Resets, and environments that are made and closed: memory and open files stay what they are."""
    part = Part()

    def held() -> tuple[int, int]:
        gc.collect()
        pages = int(Path("/proc/self/statm").read_text().split()[1])
        return pages * resource.getpagesize(), len(os.listdir("/proc/self/fd"))

    def made(number: int) -> None:
        env = gym.make(IDS[number % len(IDS)], render_mode="rgb_array")
        env.reset(seed=number)
        env.step(env.action_space.sample())
        env.close()

    env = gym.make("DMoE-JESA-v0", scenario="small")
    begin = time.monotonic()
    for name, amount, share, work in (
        ("resets", resets, 0.5, lambda number: env.reset(seed=number)),
        ("make/close cycles", cycles, 1.0, made),
    ):
        end = begin + share * (until - begin)
        count, before, loaded = 0, (0, 0), max(amount // 4, len(IDS))
        for _ in left(end):
            if count >= amount:
                break
            work(count)
            count += 1
            if count == loaded:  # what is loaded and kept once is there by now
                before = held()
        grown, files = (after - first for after, first in zip(held(), before, strict=True))
        part.done += count
        told = f"{grown / 2**20:+.1f} MiB" if count > loaded else "too few to tell"
        part.note += f"{count:,} {name}: {told}; "
        if count > loaded and (grown > 32 * 2**20 or files > 2):
            part.faults.append(f"{count} {name}: {grown / 2**20:.1f} MiB and {files} open files more")
    return part


# --- commands that are killed

RECIPE: dict[str, Any] = {
    "algorithm": "ppo",
    "env_id": "WDMoE-v0",
    "scenario": "testbed",
    "group": "group",
    "num_envs": 4,
    "total_timesteps": 6400,
    "seeds": [0, 1],
    "network": [8],
    "hyperparameters": {"n_steps": 8, "batch_size": 16, "n_epochs": 1, "learning_rate": 0.0005},
    "checkpoint_every": 320,
    "evaluation": {"episodes": 2, "every": 640, "references": ["random"]},
}
COMMANDS = {
    "train": "-m agents train {recipe} --runs {out}/train --jobs 1 --no-progress --seed 0 --resume",
    "sweep": "-m agents sweep {recipe} --runs {out}/sweep --jobs 2",
    "study": "-m agents study {recipe} --studies {out}/study --trials 3 --timesteps 640 --episodes 2",
    "evaluate": "-m baselines evaluate DMoE-JESA-v0 --scenario small --episodes 200 -p JESA -p DES --jobs 1 --output "
    "{out}/evaluate/rows.csv",
    "experiments": "-m experiments run asymptotics --cache {out}/experiments --set rounds=4",
}


def _started(name: str, recipe: Path, out: Path, **options: Any) -> subprocess.Popen:
    words = COMMANDS[name].format(recipe=recipe, out=out).split()
    return subprocess.Popen(
        [sys.executable, *words],
        cwd=ROOT,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
        **options,
    )


def _wait(process: subprocess.Popen, limit_s: float) -> str | None:
    """What it printed; None if it did not end, which ends it."""
    try:
        return process.communicate(timeout=limit_s)[0]
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
        return None


def _content(name: str, out: Path) -> Any:
    """What a command leaves, without times: rows of evaluations, numbers of trials."""
    if name in ("train", "sweep"):
        files = sorted((out / name).rglob("evaluations.csv"))
        return [[(row["step"], row["seed"]) for row in csv.DictReader(file.open())] for file in files]
    if name == "evaluate":
        text = (out / "evaluate" / "rows.csv").read_text()
        rows = list(csv.DictReader(text.splitlines()))
        return [{key: cell for key, cell in row.items() if "ms" not in key} for row in rows]
    if name == "study":
        best = next((out / name).rglob("best.yaml"))
        return sorted(yaml.safe_load(best.read_text()))
    return sorted(path.name for path in (out / name).rglob("output.pkl"))


def kills(until: float, amount: int, names: tuple[str, ...] = tuple(COMMANDS)) -> Part:
    """Commands killed or interrupted at random moments, given again until they end: nothing whole is lost."""
    part, rng = Part(), random.Random(0)
    wholes: dict[str, tuple[float, Any]] = {}
    with tempfile.TemporaryDirectory() as folder:
        recipe = Path(folder) / "recipe.yaml"
        recipe.write_text(yaml.safe_dump(RECIPE))
        for name in names:
            begin = time.monotonic()
            said = _wait(_started(name, recipe, Path(folder) / "whole"), max(1.0, until - begin))
            if said is None:
                continue
            wholes[name] = time.monotonic() - begin, _content(name, Path(folder) / "whole")
        number = 0
        while part.done < amount and wholes and time.monotonic() < until:
            name = list(wholes)[number % len(wholes)]
            number += 1
            _interrupted(part, name, recipe, Path(folder) / f"parts{number}", wholes[name], rng, until)
    part.note = f"over {', '.join(wholes)}"
    return part


def _interrupted(
    part: Part, name: str, recipe: Path, out: Path, whole: tuple[float, Any], rng: random.Random, until: float
) -> None:
    """One command with up to three kills, then to its end."""
    duration, expected = whole
    moments = []
    for _ in range(3):
        sent = signal.SIGKILL if rng.random() < 0.5 else signal.SIGINT
        process = _started(name, recipe, out)
        moments.append((round(rng.uniform(0.2, 1.1) * duration, 2), sent.name))
        try:
            process.communicate(timeout=moments[-1][0])
            break
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, sent)
            if _wait(process, 10 * duration + 60) is None:
                part.faults.append(f"{name}: does not end after {moments}")
                return
            part.done += 1
        for file in out.rglob("checkpoint.pt"):
            status = read_status(file.parent)
            if status is not None and status.steps - checkpoint_steps(file) > 2 * RECIPE["checkpoint_every"]:
                part.faults.append(f"{name}: {status.steps} steps, {checkpoint_steps(file)} kept, after {moments}")
    for _ in left(until):
        process = _started(name, recipe, out)
        said = _wait(process, 10 * duration + 60)
        if said is None or process.returncode:
            part.faults.append(f"{name}: {process.returncode} after {moments}: {(said or 'hangs')[-300:]}")
        elif _content(name, out) != expected:
            part.faults.append(f"{name}: other content after {moments}")
        return


def full_disk(until: float) -> Part:
    """Files that cannot grow beyond some bytes: one line, and what was there stays whole."""
    part = Part()
    with tempfile.TemporaryDirectory() as folder:
        recipe, out = Path(folder) / "recipe.yaml", Path(folder)
        recipe.write_text(yaml.safe_dump({**RECIPE, "total_timesteps": 640}))
        for name, limit in (("evaluate", 2000), ("train", 2000), ("train", 20_000), ("evaluate", 50)):
            if time.monotonic() > until:
                break

            def bounded(limit: int = limit) -> None:
                signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
                resource.setrlimit(resource.RLIMIT_FSIZE, (limit, resource.RLIM_INFINITY))

            said = _wait(_started(name, recipe, out, preexec_fn=bounded), 600)
            part.done += 1
            if said is None or "Traceback" in said:
                part.faults.append(f"{name} with {limit} bytes: {(said or 'hangs')[-400:]}")
            for file in [*out.rglob("*.json"), *out.rglob("config.yaml")]:
                json.loads(file.read_text()) if file.suffix == ".json" else yaml.safe_load(file.read_text())
        for name in ("evaluate", "train"):
            process = _started(name, recipe, out)
            if _wait(process, 600) is None or process.returncode:
                part.faults.append(f"{name} does not go on when there is room again")
    return part


def two_processes(until: float) -> Part:
    """Two processes on one run: one trains, the other is refused in one line."""
    part = Part()
    with tempfile.TemporaryDirectory() as folder:
        recipe, out = Path(folder) / "recipe.yaml", Path(folder)
        recipe.write_text(yaml.safe_dump(RECIPE))
        both = [_started("train", recipe, out) for _ in range(2)]
        said = [_wait(process, max(900.0, until - time.monotonic())) for process in both]
        part.done = 2
        codes = sorted(process.returncode for process in both)
        refused = [text for process, text in zip(both, said, strict=True) if process.returncode]
        if codes[0] != 0 or any("another process" not in (text or "") for text in refused):
            part.faults.append(f"two processes: {codes}, {said}")
        part.note = f"exit codes {codes}"
    return part


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--minutes", type=float, default=30.0)
    parser.add_argument("--only", default="", help="parts whose names hold this text")
    options = parser.parse_args()
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background jobs would hand on "ignored"
    seconds, faults = 60 * options.minutes, 0
    begin = time.monotonic()
    parts: list[tuple[str, float, Callable[[float], Part]]] = [
        *((f"hostile steps, {env_id}", 0.4 / len(IDS), lambda end, i=env_id: actions(end, 10**6, i)) for env_id in IDS),
        ("configurations", 0.15, lambda end: configurations(end, 10_000)),
        ("recipes", 0.08, lambda end: recipes(end, 1000)),
        ("resets and make/close cycles", 0.07, lambda end: growth(end, 200_000, 2000)),
        ("commands on a full disk", 0.04, full_disk),
        ("processes on one run", 0.02, two_processes),
        ("kills and interrupts", 0.24, lambda end: kills(end, 40)),
    ]
    parts = [part for part in parts if options.only in part[0]]
    if not parts:
        parser.error(f"--only {options.only!r}: no part's name holds it")
    seconds /= sum(share for _, share, _ in parts)
    print("| what | how many | faults | minutes | |\n|---|---|---|---|---|", flush=True)
    owed = 0.0
    for name, share, work in parts:
        started = time.monotonic()
        owed += share * seconds  # what an earlier part left is the next ones'
        part = work(max(started + share * seconds, begin + owed))
        minutes = (time.monotonic() - started) / 60
        print(f"| {name} | {part.done:,} | {len(part.faults)} | {minutes:.1f} | {part.note} |", flush=True)
        for fault in part.faults[:10]:
            print(f"    {fault}", file=sys.stderr, flush=True)
        faults += len(part.faults)
    sys.exit(1 if faults else 0)


if __name__ == "__main__":
    main()

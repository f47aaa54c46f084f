"""Which small changes of the product do the tests notice? `make mutants`

Changes are drawn with a seed from every area of the product and made in memory alone: a forked process loads the
changed module and runs the tests of the area that reach its line, quickest first, then those that reach its file.
Nothing is compiled, so that a change costs seconds: the same Python runs, without what only a compiler does. Tests that
fail or take long so, those that start another interpreter, and the fingerprints of episodes (`tests/frozen`) are left
out: more is noticed than is counted here.

What is known already is kept in `output/mutants`, so the command goes on where it stopped. `equivalent.toml` lists
changes that no test can notice, each with its reason.
"""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import importlib
import io
import json
import os
import re
import resource
import signal
import sys
import time
import tomllib
from collections import Counter
from collections.abc import Callable, Iterator
from importlib.machinery import SourceFileLoader
from pathlib import Path
from types import CodeType, FunctionType
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
KEPT = ROOT / "output" / "mutants"
os.environ |= {
    "NUMBA_DISABLE_JIT": "1",
    "NUMBA_NUM_THREADS": "1",
    "OMP_NUM_THREADS": "1",
    "HYPOTHESIS_STORAGE_DIRECTORY": str(KEPT / "hypothesis"),
}
sys.path[:0] = [str(ROOT)]

import coverage  # noqa: E402 (after the environment is as numba must find it)
import pytest  # noqa: E402

from tests.mutants.mutations import Mutant, drawn  # noqa: E402

# what is changed, and which tests are asked
AREAS = {
    "DMoE physics": (["dmoe/physics", "dmoe/config.py", "dmoe/harvest.py"], ["dmoe", "fuzz"]),
    "DMoE solvers": (["dmoe/solvers", "dmoe/schedulers", "dmoe/bounds.py"], ["dmoe"]),
    "WDMoE": (
        ["wdmoe/physics", "wdmoe/solvers", "wdmoe/schedulers", "wdmoe/config.py", "wdmoe/bounds.py"],
        ["wdmoe", "fuzz"],
    ),
    "environments": (
        ["dmoe/env", "wdmoe/env", "gating/env", "core.py", "actions.py"],
        ["dmoe", "wdmoe", "gating", "inference", "fuzz"],
    ),
    "facades": (["facades"], ["facades"]),
    "evaluation": (["evaluation"], ["evaluation", "dmoe"]),
    "channel": (["channel", "relevance"], ["channel", "relevance"]),
    "gating": (["gating"], ["gating"]),
    "models": (["models"], ["models", "inference"]),
}
# pictures, commands and what is no result
_ASIDE = ("/viewer/", "/command.py", "/train.py", "/env/", "/logs.py")
# loaded once, before processes fork
_LIBRARIES = [
    *("gymnasium", "numba", "scipy.optimize", "scipy.stats", "scipy.special", "torch", "sklearn.datasets"),
    *("stable_baselines3", "sb3_contrib", "hypothesis", "pettingzoo", "mo_gymnasium", "transformers"),
    *("matplotlib", "pydantic"),
]
# seconds of the processor: of one test that is asked, and of all that one change is tried with; with fewer first
# (`--seconds 3`) and then the whole it takes less in all, as what was noticed is not tried again
_TEST_LIMIT_S, _TOGETHER_LIMIT_S = 2.0, 8.0
_KILLED, _SURVIVED, _UNREACHED = "noticed", "survived", "not reached"
_OURS = ("dmoe_gym", "agents", "baselines", "experiments", "tests")


def _digest(*texts: str) -> str:
    return hashlib.sha256("\0".join(texts).encode()).hexdigest()[:16]


def _content(file: str) -> str:
    path = ROOT / file
    return _digest(path.read_text()) if path.is_file() else ""


class _Limited:
    """A pytest plugin: a test that takes long fails; which passed, how long they took, and which failed first."""

    def __init__(self, measured: coverage.Coverage | None = None) -> None:
        self.passed: dict[str, float] = {}
        self.failed = ""
        self._measured = measured
        self._began = 0.0
        self._slow: set[str] = set()

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_protocol(self, item: pytest.Item) -> Iterator[None]:
        if self._measured is not None:
            self._measured.switch_context(item.nodeid)
        self._began = time.process_time()
        return (yield)

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_call(self, item: pytest.Item) -> Iterator[None]:
        function = item.nodeid.partition("[")[0]
        if function in self._slow:
            pytest.skip("took long with other arguments")

        def stop(*_: Any) -> None:
            self._slow.add(function)
            raise TimeoutError(f"took over {_TEST_LIMIT_S} s without a compiler")

        if self._measured is None:
            return (yield)
        signal.signal(signal.SIGPROF, stop)
        signal.setitimer(signal.ITIMER_PROF, _TEST_LIMIT_S)
        try:
            return (yield)
        finally:
            signal.setitimer(signal.ITIMER_PROF, 0)

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.when == "call" and report.passed:
            self.passed[report.nodeid] = time.process_time() - self._began
        elif report.failed:
            self.failed = self.failed or report.nodeid


def _load(files: list[Path]) -> None:
    """Import the product and its tests, which processes that fork have then."""
    with contextlib.redirect_stdout(io.StringIO()):
        pytest.main([*map(str, files), "--collect-only", "-qq", "-p", "no:cacheprovider", "-p", "no:xdist"])


def _run_tests(names: list[str], plugin: _Limited, *options: str) -> int:
    return int(pytest.main([*names, "-q", "-p", "no:cacheprovider", "-p", "no:xdist", *options], plugins=[plugin]))


def _forked(work: Callable[[], int], log: Path, limit_s: float) -> int | None:
    """The exit status of work in a forked process that may take so long of the processor; None if it does not end."""
    log.parent.mkdir(parents=True, exist_ok=True)
    child = os.fork()
    if child == 0:
        status = 70
        try:
            os.setsid()
            descriptor = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
            os.dup2(descriptor, 1)
            os.dup2(descriptor, 2)
            resource.setrlimit(resource.RLIMIT_AS, (12 << 30, 12 << 30))
            seconds = int(limit_s + time.process_time())
            resource.setrlimit(resource.RLIMIT_CPU, (seconds, seconds))
            os.chdir(ROOT)
            status = work()
            sys.stdout.flush()
        finally:
            os._exit(status)
    end = time.monotonic() + 20 * limit_s  # for what waits, or a busy machine
    while time.monotonic() < end:
        done, status = os.waitpid(child, os.WNOHANG)
        if done:
            return os.waitstatus_to_exitcode(status)
        time.sleep(0.05)
    os.killpg(child, signal.SIGKILL)
    os.waitpid(child, 0)
    return None


def _reached(file: str) -> dict[str, Any]:
    """Of one file of tests: how long each test took that passes, and the lines of the product that it reached."""
    kept = KEPT / "reached" / f"{file.replace('/', '-')}.json"
    if kept.is_file():
        found = json.loads(kept.read_text())
        if found["contents"][file] == _content(file):
            return found

    def measure() -> int:
        measured = coverage.Coverage(data_file=None, include=[str(ROOT / "dmoe_gym" / "*")], messages=False)
        measured.start()
        plugin = _Limited(measured)
        _run_tests([file], plugin)
        measured.stop()
        data = measured.get_data()
        lines: dict[str, dict[str, list[int]]] = {}
        for path in data.measured_files():
            name = str(Path(path).relative_to(ROOT))
            for line, contexts in data.contexts_by_lineno(path).items():
                for test in contexts:
                    lines.setdefault(test, {}).setdefault(name, []).append(line)
        files = {file} | {name for by_file in lines.values() for name in by_file}
        found = {
            "contents": {name: _content(name) for name in sorted(files)},
            "passed": plugin.passed,
            "lines": {name: lines.get(name, {}) for name in plugin.passed},
        }
        kept.parent.mkdir(parents=True, exist_ok=True)
        kept.write_text(json.dumps(found))
        return 0

    status = _forked(measure, KEPT / "logs" / f"{file.replace('/', '-')}.txt", 600)
    if status != 0:
        return {"contents": {file: _content(file)}, "passed": {}, "lines": {}}
    return json.loads(kept.read_text())


def _users(mutant: Mutant) -> dict[str, set[int]]:
    """By file, the lines of the product that name what a statement outside of functions gives a name to."""
    statement = (ROOT / mutant.file).read_text().splitlines()[mutant.statement - 1]
    named = re.match(r"\s*(\w+)\s*(?::[^=]*)?=", statement)
    if named is None:
        return {}
    word, users = re.compile(rf"\b{named[1]}\b"), {}
    for path in sorted((ROOT / "dmoe_gym").rglob("*.py")):
        lines = enumerate(path.read_text().splitlines(), 1)
        users[str(path.relative_to(ROOT))] = {number for number, line in lines if word.search(line)}
    return users


def _tests_for(mutant: Mutant, reached: list[dict[str, Any]], seconds: float) -> list[str]:
    """Tests of so many seconds that reach the change's statement, quickest first, then others that reach its file.

    A statement outside of functions runs when its module is imported: there tests count that reach lines which name
    what it gives a name to.
    """
    here = {mutant.file: set(range(mutant.statement, mutant.line + mutant.before.count("\n") + 1))}
    if not any(
        here[mutant.file] & set(lines.get(mutant.file, ())) for found in reached for lines in found["lines"].values()
    ):
        here = _users(mutant)
    near: list[tuple[float, str]] = []
    far: list[tuple[float, str]] = []
    for found in reached:
        for name, by_file in found["lines"].items():
            # all of a file that has changed since its lines were noted
            moved = mutant.file in by_file and found["contents"][mutant.file] != _content(mutant.file)
            if moved or any(not here.get(file, set()).isdisjoint(lines) for file, lines in by_file.items()):
                near.append((found["passed"][name], name))
            elif mutant.file in by_file:
                far.append((found["passed"][name], name))
    chosen = []
    for group, limit in ((near, seconds), (far, seconds / 4)):
        spent = 0.0
        for duration, name in sorted(group):
            spent += duration
            if spent <= limit:
                chosen.append(name)
    return chosen


def _patched(mutant: Mutant, changed: str) -> None:
    """Make the change in this process: in the function that is loaded already, or in a module that is loaded anew."""
    module = sys.modules.get(mutant.file.removesuffix(".py").replace("/", "."))
    code: Any = compile(changed, str(ROOT / mutant.file), "exec", dont_inherit=True)
    holder: Any = module
    for name in mutant.function.split("."):
        holder = vars(holder).get(name) if holder is not None and hasattr(holder, "__dict__") else None
        inner = [part for part in code.co_consts if isinstance(part, CodeType) and part.co_name == name]
        if holder is None or len(inner) != 1:
            break
        code = inner[0]
        if isinstance(holder, type):
            continue
        function = _function(holder)
        own = function.__code__ if isinstance(function, FunctionType) else code
        if own != code and (own.co_firstlineno, own.co_freevars) == (code.co_firstlineno, code.co_freevars):
            function.__code__ = code
            return
        break
    for name, loaded in list(sys.modules.items()):
        file = getattr(loaded, "__file__", None) or ""
        if name.startswith(_OURS) or file.startswith(str(ROOT / "tests")):
            del sys.modules[name]
    load = SourceFileLoader.get_code

    def get_code(self: SourceFileLoader, name: str) -> Any:
        if Path(self.path).resolve() == ROOT / mutant.file:
            return compile(changed, self.path, "exec", dont_inherit=True)
        return load(self, name)

    SourceFileLoader.get_code = get_code  # type: ignore[method-assign]


def _function(found: Any) -> Any:
    """The plain function in whatever wraps it."""
    while not isinstance(found, FunctionType) or hasattr(found, "__wrapped__"):
        inner = [getattr(found, name, None) for name in ("__wrapped__", "fget", "__func__", "func")]
        following = next((each for each in inner if each is not None), None)
        if following is None:
            return found
        found = following
    return found


def _verdict(mutant: Mutant, reached: list[dict[str, Any]], unsound: set[str], seconds: float) -> tuple[str, str]:
    """Does a test notice the change, and which?"""
    tests = [name for name in _tests_for(mutant, reached, seconds) if name not in unsound]
    own = _digest(mutant.name, str(mutant.start), _content(mutant.file))
    kept = KEPT / "verdicts" / f"{own}.json"
    version = _digest(*tests, *(_content(name) for name in sorted({test.partition("::")[0] for test in tests})))
    if kept.is_file():
        before = json.loads(kept.read_text())
        if (before["verdict"] == _KILLED and before["by"] not in unsound) or before["tests"] == version:
            return before["verdict"], before["by"]
    by = KEPT / "by.txt"

    def run() -> int:
        _patched(mutant, mutant.applied((ROOT / mutant.file).read_text()))
        plugin = _Limited()
        status = _run_tests(tests, plugin, "-x")
        by.write_text(plugin.failed)
        return status

    by.write_text("")
    log = KEPT / "logs" / f"{own}.txt"
    status = _forked(run, log, 10 + 2 * seconds) if tests else 5
    verdict = {0: _SURVIVED, 5: _UNREACHED}.get(-1 if status is None else status, _KILLED)
    found = {"mutant": mutant.name, "verdict": verdict, "by": by.read_text(), "tests": version, "log": log.name}
    kept.parent.mkdir(parents=True, exist_ok=True)
    kept.write_text(json.dumps(found))
    print(f"  {verdict}: {mutant.name}", flush=True)
    return verdict, found["by"]


def _unsound(tests: set[str]) -> set[str]:
    """Those of the tests that fail without any change, run in another order than they noticed one."""
    passed = KEPT / "passed.txt"

    def run() -> int:
        plugin = _Limited()
        _run_tests(sorted(tests, reverse=True), plugin)
        passed.write_text("\n".join(plugin.passed))
        return 0

    passed.write_text("")
    _forked(run, KEPT / "logs" / "sound.txt", 1200)
    return tests - set(passed.read_text().splitlines())


def _files(parts: list[str]) -> list[str]:
    files: list[Path] = []
    for part in parts:
        path = ROOT / "dmoe_gym" / part
        files += [path] if path.is_file() else sorted(path.rglob("*.py"))
    aside = [name for name in _ASIDE if not any(name.strip("/") in part.split("/") for part in parts)]
    names = [str(file.relative_to(ROOT)) for file in files]
    return [name for name in names if not any(part in name for part in aside)]


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--count", type=int, default=24, help="changes of every area")
    parser.add_argument("--seconds", type=float, default=_TOGETHER_LIMIT_S, help="of tests that a change is tried with")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--area", choices=AREAS, action="append", help="these areas alone")
    options = parser.parse_args()
    for library in _LIBRARIES:
        importlib.import_module(library)
    excused = tomllib.loads((Path(__file__).parent / "equivalent.toml").read_text())["equivalent"]
    equivalent = {(entry["file"], entry["place"], entry["after"]) for entry in excused}
    rows = []
    for area in options.area or AREAS:
        product, folders = AREAS[area]
        tests = [
            path
            for folder in folders
            for path in sorted((ROOT / "tests" / folder).rglob("test_*.py"))
            if "render" not in path.name
        ]
        _load(tests)
        reached = [_reached(str(path.relative_to(ROOT))) for path in tests]
        print(f"{area}: {sum(len(found['passed']) for found in reached)} tests", flush=True)
        mutants = drawn(ROOT, _files(product), options.count, f"{options.seed} {area}")
        telling = [each for each in mutants if (each.file, each.place, each.after) not in equivalent]
        unsound: set[str] = set()
        while True:
            verdicts = [_verdict(mutant, reached, unsound, options.seconds) for mutant in telling]
            more = _unsound({by for verdict, by in verdicts if verdict == _KILLED and by})
            if not more:
                break
            unsound |= more
        counts = Counter(verdict for verdict, _ in verdicts)
        counts["equivalent"] = len(mutants) - len(telling)
        for mutant, (verdict, _) in zip(telling, verdicts, strict=True):
            if verdict != _KILLED:
                print(f"{verdict}: {mutant.name}", flush=True)
        rows.append((area, counts))
        print(f"{area}: {dict(counts)}", flush=True)
    print("\n| area | changes | equivalent | noticed | not noticed |\n|---|---|---|---|---|")
    total: Counter[str] = Counter()
    for area, counts in [*rows, ("all", total)]:
        total += counts if area != "all" else Counter()
        missed = counts[_SURVIVED] + counts[_UNREACHED]
        print(f"| {area} | {sum(counts.values())} | {counts['equivalent']} | {counts[_KILLED]} | {missed} |")
    telling = total[_KILLED] + total[_SURVIVED] + total[_UNREACHED]
    print(f"\n{total[_KILLED]} of {telling} noticed ({100 * total[_KILLED] / max(telling, 1):.1f} %)")


if __name__ == "__main__":
    main()

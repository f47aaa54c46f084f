"""The shape of the house in numbers: `python tests/house/house.py` prints them, `test_house.py` holds them.

Product code is what stands in PRODUCT; tests, benchmarks and examples are not counted.
"""

from __future__ import annotations

import ast
import inspect
import sys
import tomllib
from collections.abc import Callable, Iterator
from pathlib import Path
from types import FunctionType
from typing import Any

ROOT = Path(__file__).parents[2]
PRODUCT = ("dmoe_gym", "agents", "baselines", "experiments", "dmoe_gym_tools")
LONGEST_FILE = 400


def product_files() -> list[Path]:
    """Every Python file of the product."""
    return sorted(file for folder in PRODUCT for file in (ROOT / folder).rglob("*.py"))


def lines_of(file: Path) -> int:
    """How many lines a file has."""
    return len(file.read_text().splitlines())


def entry_points() -> list[str]:
    """What `python -m` starts: packages with a `__main__`, and modules that run when they are started."""
    starts = []
    for file in product_files():
        name = ".".join(file.relative_to(ROOT).with_suffix("").parts)
        if file.stem == "__main__":
            starts.append(name.removesuffix(".__main__"))
        elif 'if __name__ == "__main__":' in file.read_text():
            starts.append(name)
    return starts


def ignored_imports() -> list[str]:
    """Exceptions from the import contracts."""
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
    return [line for contract in contracts for line in contract.get("ignore_imports", ())]


def late_imports() -> list[str]:
    """Imports of the product's own modules inside functions."""
    found = []
    for file in product_files():
        for function in ast.walk(ast.parse(file.read_text())):
            if isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef):
                found += [
                    f"{file.relative_to(ROOT)}:{node.lineno}" for node in ast.walk(function) if _imports_product(node)
                ]
    return found


def _imports_product(node: ast.AST) -> bool:
    if isinstance(node, ast.Import):
        return any(alias.name.split(".")[0] in PRODUCT for alias in node.names)
    return isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] in PRODUCT


def calls_of(function: Callable[[], Any]) -> Iterator[list[str]]:
    """The stack of Python functions, outermost first, at every call that a function makes; without its own."""
    stacks: list[list[str]] = []
    stack: list[str] = []

    def watch(frame: Any, event: str, _: Any) -> None:
        if event == "call":
            stack.append(f"{frame.f_code.co_filename}:{frame.f_code.co_qualname}")
            stacks.append(list(stack))
        elif event == "return" and stack:
            stack.pop()

    sys.setprofile(watch)
    try:
        function()
    finally:
        sys.setprofile(None)
    # the first is `function` itself
    yield from (each[1:] for each in stacks if len(each) > 1)


def frames_to_kernel() -> list[str]:
    """The Python functions from a policy's `predict` to JESA's compiled loop, which is the last."""
    import dmoe_gym  # noqa: F401  registers the environments
    from dmoe_gym.dmoe import scenario
    from dmoe_gym.dmoe.policies import JESA, JointPolicy
    from dmoe_gym.registration import create_core

    core = create_core("DMoE-JESA-v0", 2, "small", {})
    core.start(core.all_rows)
    policy = JointPolicy(JESA(scenario("small")))
    policy.predict(core.observations)  # compiled
    stacks = list(calls_of(lambda: policy.predict(core.observations)))
    names = [[each.rpartition(":")[2] for each in stack] for stack in stacks]
    return next(stack for stack in names if stack[-1] == "jesa_batch")


def files_to_joule() -> list[str]:
    """The files from an action of `DMoE-JESA-v0` to its energy; drawing the next round is not counted."""
    from dmoe_gym.compiled.njit import serial_or_parallel
    from dmoe_gym.dmoe.env import base, joint

    passed = {joint.__file__, base.__file__, serial_or_parallel.__code__.co_filename}
    passed |= _compiled_under(joint.apply_joint) | _compiled_under(joint.charge)
    return sorted(str(Path(file).relative_to(ROOT)) for file in passed)


def _compiled_under(function: Any) -> set[str]:
    """Files of what a compiled function calls by name, itself included."""
    seen: set[FunctionType] = set()
    waiting = [function]
    while waiting:
        plain = inspect.unwrap(getattr(waiting[-1], "py_func", waiting[-1]))
        waiting.pop()
        if isinstance(plain, FunctionType) and plain not in seen:
            seen.add(plain)
            named = (plain.__globals__.get(name) for name in plain.__code__.co_names)
            waiting += [each for each in named if hasattr(each, "py_func") or isinstance(each, FunctionType)]
    return {function.__code__.co_filename for function in seen}


def files_to_row() -> list[str]:
    """The files from a recipe to its row in docs/results.md: what training and the tables import of `agents` and
    `experiments`, one from the other; the kinds of networks, of which a recipe names one, and packages are not counted.
    """
    passed: set[Path] = set()
    waiting = [ROOT / "agents" / "train.py", ROOT / "experiments" / "results" / "show.py"]
    while waiting:
        file = waiting.pop()
        if file not in passed:
            passed.add(file)
            waiting += [found for found in map(_file_of, _imported(file)) if found is not None]
    return sorted(str(file.relative_to(ROOT)) for file in passed)


def _imported(file: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.ImportFrom) and node.module:
            yield node.module


def _file_of(module: str) -> Path | None:
    if not module.startswith(("agents.", "experiments.")) or module.startswith("agents.networks"):
        return None
    file = ROOT.joinpath(*module.split(".")).with_suffix(".py")
    return file if file.is_file() else None


def main() -> None:
    """Print the counts."""
    files = product_files()
    longest = max(files, key=lines_of)
    print(f"product code: {sum(map(lines_of, files)):,} lines in {len(files)} files")
    print(f"longest file: {longest.relative_to(ROOT)}, {lines_of(longest)} lines")
    for what, found in (
        ("commands behind python -m", entry_points()),
        ("exceptions from import contracts", ignored_imports()),
        ("own modules imported inside functions", late_imports()),
        ("frames from predict to JESA's kernel", frames_to_kernel()),
        ("files from action to joule", files_to_joule()),
        ("files from a recipe to its row", files_to_row()),
    ):
        print(f"{what}: {len(found)}" + "".join(f"\n    {each}" for each in found))


if __name__ == "__main__":
    main()

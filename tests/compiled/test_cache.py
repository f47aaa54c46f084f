"""Compiled code on disk: what it covers, and what happens when the files are damaged, missing or written at once.

A package of three small modules stands for the suite: the real cache, a function, and what the function calls.
"""

from __future__ import annotations

import os
import pickle
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

COMPILED = Path(__file__).parents[2] / "dmoe_gym" / "compiled"
CALLEE = """
from dmoe_gym.compiled.njit import njit
FACTOR = 2.0
@njit
def scaled(value):
    return FACTOR * value
"""
KERNEL = """
{imports}
from dmoe_gym.compiled.njit import njit
@njit
def kernel(values):
    total = 0.0
    for value in values:
        total += {scaled}(value) + {factor}
    return total
@njit
def other(value):
    return value + 1
"""
PROGRAM = """
import numpy as np
from dmoe_gym.kernel import kernel, other
print(kernel(np.arange(4.0)), other(1.0), sum(kernel.stats.cache_hits.values()))
"""
IMPORTS = {
    "from a module": ("from dmoe_gym.callee import scaled, FACTOR", "scaled", "FACTOR"),
    "in brackets": ("from dmoe_gym.callee import (\n    FACTOR,  # a comment\n    scaled as by,\n)", "by", "FACTOR"),
    "from the package": ("from dmoe_gym import callee", "callee.scaled", "callee.FACTOR"),
    "as a module": ("import dmoe_gym.callee as callee", "callee.scaled", "callee.FACTOR"),
    "by way of another": ("from dmoe_gym.between import scaled, FACTOR", "scaled", "FACTOR"),
}


@pytest.fixture
def suite(tmp_path: Path) -> Path:
    package = tmp_path / "dmoe_gym"
    (package / "compiled").mkdir(parents=True)
    for name in ("__init__.py", "cache.py", "forks.py", "njit.py", "sources.py"):
        shutil.copy(COMPILED / name, package / "compiled")
    (package / "__init__.py").touch()
    (package / "callee.py").write_text(CALLEE)
    (package / "between.py").write_text("from dmoe_gym.callee import FACTOR, scaled\n")
    write_kernel(package, "from a module")
    return tmp_path


def write_kernel(package: Path, how: str) -> None:
    imports, scaled, factor = IMPORTS[how]
    (package / "kernel.py").write_text(KERNEL.format(imports=imports, scaled=scaled, factor=factor))


def start(suite: Path, program: str = PROGRAM, **environment: str) -> subprocess.Popen:
    # sources written just now must look older than the process that reads them
    for file in (suite / "dmoe_gym").rglob("*.py"):
        os.utime(file, (time.time() - 60, time.time() - 60))
    clean = {name: value for name, value in os.environ.items() if not name.startswith("NUMBA_")}
    return subprocess.Popen(
        [sys.executable, "-B", "-c", program],
        env={**clean, "PYTHONPATH": str(suite), "NUMBA_CACHE_DIR": str(suite / "cache"), **environment},
        cwd=suite,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def finish(process: subprocess.Popen) -> tuple[float, float, int, str]:
    """The kernel's value, the other's, how many overloads of the kernel came from disk, and the error output."""
    output, errors = process.communicate(timeout=600)
    assert process.returncode == 0, errors
    value, other, hits = output.split()
    return float(value), float(other), int(hits), errors


def run(suite: Path, program: str = PROGRAM, **environment: str) -> tuple[float, float, int, str]:
    return finish(start(suite, program, **environment))


def test_a_second_process_compiles_nothing_and_says_nothing(suite):
    value, other, hits, errors = run(suite)
    assert (value, other, hits) == (20.0, 2.0, 0)
    assert errors.count("compiling for this machine") == 1
    assert run(suite) == (20.0, 2.0, 1, "")


@pytest.mark.parametrize("how", IMPORTS)
def test_an_edited_callee_or_constant_elsewhere_is_compiled_anew(suite, how):
    write_kernel(suite / "dmoe_gym", how)
    assert run(suite)[0] == 20.0
    callee = suite / "dmoe_gym" / "callee.py"
    callee.write_text(CALLEE.replace("2.0", "3.0"))
    assert run(suite)[0] == 30.0
    callee.write_text(CALLEE.replace("FACTOR * value", "value - FACTOR"))
    assert run(suite)[0] == 6.0
    # and what was compiled first is still there
    callee.write_text(CALLEE)
    assert run(suite)[::2] == (20.0, 1)


def test_what_cannot_be_compiled_may_change(suite):
    package = suite / "dmoe_gym"
    plain = "from dmoe_gym.settings import Settings\ndef plain(settings: Settings) -> float:\n    return {value}\n"
    (package / "settings.py").write_text("class Settings:\n    value = 1\n")
    (package / "callee.py").write_text(CALLEE + plain.format(value=1))
    assert run(suite)[::2] == (20.0, 0)
    (package / "settings.py").write_text("class Settings:\n    value = 2\n")
    (package / "callee.py").write_text(
        '"""What it is."""\n' + CALLEE.replace("    return", "    # why\n    return") + plain.format(value=2)
    )
    assert run(suite)[::2] == (20.0, 1)
    # what a statement of the module calls decides a constant
    called = "def plain():\n    return {value}\nFACTOR = plain()"
    (package / "callee.py").write_text(CALLEE.replace("FACTOR = 2.0", called.format(value=2.0)))
    assert run(suite)[0] == 20.0
    (package / "callee.py").write_text(CALLEE.replace("FACTOR = 2.0", called.format(value=3.0)))
    assert run(suite)[0] == 30.0


def test_what_decides_a_constant_is_covered_however_far_away(suite):
    """A constant made by a plain function of another module that calls a further one; and a name handed on by a module
    that uses it itself where nothing is compiled."""
    package = suite / "dmoe_gym"
    callee = CALLEE.replace("FACTOR = 2.0", "from dmoe_gym.maker import make\nFACTOR = make()")
    maker = "def make():\n    return inner()\ndef inner():\n    return {value}\n"
    between = "from dmoe_gym.callee import FACTOR, scaled\ndef plain():\n    return FACTOR, scaled\n"
    (package / "callee.py").write_text(callee)
    (package / "maker.py").write_text(maker.format(value=2.0))
    (package / "between.py").write_text(between)
    write_kernel(package, "by way of another")
    assert run(suite)[::2] == (20.0, 0)
    assert run(suite)[::2] == (20.0, 1)
    (package / "maker.py").write_text(maker.format(value=3.0))
    assert run(suite)[0] == 30.0


def test_fields_of_a_tuple_in_another_order_are_another_type(suite):
    package = suite / "dmoe_gym"
    kernel = "from dmoe_gym.compiled.njit import njit\n@njit\ndef kernel(pair):\n    return pair.first\n"
    pair = "from typing import NamedTuple\nclass Pair(NamedTuple):\n    {0}: float\n    {1}: float\n"
    (package / "kernel.py").write_text(kernel + "@njit\ndef other(value):\n    return value + 1\n")
    program = PROGRAM.replace("np.arange(4.0)", "pair.Pair(1.0, 2.0)").replace(
        "import numpy", "from dmoe_gym import pair\nimport numpy"
    )
    for order, value in ((("first", "second"), 1.0), (("second", "first"), 2.0)):
        (package / "pair.py").write_text(pair.format(*order))
        assert run(suite, program=program)[0] == value


@pytest.mark.parametrize("kind", ["nbi", "nbc"])
def test_damaged_files_are_compiled_anew_and_mended(suite, kind):
    run(suite)
    files = list((suite / "cache").rglob(f"*.{kind}"))
    assert files
    whole = {file: file.read_bytes() for file in files}
    for damage in (
        lambda content: content[: len(content) // 2],
        lambda content: b"",
        lambda content: b"no pickle at all",
        lambda content: pickle.dumps({"an": "object"}),
        lambda content: content[:-40] + bytes(40),
    ):
        for file, content in whole.items():
            file.write_bytes(damage(content))
        assert run(suite)[:2] == (20.0, 2.0)
        assert run(suite)[:3] == (20.0, 2.0, 1)


def test_code_of_another_signature_is_not_called(suite):
    """As two processes can leave it: the index of one, the code of the other."""
    run(suite)
    (data,) = (suite / "cache").rglob("kernel.other*.nbc")
    (kernel,) = (suite / "cache").rglob("kernel.kernel*.nbc")
    shutil.copy(kernel, data)
    assert run(suite)[:2] == (20.0, 2.0)


def test_where_nothing_can_be_written_it_still_runs(suite):
    (suite / "file").touch()
    value, _, _, errors = run(suite, NUMBA_CACHE_DIR=str(suite / "file" / "cache"))
    assert value == 20.0
    assert errors.count("NUMBA_CACHE_DIR") == 1


def test_options_that_change_code_have_a_cache_of_their_own(suite):
    run(suite)
    assert run(suite, NUMBA_BOUNDSCHECK="1")[2] == 0
    assert run(suite, NUMBA_NUM_THREADS="1")[2] == 1


def test_processes_that_compile_at_once(suite):
    together = [start(suite) for _ in range(3)]
    assert [finish(process)[:2] for process in together] == [(20.0, 2.0)] * 3
    assert run(suite) == (20.0, 2.0, 1, "")


def test_what_was_not_used_for_a_month_goes_when_its_module_is_compiled_anew(suite):
    run(suite)
    (old,) = (suite / "cache").glob("dmoe_gym.kernel-*")
    callee = suite / "dmoe_gym" / "callee.py"
    callee.write_text(CALLEE.replace("2.0", "3.0"))
    run(suite)
    assert old.is_dir()
    for file in old.iterdir():
        os.utime(file, (time.time() - 40 * 86400,) * 2)
    callee.write_text(CALLEE.replace("2.0", "4.0"))
    run(suite)
    assert not old.is_dir()


def test_sources_edited_while_a_process_runs_are_not_kept_for_others(suite):
    """It may hold a module as it was before the edit."""
    program = (
        "import os, time, dmoe_gym.callee\\n"
        "from pathlib import Path\\n"
        "path = Path(dmoe_gym.callee.__file__)\\n"
        "path.write_text(path.read_text().replace('2.0', '3.0'))\\n"
        "os.utime(path, (time.time() + 1,) * 2)\\n"
    )
    clean = {**os.environ, "PYTHONPATH": str(suite), "NUMBA_CACHE_DIR": str(suite / "cache")}
    output = subprocess.run(
        [sys.executable, "-B", "-c", program.replace("\\n", "\n") + PROGRAM],
        env=clean, cwd=suite, capture_output=True, text=True, check=True, timeout=600,
    ).stdout  # fmt: skip
    assert output.startswith("20.0")
    assert run(suite)[0] == 30.0

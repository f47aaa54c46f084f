"""The runner: nothing is computed twice or lost, what fails names itself, pages are written where told."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar

import pytest
from matplotlib.figure import Figure
from typer.testing import CliRunner

from experiments import __main__ as command_line
from experiments.page import Page, signed
from experiments.runner import Experiment, Piece, Runner

cli = CliRunner()
PAGE = "before\n<!-- squares begins -->\n\nold\n\n<!-- squares ends -->\nafter\n"


def square(number: int, log: str) -> int:
    """The square, and a line in a log; stopping as Ctrl-C does, or failing, where a file beside the log says so."""
    if _trouble(log, "stop") == number:
        raise KeyboardInterrupt
    if _trouble(log, "fail") == number:
        raise ZeroDivisionError("no such square")
    with open(log, "a") as file:
        file.write(f"{number}\n")
    return number**2


def _trouble(log: str, kind: str) -> int | None:
    file = Path(log).with_suffix(f".{kind}")
    return int(file.read_text()) if file.is_file() else None


class Squares(Experiment):
    name: ClassVar[str] = "squares"
    about: ClassVar[str] = "squares of numbers"
    places: ClassVar[tuple[str, ...]] = ("docs/squares.md",)

    log: str
    count: int = 5
    further: int = 0

    def pieces(self) -> list[Piece]:
        return [Piece(square, self._key(number)) for number in range(self.count)]

    def further_pieces(self, values: Sequence[Any]) -> list[Piece]:
        return [Piece(square, self._key(max(values) + number)) for number in range(self.further)]

    def page(self, values: Sequence[Any]) -> Page:
        text = ", ".join(map(str, values))
        picture = Figure(figsize=(1, 1))
        return Page({("docs/squares.md", "squares"): text}, {"docs/images/s.png": picture}, {"data/s.txt": text})

    def _key(self, number: int) -> dict[str, Any]:
        return {"number": number, "log": self.log}


@pytest.fixture
def log(tmp_path: Path) -> Path:
    return tmp_path / "log.txt"


def _computed(log: Path) -> list[int]:
    return sorted(map(int, log.read_text().split())) if log.is_file() else []


def test_after_an_interrupt_nothing_is_lost_and_nothing_computed_twice(tmp_path: Path, log: Path) -> None:
    runner = Runner(tmp_path / "cache")
    log.with_suffix(".stop").write_text("3")
    with pytest.raises(KeyboardInterrupt, match=r"3 of 5 pieces are kept.*python -m experiments run squares"):
        runner.run(Squares(log=str(log)))
    log.with_suffix(".stop").unlink()
    assert _computed(log) == [0, 1, 2]
    assert len(runner.missing(Squares(log=str(log)))) == 2
    # another process goes on
    again = Runner(tmp_path / "cache")
    assert again.run(Squares(log=str(log))) == 0
    assert again.run(Squares(log=str(log))) == 0
    assert _computed(log) == [0, 1, 2, 3, 4]
    assert again.values(Squares(log=str(log))) == [0, 1, 4, 9, 16]


def test_a_changed_key_is_computed_anew_and_others_are_not(tmp_path: Path, log: Path) -> None:
    runner = Runner(tmp_path / "cache")
    runner.run(Squares(log=str(log), count=2))
    assert runner.run(Squares(log=str(log), count=4), at_most=1) == 1
    assert _computed(log) == [0, 1, 2]
    runner.run(Squares(log=str(log), count=2), fresh=True)
    assert _computed(log) == [0, 0, 1, 1, 2]


def test_in_processes_as_in_one(tmp_path: Path, log: Path) -> None:
    experiment = Squares(log=str(log), count=4)
    runner = Runner(tmp_path / "cache", jobs=2)
    assert runner.run(experiment) == 0
    assert runner.values(experiment) == [0, 1, 4, 9]
    assert _computed(log) == [0, 1, 2, 3]


def test_a_piece_that_fails_names_itself_and_stops_no_other(tmp_path: Path, log: Path) -> None:
    runner = Runner(tmp_path / "cache")
    log.with_suffix(".fail").write_text("1")
    with pytest.raises(ValueError, match=r"1 pieces failed: number = 1, .*ZeroDivisionError: no such square") as failed:
        runner.run(Squares(log=str(log)))
    assert "\n" not in str(failed.value)
    assert "Traceback" in (tmp_path / "cache" / "squares-failures.txt").read_text()
    assert _computed(log) == [0, 2, 3, 4]
    with pytest.raises(ValueError, match=r"1 of 5 pieces are not there; `python -m experiments run squares`"):
        runner.values(Squares(log=str(log)))


def test_further_pieces_follow_from_the_values_of_the_first(tmp_path: Path, log: Path) -> None:
    experiment = Squares(log=str(log), count=3, further=2)
    runner = Runner(tmp_path / "cache")
    assert len(runner.missing(experiment)) == 3  # what follows is not known yet
    assert runner.run(experiment) == 0
    assert runner.values(experiment) == [0, 1, 4, 16, 25]


def test_a_value_that_was_cut_off_is_computed_again(tmp_path: Path, log: Path) -> None:
    experiment = Squares(log=str(log), count=1)
    Runner(tmp_path / "cache").run(experiment)
    (kept,) = (tmp_path / "cache").rglob("output.pkl")
    kept.write_bytes(kept.read_bytes()[:10])
    assert Runner(tmp_path / "cache").values(experiment) == [0]
    assert _computed(log) == [0, 0]


def test_what_is_kept_says_at_which_commit_it_was_made(tmp_path: Path, log: Path) -> None:
    experiment = Squares(log=str(log), count=3)
    runner = Runner(tmp_path / "cache")
    runner.run(experiment)
    (made,) = runner.made(experiment)
    assert len(made["git_commit"]) == 40 or made["git_commit"] == "unknown"
    page = signed(
        experiment.page([1]),
        "python -m experiments run squares",
        [{"git_commit": "a" * 40, "git_dirty": True}, {"git_commit": "b" * 40, "git_dirty": False}],
    )
    line = "Made by `python -m experiments run squares` at aaaaaaa with changes, bbbbbbb."
    assert page.sections["docs/squares.md", "squares"].endswith(line)


@pytest.fixture
def checkout(tmp_path: Path, log: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a page, from which commands run; the experiment is among the others."""
    monkeypatch.setitem(command_line.EXPERIMENTS, "squares", Squares)
    root = tmp_path / "checkout"
    (root / "docs").mkdir(parents=True)
    (root / "docs" / "squares.md").write_text(PAGE)
    monkeypatch.chdir(root)
    return root


def _files(root: Path) -> set[str]:
    return {str(path.relative_to(root)) for path in root.rglob("*") if path.is_file()}


def test_pages_are_written_only_where_told(checkout: Path, log: Path) -> None:
    options = ["squares", "--set", f"log={log}", "--set", "count=3"]
    result = cli.invoke(command_line.app, ["run", *options])
    assert result.exit_code == 0, result.output
    before = {name for name in _files(checkout) if not name.startswith("output")}
    assert before == {"docs/squares.md"}
    assert cli.invoke(command_line.app, ["pages", *options]).exit_code == 0
    assert {name for name in _files(checkout) if not name.startswith("output")} == before
    assert (checkout / "docs" / "squares.md").read_text() == PAGE
    assert (checkout / "output" / "pages" / "squares" / "squares-squares.md").read_text().startswith("0, 1, 4\n")
    told = cli.invoke(command_line.app, ["pages", *options, "--check", str(checkout)])
    assert told.exit_code == 2
    assert "docs/squares.md, section squares" in told.output
    assert cli.invoke(command_line.app, ["pages", *options, "--into", "."]).exit_code == 0
    text = (checkout / "docs" / "squares.md").read_text()
    assert text.startswith("before\n<!-- squares begins -->\n\n0, 1, 4\n")
    assert text.endswith("<!-- squares ends -->\nafter\n")
    assert (checkout / "docs" / "images" / "s.png").read_bytes().startswith(b"\x89PNG")
    assert (checkout / "data" / "s.txt").read_text() == "0, 1, 4"
    assert cli.invoke(command_line.app, ["pages", *options, "--check", str(checkout)]).exit_code == 0


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["run", "circles"], "experiment = 'circles': valid are"),
        (["run", "squares", "--set", "colour=1"], "unexpected keyword argument 'colour'; valid fields are"),
        (["pages", "squares", "--set", "log=x"], "5 of 5 pieces are not there"),
    ],
)
def test_bad_input_is_one_line(checkout: Path, arguments: list[str], said: str) -> None:
    result = cli.invoke(command_line.app, arguments)
    assert result.exit_code == 2
    assert said in result.stderr
    assert result.stderr.count("\n") == 1


def test_an_interrupt_says_in_one_line_how_to_go_on(checkout: Path, log: Path) -> None:
    log.with_suffix(".stop").write_text("2")
    result = cli.invoke(command_line.app, ["run", "squares", "--set", f"log={log}"])
    assert result.exit_code == 130
    assert "2 of 5 pieces are kept in output/experiments" in result.stderr
    assert result.stderr.count("\n") == 1


def test_every_experiment_is_found_by_its_name_and_its_pages_have_its_places() -> None:
    root = Path(__file__).parent.parent.parent
    for name, kind in command_line.EXPERIMENTS.items():
        assert kind.name == name
        assert kind.about
        # pages must be there with their marks; pictures and files are made
        for place in kind.places:
            assert not place.endswith(".md") or (root / place).is_file(), place

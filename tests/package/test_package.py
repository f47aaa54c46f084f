"""What is installed: one command with everything under it, extras that are named where they are missing, links."""

from __future__ import annotations

import importlib
import re
import sys
import tomllib
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

import dmoe_gym
from agents.config import RECIPES, WEIGHTS, recipe_file, run_folder
from dmoe_gym.facades.single import Window
from dmoe_gym.gating.transmission import BCHCode
from dmoe_gym.io.extras import EXTRAS, needed_for
from dmoe_gym_tools import COMMANDS, main

ROOT = Path(__file__).parents[2]
RELATIVE = re.compile(r"\]\((?!https?:|#|mailto:)|(?:src|href)=\"(?!https?:|#)")


def run(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> int:
    monkeypatch.setattr(sys, "argv", ["dmoe-gym", *arguments])
    try:
        main()
    except SystemExit as ended:
        return int(ended.code or 0)
    return 0


def test_every_command_is_in_the_app_that_it_says(monkeypatch, capsys):
    for name, (package, _) in COMMANDS.items():
        app = importlib.import_module(f"{package}.__main__").app
        known = {each.name or each.callback.__name__ for each in app.registered_commands}
        known |= {group.name for group in app.registered_groups} | {package}
        assert name in known
    assert run(monkeypatch) == 0
    shown = capsys.readouterr().out
    assert all(name in shown for name in COMMANDS)
    assert run(monkeypatch, "--version") == 0
    assert dmoe_gym.__version__ in capsys.readouterr().out


def test_an_unknown_command_is_one_line(monkeypatch, capsys):
    assert run(monkeypatch, "trian", "demo") == 2
    said = capsys.readouterr().err
    assert "'trian' is no command; valid are list, evaluate" in said
    assert said.count("\n") == 1


def test_a_command_acts_as_its_app_does(monkeypatch, capsys):
    assert run(monkeypatch, "evaluate", "DMoE-JESA-v0", "--scenario", "smal") == 2
    assert "scenario = 'smal'" in capsys.readouterr().err
    # without an environment it is trained runs that are evaluated
    assert run(monkeypatch, "evaluate", "nobodys_weights") == 2
    assert "nobodys_weights: is not there, and does not ship; valid are paths, and" in capsys.readouterr().err


def test_recipes_and_weights_that_ship_are_found_from_everywhere(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    for given in ("demo", "demo.yaml", "configs/demo.yaml"):
        found = recipe_file(Path(given)) if given != "demo.yaml" else RECIPES / given
        assert found == RECIPES / "demo.yaml"
    assert run_folder(Path("imitation_ppo_small")) == WEIGHTS / "imitation_ppo_small"
    own = tmp_path / "demo"
    own.write_text("")
    assert recipe_file(Path("demo")) == Path("demo")
    with pytest.raises(ValueError, match=r"nothing: is not there.*demo"):
        recipe_file(Path("nothing"))


@pytest.mark.parametrize(
    ("library", "use"),
    [
        ("komm", BCHCode),
        ("pygame", lambda: Window(5).show(np.zeros((2, 2, 3), np.uint8))),
        ("pettingzoo", dmoe_gym.parallel_env),
        ("ray", lambda: importlib.import_module("ray")),
    ],
)
def test_what_is_missing_is_one_line_that_names_the_extra(monkeypatch, library, use):
    for name in [name for name in sys.modules if name.partition(".")[0] == library]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.delitem(sys.modules, "dmoe_gym.facades.pettingzoo", raising=False)
    monkeypatch.setitem(sys.modules, library, None)
    with (
        pytest.raises(ImportError, match=rf"needs {library}: pip install 'dmoe_gym\[{EXTRAS[library]}\]'"),
        needed_for("it"),
    ):
        use()


def test_what_no_extra_brings_is_not_hidden():
    with pytest.raises(ModuleNotFoundError, match="no_such_module"), needed_for("it"):
        importlib.import_module("no_such_module")


def test_extras_are_those_of_the_package():
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    distributions = {
        "sb3_contrib": "sb3-contrib",
        "stable_baselines3": "stable-baselines3",
        "mo_gymnasium": "mo-gymnasium",
    }
    for library, extra in EXTRAS.items():
        names = {re.split(r"[\[<>=]", one)[0] for one in extras[extra]}
        assert distributions.get(library, library) in names


@pytest.mark.parametrize("home", [None, "https://example.org/somebody/dmoe_gym"])
def test_no_link_of_the_published_readme_leads_nowhere(monkeypatch, home):
    interface = ModuleType("hatchling.metadata.plugin.interface")
    interface.MetadataHookInterface = object
    monkeypatch.setitem(sys.modules, interface.__name__, interface)
    monkeypatch.syspath_prepend(str(ROOT))
    published = importlib.import_module("hatch_build").published
    text = (
        '[a](docs/a.md) ![b](docs/b.png) [c](https://c.org) [d](#d) `[e](f)`\n```\n[g](h)\n```\n<img src="docs/i.png">'
    )
    shown = published(text, home)
    assert "[c](https://c.org) [d](#d) `[e](f)`\n```\n[g](h)\n```" in shown
    assert ("blob/HEAD/docs/a.md" in shown) == ("raw/HEAD/docs/b.png" in shown) == (home is not None)
    readme = published((ROOT / "README.md").read_text(), home)
    prose = re.sub(r"```.*?```|`[^`\n]*`", "", readme, flags=re.DOTALL)
    assert RELATIVE.findall(prose) == []

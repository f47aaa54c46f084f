"""The command `dmoe-gym`: every command of the suite under one name.

In an installed package the folders of the checkout that are no library lie in this one. They keep their names, which
are known in the command's own process alone: nobody else's `agents` is in their way.
"""

from __future__ import annotations

import sys
from importlib import import_module
from pathlib import Path
from typing import NamedTuple, NoReturn

from rich.console import Console
from rich.table import Table

from dmoe_gym import __version__
from dmoe_gym.io.command_line import BAD_INPUT
from dmoe_gym.io.extras import needed_for
from dmoe_gym.registration import ENVIRONMENTS, VIEWS

HERE = Path(__file__).resolve().parent
# Where `agents` and the like are: here, or beside this folder in a checkout.
FOLDER = HERE if (HERE / "agents").is_dir() else HERE.parent


class Command(NamedTuple):
    """A command.

    Attributes:
        package: whose app has it.
        about: what it is for.
    """

    package: str
    about: str


COMMANDS = {
    "list": Command("baselines", "environments, their scenarios, schedulers and bounds"),
    "evaluate": Command("baselines", "schedulers, policies of your own or trained ones on the same episodes"),
    "compare": Command("baselines", "files that `evaluate` wrote, paired by episode"),
    "train": Command("agents", "a recipe: one that ships, by its name, or a YAML file of yours"),
    "sweep": Command("agents", "recipes x seeds, several at a time"),
    "study": Command("agents", "search a recipe's hyperparameters"),
    "export": Command("agents", "trained weights as files that run no code"),
    "demo": Command("agents", "schedulers, a short training run, a report"),
    "leaderboard": Command("baselines", "a policy on the frozen tasks, as a file that can be checked"),
    "compile": Command("dmoe_gym", "ahead, what environments would compile at their first use"),
    "record": Command("dmoe_gym", "gate scores of a Hugging Face model, as a trace"),
    "train-gating": Command("dmoe_gym", "a gated model of ChannelAwareGating-v0"),
    "time": Command("experiments", "processor time per decision, learned beside analytic"),
    "experiments": Command("experiments", "for maintainers: published tables, pages, traces and models"),
}


def main() -> None:
    """Hand the command line to the app that has the command."""
    arguments = sys.argv[1:]
    # before a command stands at most --import MODULE
    before = zip(["", *arguments], arguments, strict=False)
    name = next((word for last, word in before if not word.startswith("-") and last != "--import"), None)
    if name is None:
        print(f"dmoe-gym {__version__}") if "--version" in arguments else _show_help()
        return
    if name not in COMMANDS:
        _refuse(f"{name!r} is no command; valid are {', '.join(COMMANDS)}")
    package = COMMANDS[name].package
    if name == "evaluate" and not any(word in ENVIRONMENTS or word in VIEWS for word in arguments):
        package = "agents"  # trained runs, which know their environment
    sys.path.insert(0, str(FOLDER))
    try:
        with needed_for(f"dmoe-gym {name}", None if package == "dmoe_gym" else "train"):
            app = import_module(f"{package}.__main__").app
    except ImportError as error:
        _refuse(str(error))
    if name == package:
        app(arguments[1:], prog_name=f"dmoe-gym {name}")
    app(arguments, prog_name="dmoe-gym")


def _refuse(said: str) -> NoReturn:
    Console(stderr=True, soft_wrap=True, highlight=False).print(f"error: {said}", markup=False)
    raise SystemExit(BAD_INPUT)


def _show_help() -> None:
    table = Table("command", "what for", box=None, header_style="bold")
    for name, command in COMMANDS.items():
        table.add_row(name, command.about)
    console = Console()
    console.print("dmoe-gym COMMAND ...; `dmoe-gym COMMAND --help` says more", highlight=False)
    console.print(table)

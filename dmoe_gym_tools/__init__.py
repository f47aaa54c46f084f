"""The command `dmoe-gym`: every command of the suite under one name.

In an installed package the folders of the checkout that are no library lie in this one. They keep their names, which
are known in the command's own process alone: nobody else's `agents` is in their way.
"""

from __future__ import annotations

import sys
from importlib import import_module
from pathlib import Path
from typing import NoReturn

from rich.console import Console
from rich.table import Table

from dmoe_gym import __version__
from dmoe_gym.io.command_line import BAD_INPUT
from dmoe_gym.io.extras import needed_for
from dmoe_gym.registration import ENVIRONMENTS, VIEWS

HERE = Path(__file__).resolve().parent
# Where `agents` and the like are: here, or beside this folder in a checkout.
FOLDER = HERE if (HERE / "agents").is_dir() else HERE.parent


# whose app has a command, and what it is for
COMMANDS = {
    "list": ("baselines", "environments, their scenarios, schedulers and bounds"),
    "evaluate": ("baselines", "schedulers, policies of your own or trained ones on the same episodes"),
    "compare": ("baselines", "files that `evaluate` wrote, paired by episode"),
    "train": ("agents", "a recipe: one that ships, by its name, or a YAML file of yours"),
    "sweep": ("agents", "recipes x seeds, several at a time"),
    "study": ("agents", "search a recipe's hyperparameters"),
    "export": ("agents", "trained weights as files that run no code"),
    "demo": ("agents", "schedulers, a short training run, a report"),
    "leaderboard": ("baselines", "a policy on the frozen tasks, as a file that can be checked"),
    "compile": ("dmoe_gym", "ahead, what environments would compile at their first use"),
    "record": ("dmoe_gym", "gate scores of a Hugging Face model, as a trace"),
    "train-gating": ("dmoe_gym", "a gated model of ChannelAwareGating-v0"),
    "time": ("experiments", "processor time per decision, learned beside analytic"),
    "experiments": ("experiments", "for maintainers: published tables, pages, traces and models"),
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
    package, _ = COMMANDS[name]
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
    for name, (_, about) in COMMANDS.items():
        table.add_row(name, about)
    console = Console()
    console.print("dmoe-gym COMMAND ...; `dmoe-gym COMMAND --help` says more", highlight=False)
    console.print(table)

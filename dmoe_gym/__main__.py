"""`python -m dmoe_gym`: record gate scores, train the models that environments run on."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module

import typer

from dmoe_gym.io.command_line import one_line_errors

COMMANDS = {
    "record": "dmoe_gym.recorders.huggingface:record_huggingface",
    "record-digits": "dmoe_gym.recorders.digits:record_digits_command",
    "record-language": "dmoe_gym.recorders.language:record_language_command",
    "train-gating": "dmoe_gym.gating.command:train_gating",
    "train-language": "dmoe_gym.models.language.train:train_language",
}


def _command(target: str) -> Callable[..., None]:
    """The command of a module; where an optional library is missing, one that says which extra brings it."""
    module, _, name = target.partition(":")
    try:
        return getattr(import_module(module), name)
    except ImportError as error:
        missing = str(error)

    @one_line_errors
    def unavailable() -> None:
        """Needs libraries that are not installed: pip install 'dmoe_gym[train,record]'."""
        raise ImportError(f"{missing}: pip install 'dmoe_gym[train,record]'")

    return unavailable


app = typer.Typer(help=__doc__, no_args_is_help=True, add_completion=False)
for _name, _target in COMMANDS.items():
    app.command(_name)(_command(_target))

if __name__ == "__main__":
    app(prog_name="python -m dmoe_gym")

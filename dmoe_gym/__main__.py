"""`python -m dmoe_gym`: record gate scores, train the models that come with the package."""

from __future__ import annotations

import typer

from dmoe_gym.gating.command import train_gating
from dmoe_gym.models.language.train import train_language
from dmoe_gym.recorders.digits import record_digits_command
from dmoe_gym.recorders.huggingface import record_huggingface
from dmoe_gym.recorders.language import record_language_command

app = typer.Typer(help=__doc__, no_args_is_help=True, add_completion=False)
app.command("record-digits")(record_digits_command)
app.command("record-language")(record_language_command)
app.command("record")(record_huggingface)
app.command("train-gating")(train_gating)
app.command("train-language")(train_language)

if __name__ == "__main__":
    app(prog_name="python -m dmoe_gym")

"""`python -m dmoe_gym.recorders`: record the gate scores of a real model as a trace."""

from __future__ import annotations

import typer

from dmoe_gym.recorders import digits, huggingface

app = typer.Typer(no_args_is_help=True, add_completion=False, help=__doc__)
app.command("digits")(digits.main)
app.command("huggingface")(huggingface.main)

if __name__ == "__main__":
    app(prog_name="python -m dmoe_gym.recorders")

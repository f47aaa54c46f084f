"""`python -m dmoe_gym`: compile ahead, record gate scores, train a gated model."""

from __future__ import annotations

import typer

from dmoe_gym.io.command_line import command_at

app = typer.Typer(help=__doc__, no_args_is_help=True, add_completion=False)
for _name, _place in {
    "compile": "dmoe_gym.evaluation.ahead:compile_command",
    "record": "dmoe_gym.recorders.huggingface:record_huggingface",
    "train-gating": "dmoe_gym.gating.command:train_gating",
}.items():
    app.command(_name)(command_at(_place))

if __name__ == "__main__":
    app(prog_name="python -m dmoe_gym")

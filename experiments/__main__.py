"""`python -m experiments`: what makes the published tables and pictures, and the traces and models that ship."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Annotated

import typer

from dmoe_gym.io.command_line import bar, command_at, one_line_errors, overrides_of, told_command, wide_console
from experiments.asymptotics import Asymptotics
from experiments.fronts import Fronts
from experiments.gating.accuracies import GatingNetworks, GatingTuning
from experiments.gating.sweep import Gating
from experiments.images import Images
from experiments.inference import Inference
from experiments.language_claims import LanguageClaims
from experiments.learned_answers import LearnedAnswers
from experiments.mismatch import Mismatch
from experiments.models import DigitsModel, LanguageModel
from experiments.nodes import Nodes
from experiments.page import signed
from experiments.results.show import Results
from experiments.results.store import Learned, References
from experiments.results.times import time
from experiments.runner import CACHE, Experiment, Runner
from experiments.shipped import Optima, Strongest, Tuning
from experiments.wdmoe import WDMoE
from experiments.wdmoe_inference import WDMoEInference

EXPERIMENTS: dict[str, type[Experiment]] = {
    kind.name: kind
    for kind in (
        Results,
        Learned,
        References,
        WDMoE,
        Inference,
        LanguageClaims,
        WDMoEInference,
        Gating,
        Asymptotics,
        Tuning,
        Nodes,
        Fronts,
        Strongest,
        Mismatch,
        LearnedAnswers,
        Images,
        Optima,
        GatingTuning,
        GatingNetworks,
        DigitsModel,
        LanguageModel,
    )
}


def named(name: str) -> type[Experiment]:
    """The experiment of a name.

    Raises:
        ValueError: for an unknown one.
    """
    if name not in EXPERIMENTS:
        raise ValueError(f"experiment = {name!r}: valid are {', '.join(EXPERIMENTS)}")
    return EXPERIMENTS[name]


app = typer.Typer(help=__doc__, no_args_is_help=True, add_completion=False)
app.command()(time)
for _name, _place in {
    "record-digits": "dmoe_gym.recorders.own:record_digits_command",
    "record-language": "dmoe_gym.recorders.own:record_language_command",
    "train-language": "dmoe_gym.models.language.training:train_language",
}.items():
    app.command(_name)(command_at(_place))
Cache = Annotated[Path, typer.Option(help="Where the values of finished pieces are kept.")]
Settings = Annotated[
    list[str] | None, typer.Option("--set", help="A field of the experiment, e.g. --set episodes=50. Repeatable.")
]


@app.command("list")
@one_line_errors
def list_experiments(cache: Cache = CACHE) -> None:
    """The experiments, how far each is, and what it makes."""
    console, runner = wide_console(), Runner(cache)
    for kind in EXPERIMENTS.values():
        experiment = kind()
        pieces = experiment.pieces()
        kept = sum(map(runner.has, pieces))
        console.print(f"[bold]{kind.name}[/]: {kind.about} ({kept} of {len(pieces)} pieces)", soft_wrap=True)
        console.print(f"  makes {', '.join(kind.places)}", markup=False, highlight=False, soft_wrap=True)


@app.command()
@one_line_errors
def run(
    name: Annotated[str, typer.Argument(help="An experiment; `list` names them.")],
    override: Settings = None,
    jobs: Annotated[int, typer.Option(help="Processes; -1 is one per core.")] = 1,
    at_most: Annotated[
        int | None, typer.Option(min=1, help="Stop after so many pieces; the same command goes on from there.")
    ] = None,
    fresh: Annotated[bool, typer.Option("--fresh", help="Forget what is kept of this experiment first.")] = False,
    cache: Cache = CACHE,
) -> None:
    """Compute an experiment's pieces that are not kept yet; after Ctrl-C the same command goes on."""
    console = wide_console()
    experiment = named(name)(**overrides_of(override or []))
    with bar(console) as bars:
        left = Runner(cache, jobs, bars, told_command()).run(experiment, at_most, fresh)
    console.print(f"{left} pieces are left; the same command goes on" if left else f"`pages {name}` shows it")


@app.command()
@one_line_errors
def pages(
    name: Annotated[list[str] | None, typer.Argument(help="Experiments; all that are finished by default.")] = None,
    override: Settings = None,
    into: Annotated[Path | None, typer.Option(help="A checkout whose pages, pictures and files are replaced.")] = None,
    check: Annotated[
        Path | None, typer.Option(help="Write nothing: say what differs in this checkout, pictures left aside.")
    ] = None,
    output: Annotated[Path, typer.Option(help="Where everything goes without --into.")] = Path("output/pages"),
    cache: Cache = CACHE,
) -> None:
    """Tables and pictures of finished experiments: shown in OUTPUT, and put into a checkout where --into names it."""
    console, runner = wide_console(), Runner(cache)
    differing = []
    for one in name or EXPERIMENTS:
        experiment = named(one)(**overrides_of(override or []))
        if not name and runner.missing(experiment):
            console.print(f"{one}: not finished, `python -m experiments run {one}`", markup=False)
            continue
        page = signed(experiment.page(runner.values(experiment)), command_of(experiment), runner.made(experiment))
        if check is not None:
            differing += [f"{one}: {place}" for place in page.differences(check)]
            continue
        written = page.preview(output / one) if into is None else page.write(into)
        console.print(f"{one}: {', '.join(map(str, written))}", markup=False, highlight=False, soft_wrap=True)
    if differing:
        raise ValueError(f"{check} differs in {'; '.join(differing)}")


def command_of(experiment: Experiment) -> str:
    """What makes an experiment of these options."""
    changed = experiment.model_dump(mode="json", exclude_defaults=True)
    options = [part for key, value in changed.items() for part in ("--set", f"{key}={value}")]
    verb = "run" if experiment.pieces() else "pages"
    return shlex.join(["python", "-m", "experiments", verb, experiment.name, *options])


if __name__ == "__main__":
    app(prog_name="python -m experiments")

"""The accuracy experiment as one command: `python -m dmoe_gym.gating.experiment --help`."""

from __future__ import annotations

import json
import platform
import shlex
import sys
import time
from importlib.metadata import version
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from dmoe_gym.command_line import overrides_of
from dmoe_gym.gating.files import write_whole
from dmoe_gym.gating.plots import accuracy_figure, gain_figure, png
from dmoe_gym.gating.report import results_markdown, to_csv
from dmoe_gym.gating.statistics import LABELS, Accuracies, interval
from dmoe_gym.gating.sweep import TRANSMISSIONS, SweepConfig, run_sweep

DEFAULTS = SweepConfig()


def _joined(values: tuple[float, ...]) -> str:
    return ",".join(f"{value:g}" for value in values)


def main(
    out: Annotated[Path, typer.Option(help="Folder for the results.")] = Path("results/gating"),
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace results that are there.")] = False,
    dataset: Annotated[str, typer.Option(help="digits, cifar10 or cifar100.")] = DEFAULTS.dataset,
    data_root: Annotated[Path | None, typer.Option(help="Folder that holds CIFAR; nothing is downloaded.")] = None,
    split: Annotated[str, typer.Option(help="test, or validation to tune on.")] = DEFAULTS.split,
    first_seed: Annotated[int, typer.Option(help="First seed.")] = DEFAULTS.first_seed,
    seeds: Annotated[int, typer.Option(help="Number of seeds, 2 or more.")] = DEFAULTS.seeds,
    means_db: Annotated[str, typer.Option(help="Mean SNRs [dB], comma separated.")] = _joined(DEFAULTS.means_db),
    spreads_db: Annotated[str, typer.Option(help="Standard deviations of the SNR [dB], likewise.")] = _joined(
        DEFAULTS.spreads_db
    ),
    fading: Annotated[str, typer.Option(help="fixed or rayleigh.")] = DEFAULTS.fading,
    transmissions: Annotated[str, typer.Option(help=f"Comma separated, out of {', '.join(TRANSMISSIONS)}.")] = ",".join(
        DEFAULTS.transmissions
    ),
    repeats: Annotated[int, typer.Option(help="Channel draws per image.")] = DEFAULTS.repeats,
    top_k: Annotated[int, typer.Option(help="Experts that serve one input.")] = DEFAULTS.top_k,
    override: Annotated[
        list[str] | None, typer.Option("--set", help="A field of GatingConfig, e.g. --set feature_size=32. Repeatable.")
    ] = None,
    jobs: Annotated[int, typer.Option(help="Processes; each takes one seed at a time.")] = 1,
) -> None:
    """Accuracy against the spread of the experts' SNRs: naive, channel-aware, best-SNR, random choice, oracle."""
    console = Console()
    try:
        config = SweepConfig(
            dataset=dataset,  # type: ignore[arg-type]  # the configuration checks the names
            data_root=str(data_root) if data_root else None,
            split=split,  # type: ignore[arg-type]
            first_seed=first_seed,
            seeds=seeds,
            means_db=_numbers("means_db", means_db),
            spreads_db=_numbers("spreads_db", spreads_db),
            fading=fading,  # type: ignore[arg-type]
            transmissions=tuple(part.strip() for part in transmissions.split(",")),
            repeats=repeats,
            top_k=top_k,
            gating=overrides_of(override or []),
        )
        _check_free(out, config, overwrite)
        started = time.perf_counter()
        rows = run_sweep(config, jobs=jobs, progress=True)
    except (ValueError, FileExistsError) as error:
        console.print(f"[red]{error}[/red]", highlight=False, soft_wrap=True)
        raise typer.Exit(2) from None
    command = shlex.join(["python", "-m", "dmoe_gym.gating.experiment", *sys.argv[1:]])
    contents = {
        "run.json": json.dumps(_provenance(config, command, time.perf_counter() - started), indent=2).encode() + b"\n",
        "accuracy.csv": to_csv(rows).encode(),
        "results.md": results_markdown(rows, config, command).encode(),
    }
    for mean_db in config.means_db:
        accuracies = Accuracies(rows, mean_db)
        contents[f"gating_accuracy_{mean_db:g}dB.png"] = png(accuracy_figure(accuracies))
        contents[f"gating_gains_{mean_db:g}dB.png"] = png(gain_figure(accuracies))
        for name in accuracies.transmissions:
            console.print(_summary(accuracies, name))
    for name in _files(config):
        write_whole(out / name, contents[name], overwrite)
    console.print(f"Results are in {out}", highlight=False)


def _summary(accuracies: Accuracies, transmission: str) -> Table:
    table = Table(
        title=f"{transmission}, mean SNR {accuracies.mean_db:g} dB: accuracy [%], {len(accuracies.seeds)} seeds",
        caption="± half of a 95 % interval",
    )
    table.add_column("choice")
    for spread_db in accuracies.spreads_db:
        table.add_column(f"{spread_db:g} dB", justify="right")
    for chooser, label in LABELS.items():
        values = [interval(per_seed) for per_seed in accuracies.of(transmission, chooser)]
        table.add_row(label, *(f"{100 * value.mean:.1f} ± {100 * value.half_width:.1f}" for value in values))
    return table


def _files(config: SweepConfig) -> list[str]:
    plots = [f"gating_{kind}_{mean_db:g}dB.png" for mean_db in config.means_db for kind in ("accuracy", "gains")]
    return ["run.json", "accuracy.csv", "results.md", *plots]


def _check_free(out: Path, config: SweepConfig, overwrite: bool) -> None:
    taken = [name for name in _files(config) if (out / name).exists()]
    if taken and not overwrite:
        raise FileExistsError(f"out = {str(out)!r}: holds {', '.join(taken)} already; pass --overwrite to replace them")


def _numbers(name: str, text: str) -> tuple[float, ...]:
    try:
        return tuple(float(part) for part in text.split(","))
    except ValueError:
        raise ValueError(f"{name} = {text!r}: valid are numbers, comma separated") from None


def _provenance(config: SweepConfig, command: str, seconds: float) -> dict[str, Any]:
    packages = ("dmoe_gym", "numpy", "scipy", "scikit-learn", "torch")
    return {
        "command": command,
        "config": config.model_dump(mode="json"),
        "seconds": round(seconds, 1),
        "python": platform.python_version(),
        "machine": platform.machine(),
        "versions": {package: _version(package) for package in packages},
    }


def _version(package: str) -> str:
    try:
        return version(package)
    except ModuleNotFoundError:  # run from a checkout that is not installed
        return "not installed"


if __name__ == "__main__":
    typer.run(main)

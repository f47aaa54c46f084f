"""The accuracy experiment as one command: `python -m dmoe_gym.gating.experiment --help`."""

from __future__ import annotations

import contextlib
import json
import platform
import shlex
import sys
import time
from importlib.metadata import version
from pathlib import Path
from typing import Annotated, Any

import typer
import yaml
from rich.console import Console
from rich.table import Table

from dmoe_gym.gating.config import GatingConfig
from dmoe_gym.gating.files import write_whole
from dmoe_gym.gating.plots import accuracy_figure, coding_figure, png
from dmoe_gym.gating.report import results_markdown, to_csv
from dmoe_gym.gating.statistics import LABELS, Accuracies, interval
from dmoe_gym.gating.sweep import TRANSMISSIONS, SweepConfig, dataset_config, run_sweep

FILES = ("run.json", "accuracy.csv", "results.md", "gating_accuracy.png", "gating_coding.png")
DEFAULTS = SweepConfig()


def main(
    out: Annotated[Path, typer.Option(help="Folder for the results.")] = Path("results/gating"),
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace results that are there.")] = False,
    dataset: Annotated[str, typer.Option(help="digits, cifar10 or cifar100.")] = DEFAULTS.dataset,
    data_root: Annotated[Path | None, typer.Option(help="Folder that holds CIFAR; nothing is downloaded.")] = None,
    split: Annotated[str, typer.Option(help="test, or validation to tune on.")] = DEFAULTS.split,
    first_seed: Annotated[int, typer.Option(help="First seed.")] = DEFAULTS.first_seed,
    seeds: Annotated[int, typer.Option(help="Number of seeds, 2 or more.")] = DEFAULTS.seeds,
    mean_db: Annotated[float, typer.Option(help="Mean SNR [dB].")] = DEFAULTS.mean_db,
    spreads_db: Annotated[str, typer.Option(help="Standard deviations of the SNR [dB], comma separated.")] = ",".join(
        f"{spread:g}" for spread in DEFAULTS.spreads_db
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
        _check_free(out, overwrite)
        config = SweepConfig(
            dataset=dataset,
            data_root=str(data_root) if data_root else None,
            split=split,
            first_seed=first_seed,
            seeds=seeds,
            mean_db=mean_db,
            spreads_db=tuple(_number("spreads_db", part) for part in spreads_db.split(",")),
            fading=fading,
            transmissions=tuple(part.strip() for part in transmissions.split(",")),
            repeats=repeats,
            top_k=top_k,
            gating=dataset_config(dataset, GatingConfig(**_overrides(override or []))),
        )
        started = time.perf_counter()
        rows = run_sweep(config, jobs=jobs, progress=True)
    except (ValueError, FileExistsError) as error:
        console.print(f"[red]{error}[/red]", highlight=False, soft_wrap=True)
        raise typer.Exit(2) from None
    accuracies = Accuracies(rows)
    command = shlex.join(["python", "-m", "dmoe_gym.gating.experiment", *sys.argv[1:]])
    contents = {
        "run.json": json.dumps(_provenance(config, command, time.perf_counter() - started), indent=2).encode() + b"\n",
        "accuracy.csv": to_csv(rows).encode(),
        "results.md": results_markdown(rows, config.gating.feature_size, command).encode(),
        "gating_accuracy.png": png(accuracy_figure(accuracies, config.mean_db)),
        "gating_coding.png": png(coding_figure(accuracies)),
    }
    for name in FILES:
        write_whole(out / name, contents[name], overwrite)
    for name in accuracies.transmissions:
        console.print(_summary(accuracies, name))
    console.print(f"Results are in {out}", highlight=False)


def _summary(accuracies: Accuracies, transmission: str) -> Table:
    table = Table(title=f"{transmission}: accuracy [%], 95 % interval over {len(accuracies.seeds)} seeds")
    table.add_column("choice")
    for spread_db in accuracies.spreads_db:
        table.add_column(f"{spread_db:g} dB", justify="right")
    for chooser, label in LABELS.items():
        values = [interval(per_seed) for per_seed in accuracies.of(transmission, chooser)]
        table.add_row(label, *(f"{100 * value.mean:.1f} ± {100 * value.half_width:.1f}" for value in values))
    return table


def _check_free(out: Path, overwrite: bool) -> None:
    taken = [name for name in FILES if (out / name).exists()]
    if taken and not overwrite:
        raise FileExistsError(f"out = {str(out)!r}: holds {', '.join(taken)} already; pass --overwrite to replace them")


def _overrides(pairs: list[str]) -> dict[str, Any]:
    """KEY=VALUE strings to fields; values are read as YAML scalars (`1e-3` too, which YAML itself takes for text)."""
    fields: dict[str, Any] = {}
    for pair in pairs:
        key, separator, text = pair.partition("=")
        if not separator:
            raise ValueError(f"--set {pair!r}: valid is KEY=VALUE")
        value = yaml.safe_load(text)
        if isinstance(value, str):
            with contextlib.suppress(ValueError):
                value = float(value)
        fields[key.strip()] = value
    return fields


def _number(name: str, text: str) -> float:
    try:
        return float(text)
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

"""The accuracy experiment as one command: `python -m dmoe_gym.gating.experiment --help`."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from dmoe_gym.evaluation.statistics import Interval
from dmoe_gym.gating.data import load_split
from dmoe_gym.gating.experiment.plots import accuracy_figure, gain_figure, png
from dmoe_gym.gating.experiment.report import middle, results_markdown
from dmoe_gym.gating.experiment.statistics import LABELS, Accuracies
from dmoe_gym.gating.experiment.store import SweepFolder
from dmoe_gym.gating.experiment.sweep import TRANSMISSIONS, SweepConfig
from dmoe_gym.io.command_line import one_line_errors, overrides_of, wide_console
from dmoe_gym.io.files import replace_section, write_csv, write_json, write_whole
from dmoe_gym.io.provenance import provenance

DEFAULTS = SweepConfig()


def _joined(values: tuple[float, ...]) -> str:
    return ",".join(f"{value:g}" for value in values)


@one_line_errors
def main(
    out: Annotated[Path, typer.Option(help="Folder for the results; finished pieces in it are not run again.")] = Path(
        "output/gating"
    ),
    dataset: Annotated[str, typer.Option(help="digits, cifar10 or cifar100.")] = DEFAULTS.dataset,
    data_root: Annotated[Path | None, typer.Option(help="Folder that holds CIFAR; nothing is downloaded.")] = None,
    split: Annotated[str, typer.Option(help="test, or validation to tune on.")] = DEFAULTS.split,
    first_seed: Annotated[int, typer.Option(help="First seed.")] = DEFAULTS.first_seed,
    seeds: Annotated[int, typer.Option(help="Number of seeds, 2 or more.")] = DEFAULTS.seeds,
    means_db: Annotated[str, typer.Option(help="Mean SNRs in dB, comma separated.")] = _joined(DEFAULTS.means_db),
    spreads_db: Annotated[str, typer.Option(help="Standard deviations of the SNR in dB, likewise.")] = _joined(
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
    jobs: Annotated[int, typer.Option(help="Processes; each takes one piece of the work at a time.")] = 1,
    at_most: Annotated[
        int | None, typer.Option(min=1, help="Stop after so many pieces; the same command goes on from there.")
    ] = None,
    document: Annotated[
        Path | None, typer.Option(help="Also put the tables into this page, as docs/gating.md.")
    ] = None,
    pictures: Annotated[Path | None, typer.Option(help="Also put the plots into this folder.")] = None,
) -> None:
    """Accuracy against the spread of the experts' SNRs: naive, channel-aware, best-SNR, random choice, oracle."""
    console = wide_console()
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
    load_split(config.dataset, data_root)  # missing files are said before anything is written
    folder = SweepFolder(out / "pieces", config)
    folder.run(at_most, jobs, progress=True)
    missing = folder.missing()
    if missing:
        console.print(f"{len(missing)} pieces are left; the same command goes on")
        return
    rows = folder.rows()
    command = shlex.join(["python", "-m", "dmoe_gym.gating.experiment", *sys.argv[1:]])
    write_json(out / "run.json", {"config": config.model_dump(mode="json"), **provenance(command)})
    write_csv(out / "accuracy.csv", [row._asdict() for row in rows])
    text = results_markdown(rows, config, command)
    write_whole(out / "results.md", text)
    plots = {
        "gating_accuracy.png": png(accuracy_figure(Accuracies(rows, middle(config.means_db)))),
        "gating_gains.png": png(gain_figure([Accuracies(rows, mean_db) for mean_db in config.means_db])),
    }
    for target in (out, pictures):
        if target is not None:
            for name, content in plots.items():
                write_whole(target / name, content)
    for mean_db in config.means_db:
        accuracies = Accuracies(rows, mean_db)
        for name in accuracies.transmissions:
            console.print(_summary(accuracies, name))
    if document is not None:
        replace_section(document, "gating-experiment", text)
        console.print(f"tables: {document}")
    console.print(f"results: {out}")


def _summary(accuracies: Accuracies, transmission: str) -> Table:
    table = Table(
        title=f"{transmission}, mean SNR {accuracies.mean_db:g} dB: accuracy [%], {len(accuracies.seeds)} seeds",
        caption="± half of a 95 % interval",
    )
    table.add_column("choice")
    for spread_db in accuracies.spreads_db:
        table.add_column(f"{spread_db:g} dB", justify="right")
    for chooser, label in LABELS.items():
        values = [Interval.of_few(per_seed) for per_seed in accuracies.of(transmission, chooser)]
        table.add_row(label, *(f"{100 * value.mean:.1f} ± {100 * (value.high - value.mean):.1f}" for value in values))
    return table


def _numbers(name: str, text: str) -> tuple[float, ...]:
    try:
        return tuple(float(part) for part in text.split(","))
    except ValueError:
        raise ValueError(f"{name} = {text!r}: valid are numbers, comma separated") from None


if __name__ == "__main__":
    typer.run(main)

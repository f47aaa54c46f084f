"""`python -m baselines inference`: accuracy against energy where a real classifier is served."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from dmoe_gym.dmoe.inference import inference_scenario
from dmoe_gym.dmoe.policies import JointPolicy
from dmoe_gym.evaluation import FIRST_HELD_OUT_SEED, Interval, Row, by_policy, held_out_seeds
from dmoe_gym.evaluation.inference import (
    ACCURACY,
    ENERGY,
    ENV_ID,
    Selection,
    Tradeoff,
    cheapest_as_accurate,
    contender_rows,
    contenders,
    means,
    most_accurate_as_cheap,
    selection_by_layer,
    tradeoff,
)
from dmoe_gym.evaluation.table import markdown_table, rich_table, two_lines
from dmoe_gym.io.command_line import bar, one_line_errors, wide_console
from dmoe_gym.io.files import replace_section
from dmoe_gym.reports.inference_plots import pareto, selection_heat_maps

Cells = tuple[list[str], list[list[str]]]
# thresholds of the homogeneous selections that gamma < 1 is compared to
HOMOGENEOUS = (0.3, 0.4, 0.5, 0.6, 0.7)
# points of accuracy that a choice on validation inputs may be below its reference
MARGINS = (0.0, 0.5)


@one_line_errors
def inference(
    episodes: Annotated[int, typer.Option(min=2, help="Held-out episodes on test inputs, for every scheduler.")] = 500,
    validation: Annotated[
        int, typer.Option(min=2, help="Episodes on validation inputs, for choosing z and gamma.")
    ] = 500,
    scenario: Annotated[str, typer.Option(help="A scenario of DMoE-Inference-v0.")] = "digits",
    output: Annotated[
        Path, typer.Option(help="Folder of the rows; finished files of the same episodes are not repeated.")
    ] = Path("output/inference"),
    document: Annotated[
        Path | None, typer.Option(help="Also put the tables into this page, as docs/inference.md.")
    ] = None,
    pictures: Annotated[Path | None, typer.Option(help="Folder for the Pareto plot and the heat maps.")] = None,
) -> None:
    """JESA over z and gamma, homogeneous selection, Top-1/2/3 and random: accuracy and energy, test inputs."""
    console = wide_console()
    parts = {
        "validation": range(FIRST_HELD_OUT_SEED - validation, FIRST_HELD_OUT_SEED),
        "test": held_out_seeds(episodes),
    }
    rows = []
    with bar(console) as progress:
        for inputs, seeds in parts.items():
            tick = progress.task(f"{inputs} inputs", len(contenders()))
            for contender in contenders():
                rows += contender_rows(output, contender, inputs, seeds, scenario)
                tick(1)
    chosen_on = [row for row in rows if row["inputs"] == "validation"]
    judged_on = [row for row in rows if row["inputs"] == "test"]
    tables = {
        f"Accuracy and energy on test inputs, {episodes} held-out episodes, means and 95 % intervals. Of every gamma "
        "the z that cost least on validation inputs": main_cells(chosen_on, judged_on),
        "At equal accuracy: the cheapest (z, gamma; < 1 against homogeneous selection) that is as accurate as "
        "the reference on validation inputs, less the points allowed; on test inputs, paired": equal_accuracy_cells(
            chosen_on, judged_on
        ),
        "At equal energy: the most accurate (z, gamma < 1) that needs no more energy than the reference on validation "
        "inputs, judged on test inputs, paired": equal_energy_cells(chosen_on, judged_on),
    }
    for title, (headings, body) in tables.items():
        console.print(rich_table(title, headings, body))
    console.print(f"all rows: {output}")
    if document is not None:
        text = "\n".join(f"{title}:\n\n{markdown_table(*table)}" for title, table in tables.items())
        replace_section(document, "inference-experiment", text)
        replace_section(document, "inference-claims", claims(chosen_on, judged_on))
    if pictures is not None:
        pareto(pictures / "inference_pareto.png", judged_on)
        selection_heat_maps(pictures / "inference_selection.png", _selections(chosen_on, scenario))


def cheapest_by_cost(rows: Sequence[Row]) -> list[str]:
    """Of every gamma the policy of least mean cost, in order of gamma."""
    groups = {name: group for name, group in by_policy(rows).items() if "importance_factor" in group[0]}
    best: dict[float, tuple[float, str]] = {}
    for name, group in groups.items():
        cost = sum(row["cost"] for row in group) / len(group)
        gamma = float(group[0]["importance_factor"])
        best[gamma] = min(best.get(gamma, (cost, name)), (cost, name))
    return [best[gamma][1] for gamma in sorted(best, reverse=True)]


def marked(rows: Sequence[Row]) -> list[str]:
    """The policies that tables and pictures name."""
    return ["top-1", "top-2", "top-3", "random", *cheapest_by_cost(rows)]


def main_cells(chosen_on: Sequence[Row], judged_on: Sequence[Row]) -> Cells:
    """Headings and cells: policies down; accuracy, energy, cost."""
    groups = by_policy(judged_on)
    body = []
    for name in marked(chosen_on):
        group = groups[name]
        body.append(
            [
                name,
                two_lines(Interval.of([100 * row[ACCURACY] for row in group]), ".2f"),
                two_lines(Interval.of([row[ENERGY] for row in group]), ".2f"),
                two_lines(Interval.of([row["cost"] for row in group]), ".4f"),
            ]
        )
    return ["scheduler", "accuracy [%]", "energy per answer [mJ]", "cost per layer"], body


def equal_accuracy_cells(chosen_on: Sequence[Row], judged_on: Sequence[Row]) -> Cells:
    """Headings and cells: what (z, gamma) saves where it is as accurate as Top-k or homogeneous selection."""
    body = []
    for reference in references():
        families = ("JESA", "homogeneous") if reference.startswith("top") else ("JESA",)
        for margin in MARGINS:
            equal = at_equal_accuracy(chosen_on, judged_on, families, reference, margin)
            if equal is not None:
                energy, accuracy = two_lines(equal.energy, "+.1f"), two_lines(equal.accuracy, "+.2f")
                body.append([equal.policy, reference, f"{margin:g}", energy, accuracy])
    return ["scheduler", "reference", "less allowed [points]", "energy [%]", "accuracy [points]"], body


def at_equal_accuracy(
    chosen_on: Sequence[Row], judged_on: Sequence[Row], families: Sequence[str], reference: str, margin: float
) -> Tradeoff | None:
    """The cheapest policy that is at most `margin` points less accurate on validation inputs, on test inputs."""
    accuracy = means(chosen_on)[reference][1] - margin / 100
    found = cheapest_as_accurate([row for row in chosen_on if row["policy"] != reference], families, accuracy)
    return None if found is None else tradeoff(judged_on, found, reference)


def equal_energy_cells(chosen_on: Sequence[Row], judged_on: Sequence[Row]) -> Cells:
    """Headings and cells: how much more accurate gamma < 1 is at the energy of homogeneous selection or Top-k."""
    body = []
    known = means(chosen_on)
    for reference in references():
        found = most_accurate_as_cheap(chosen_on, ("JESA",), known[reference][0])
        if found is None:
            continue
        result = tradeoff(judged_on, found, reference)
        body.append([found, reference, two_lines(result.accuracy, "+.2f"), two_lines(result.energy, "+.1f")])
    return ["scheduler", "reference", "accuracy [points]", "energy [%]"], body


def claims(chosen_on: Sequence[Row], judged_on: Sequence[Row]) -> str:
    """The abstract's two claims and what was measured here, as a Markdown list."""
    known = means(chosen_on)
    higher, compared, best = 0, 0, None
    for z in HOMOGENEOUS:
        reference = f"homogeneous z={z:g} gamma=1"
        found = most_accurate_as_cheap(chosen_on, ("JESA",), known[reference][0])
        if found is None:
            continue
        result = tradeoff(judged_on, found, reference)
        compared += 1
        higher += result.accuracy.low > 0
        best = max(best or result, result, key=lambda each: each.accuracy.mean)
    verdict = "confirmed" if higher == compared else "not confirmed" if higher == 0 else "confirmed in part"
    lines = [
        f'- "Higher accuracy than homogeneous expert selection": {verdict}. At no more energy gamma < 1 was more '
        f"accurate in {higher} of {compared} comparisons with an interval above zero"
        + ("." if best is None else f"; the largest difference was {best.accuracy:+.2f} points ({best.reference}).")
    ]
    for reference in ("top-1", "top-2", "top-3"):
        for margin in MARGINS:
            equal = at_equal_accuracy(chosen_on, judged_on, ("JESA", "homogeneous"), reference, margin)
            if equal is None:
                lines.append(f'- "Cost lower by up to 50 % than Top-k", {reference}: no (z, gamma) was as accurate.')
                continue
            lower, as_accurate = equal.energy.high < 0, equal.accuracy.high >= 0
            verdict = "lower at equal accuracy" if lower and as_accurate else "not confirmed"
            if lower and not as_accurate:
                verdict += ", for accuracy is lower too"
            lines.append(
                f'- "Cost lower by up to 50 % than Top-k", {reference}, {margin:g} points less allowed on validation '
                f"inputs: {verdict}. Energy {equal.energy:+.1f} %, accuracy {equal.accuracy:+.2f} points "
                f"({equal.policy}); 50 % is {'' if equal.energy.low <= -50 else 'not '}reached."
            )
    return "\n".join(lines)


def references() -> list[str]:
    """Top-1 to Top-3, and homogeneous selections from frugal to lavish."""
    return ["top-1", "top-2", "top-3", *(f"homogeneous z={z:g} gamma=1" for z in HOMOGENEOUS)]


def _selections(rows: Sequence[Row], scenario: str) -> dict[str, Selection]:
    """Of Top-2, and of the cheapest homogeneous selection and JESA that are as accurate on validation inputs."""
    accuracy = means(rows)["top-2"][1]
    wanted = ["top-2"]
    for family in ("homogeneous", "JESA"):
        found = cheapest_as_accurate(rows, (family,), accuracy - MARGINS[-1] / 100)
        if found is not None:
            wanted.append(found)
    seeds = held_out_seeds(200)
    known = {contender.name: contender for contender in contenders()}
    selections = {}
    for name in wanted:
        config = inference_scenario(scenario).replace(**known[name].overrides)
        policy = JointPolicy(known[name].build(config))
        selections[name] = selection_by_layer(policy, ENV_ID, seeds, scenario, **known[name].overrides)
    return selections

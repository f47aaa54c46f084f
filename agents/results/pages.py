"""docs/results.md and the README's table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from agents.results.lines import Comparison, Line
from dmoe_gym.evaluation import Interval, stratified_interquartile_mean
from dmoe_gym.evaluation.table import markdown_table

Times = Mapping[str, Mapping[str, float]]
# Stated seeds that make a row a headline row.
HEADLINE_SEEDS = 10


def headline(comparison: Comparison, kept: Mapping[str, Any]) -> list[Line]:
    """The learned rows of the README: those of at least HEADLINE_SEEDS seeds, or of the most there are."""
    most = max((len(config.seeds) for name, config in kept.items()), default=0)
    return [line for line in comparison.learned if line.seeds >= min(HEADLINE_SEEDS, most)]


def setting_section(comparison: Comparison, times: Times) -> str:
    """A setting's heading, verdict and table."""
    bound, strongest = comparison.bound, comparison.strongest
    clock = times.get(comparison.setting.title, {})
    known = {metric for line in comparison.lines for metric in line.means} - {"cost"}
    columns = [metric for metric in comparison.setting.system.metrics if metric.name in known]
    headings = [
        "scheduler", "seeds", "episodes", "cost", "IQM", f"above {bound.name} [%]", f"to {strongest.name} [%]",
        f"P(below {strongest.name})", *(column.heading for column in columns), "ms per decision",
    ]  # fmt: skip
    body = []
    for line in comparison.lines:
        name = f"*{line.name}*" if line.kind == "learned" else line.name
        milliseconds = clock.get(line.name)
        body.append(
            [
                name,
                str(line.seeds) if line.seeds else "",
                str(line.episodes),
                format(line.cost, ".4f"),
                f"{line.interquartile:.4f}" if line.seeds else "",
                format(line.gap, ".2f") if line.gap else "",
                format(line.difference, "+.2f") if line.difference else "",
                format(line.improvement, ".2f") if line.improvement else "",
                *(_number(line.means.get(column.name), column.format) for column in columns),
                _number(milliseconds, ".3g"),
            ]
        )
    words = [verdict(comparison), *(f"Missing: `{name}` ({why})." for name, why in comparison.missing.items())]
    if not comparison.learned and not comparison.missing:
        words.append("Missing: no recipe in `configs/` is of this scenario.")
    page = comparison.setting.system.page
    if page:
        words.append(f"More: [{page}]({page}).")
    return f"## `{comparison.setting.title}`\n\n" + "\n".join(words) + f"\n\n{markdown_table(headings, body)}"


def verdict(comparison: Comparison) -> str:
    """How the best learned scheduler stands to the strongest analytic one, in a sentence."""
    strongest, bound = comparison.strongest, comparison.bound
    room = f"`{strongest.name}` is the strongest analytic scheduler"
    room += f", {strongest.gap:.2f} % above {bound.name}." if strongest.gap else "."
    if not comparison.learned:
        return room
    best = comparison.learned[0]
    assert best.difference is not None
    low, high = best.difference.low, best.difference.high
    word = "below" if high < 0 else "above" if low > 0 else "not told apart from"
    percent = f" by {abs(best.difference.mean):.2f} [{min(abs(low), abs(high)):.2f}, {max(abs(low), abs(high)):.2f}] %"
    return f"{room} `{best.name}` is {word} it{percent if word != 'not told apart from' else ''} ({best.seeds} seeds)."


def aggregate_section(comparisons: Sequence[Comparison], headlines: Mapping[str, Line]) -> str:
    """Interquartile means of normalised scores over the scenarios that have a learned row."""
    learned, analytic, reference, ratios = {}, {}, {}, {}
    for comparison in comparisons:
        title, strongest = comparison.setting.title, comparison.strongest
        learned[title] = comparison.score(headlines[title])
        analytic[title] = comparison.score(strongest)
        reference[title] = comparison.score(comparison.line(comparison.setting.line_up.reference))
        ratios[title] = 100 * (headlines[title].on_bound.mean(1) / strongest.on_bound.mean() - 1)
    body = [
        [
            "learned, best headline row",
            format(stratified_interquartile_mean(learned), ".4f"),
            format(stratified_interquartile_mean(ratios), "+.2f"),
        ],
        ["strongest analytic", f"{stratified_interquartile_mean(analytic).mean:.4f}", ""],
        ["reference (JESA, or the system's own)", f"{stratified_interquartile_mean(reference).mean:.4f}", ""],
    ]
    headings = ["over " + ", ".join(learned), "IQM of score", "IQM of cost to strongest analytic [%]"]
    return f"## Over the scenarios\n\n{markdown_table(headings, body)}"


def readme_table(comparisons: Sequence[Comparison], headlines: Mapping[str, Sequence[Line]], times: Times) -> str:
    """One line per scenario and headline row."""
    headings = [
        "scenario", "learned scheduler", "seeds", "above the bound [%]", "strongest analytic", "above the bound [%]",
        "learned to analytic [%]", "P(learned below)", "ms per decision, learned / analytic",
    ]  # fmt: skip
    body = []
    for comparison in comparisons:
        strongest, clock = comparison.strongest, times.get(comparison.setting.title, {})
        fixed = [strongest.name, _interval(strongest.gap)]
        for line in headlines[comparison.setting.title]:
            assert line.difference is not None
            assert line.improvement is not None
            both = f"{_number(clock.get(line.name), '.3g')} / {_number(clock.get(strongest.name), '.3g')}"
            compared = [format(line.difference, "+.2f"), format(line.improvement, ".2f"), both]
            row = [f"`{line.name}`", str(line.seeds), _interval(line.gap), *fixed, *compared]
            body.append([f"`{comparison.setting.title}`", *row])
        if not headlines[comparison.setting.title]:
            body.append([f"`{comparison.setting.title}`", "missing", "", "", *fixed, "", "", ""])
    return markdown_table(headings, body)


def _interval(interval: Interval | None) -> str:
    return "–" if interval is None else format(interval, ".2f")


def _number(value: float | None, spec: str) -> str:
    return "–" if value is None or value != value else format(value, spec)

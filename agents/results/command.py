"""`python -m agents results` and `python -m agents time`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from agents.config import TrainingConfig, load_config
from agents.results.lines import Comparison, Line, compare_setting
from agents.results.pages import aggregate_section, headline, readme_table, setting_section, verdict
from agents.results.plots import draw_gaps, draw_profiles
from agents.results.setting import Setting, recipe_files, settings_of
from agents.results.store import analytic_rows, collect_runs, learned_provenance, learned_rows
from agents.results.times import keep, measure, read_times
from dmoe_gym.evaluation.timing import ROUNDS
from dmoe_gym.io.command_line import bar, one_line_errors, overrides_of, wide_console
from dmoe_gym.io.files import replace_section, write_whole

Runs = Annotated[Path, typer.Option(help="Root of the run folders.")]
Store = Annotated[Path, typer.Option(help="Folder of the collected results.")]
RECIPE = Annotated[list[Path] | None, typer.Argument(help="YAML files; configs/*.yaml but the demo's by default.")]


@one_line_errors
def results(
    recipe: RECIPE = None,
    runs: Runs = Path("runs"),
    store: Store = Path("results"),
    docs: Annotated[Path, typer.Option(help="Where results.md and its images go.")] = Path("docs"),
    readme: Annotated[Path, typer.Option(help="The page whose results section is replaced.")] = Path("README.md"),
    scenario: Annotated[
        list[str] | None, typer.Option(help="Only look at this scenario and write no page; may be repeated.")
    ] = None,
    episodes: Annotated[int, typer.Option(min=2, help="Held-out episodes of analytic rows that must be made.")] = 100,
    fresh: Annotated[bool, typer.Option("--fresh", help="Forget stored evaluations of analytic schedulers.")] = False,
    compute: Annotated[bool, typer.Option(help="Evaluate analytic schedulers that were not yet.")] = True,
    jobs: Annotated[int, typer.Option(help="Processes for the bounds; -1 is one per core.")] = -1,
) -> None:
    """Collect run folders into the store and make docs/results.md, its plots and the README's table from it.

    A recipe's row needs all the seeds that the recipe states; what is missing is said in its place.
    """
    console = wide_console()
    recipes = {file.stem: load_config(file) for file in recipe_files(recipe)}
    comparisons, stated, skipped = [], {}, []
    for setting, names in settings_of(recipes).items():
        if scenario and setting.scenario not in scenario:
            continue
        kept = {name: recipes[name] for name in names}
        comparison = _compare(console, setting, kept, runs, store, episodes, fresh, compute, jobs)
        if comparison is None:
            console.print(f"{setting.title}: not evaluated")
            skipped.append(setting.title)
            continue
        console.print(f"{setting.title}: {verdict(comparison)}", markup=False, soft_wrap=True)
        for name, why in comparison.missing.items():
            console.print(f"  missing: {name} ({why})", markup=False, soft_wrap=True)
        comparisons.append(comparison)
        stated[setting.title] = kept
    if scenario:
        return
    if not comparisons:
        raise ValueError("no scenario has been evaluated; without --no-compute they are")
    written = write_pages(comparisons, stated, store, docs, readme, skipped)
    console.print(f"written: {', '.join(map(str, written))}")


def _compare(
    console: Console,
    setting: Setting,
    kept: Mapping[str, TrainingConfig],
    runs: Path,
    store: Path,
    episodes: int,
    fresh: bool,
    compute: bool,
    jobs: int,
) -> Comparison | None:
    """Collect, read or compute a setting's rows and compare them; None where nothing is to be compared to."""
    learned, missing = {}, {}
    for name, config in kept.items():
        why = collect_runs(name, config, runs, store)
        rows = learned_rows(name, config, store)
        if rows:
            learned[name] = rows
        else:
            missing[name] = why
    groups = {runs / config.group for config in kept.values()}
    with bar(console) as progress:
        analytic = analytic_rows(
            setting,
            sorted(groups),
            store,
            episodes,
            fresh=fresh,
            compute=compute,
            jobs=jobs,
            progress=partial(progress.task, total=episodes),
        )
    if not analytic:
        return None
    return compare_setting(setting, analytic, learned, {name: kept[name].seeds for name in learned}, missing)


def write_pages(
    comparisons: Sequence[Comparison],
    stated: Mapping[str, Mapping[str, TrainingConfig]],
    store: Path,
    docs: Path,
    readme: Path,
    skipped: Sequence[str] = (),
) -> list[Path]:
    """Write the page, its plots and the README's section; returns what was written."""
    times = read_times(store)
    headlines = {c.setting.title: headline(c, stated[c.setting.title]) for c in comparisons}
    published = [c for c in comparisons if not c.setting.overrides]
    with_learned = [c for c in published if headlines[c.setting.title]]
    best: dict[str, Line] = {c.setting.title: headlines[c.setting.title][0] for c in with_learned}
    written = [docs / "images" / "results_gaps.png"]
    draw_gaps(written[0], published)
    pictures = "![How far schedulers are above the bound](images/results_gaps.png)\n"
    aggregate = ""
    if with_learned:
        written.append(docs / "images" / "results_profiles.png")
        draw_profiles(written[-1], with_learned, best)
        pictures += "\n![Performance profiles](images/results_profiles.png)\n"
        aggregate = aggregate_section(with_learned, best) + "\n"
    sections = "\n".join(setting_section(comparison, times) for comparison in comparisons)
    if skipped:
        sections += f"\n## Not evaluated yet\n\n{', '.join(f'`{title}`' for title in skipped)}.\n"
    text = _PAGE.format(pictures=pictures, aggregate=aggregate, sections=sections, made=_made(comparisons, store))
    written.append(write_whole(docs / "results.md", text))
    table = readme_table(published, headlines, times)
    if skipped:
        table += f"\nNot evaluated yet: {', '.join(f'`{title}`' for title in skipped)}.\n"
    written.append(replace_section(readme, "results", _README.format(table=table)))
    return written


def _made(comparisons: Sequence[Comparison], store: Path) -> str:
    """How the learned rows came about, one line each."""
    lines = []
    for comparison in comparisons:
        for line in comparison.learned:
            runs = learned_provenance(line.name, store)
            minutes = [run["cpu_seconds"] / 60 for run in runs.values() if "cpu_seconds" in run]
            took = f", {min(minutes):.1f} to {max(minutes):.1f} minutes of one core each" if minutes else ""
            commits = sorted({run.get("git_commit", "unknown")[:7] for run in runs.values()})
            lines.append(
                f"- `{line.name}`: seeds {', '.join(runs)}{took}; `configs/{line.name}.yaml` at {', '.join(commits)}"
            )
    return "\n".join(lines) or "No recipe has all its seeds yet."


@one_line_errors
def time(
    run: Annotated[list[Path] | None, typer.Argument(help="Run folders or exported weights.")] = None,
    scenario: Annotated[
        str | None, typer.Option(help="Where they act; by default where the first was trained.")
    ] = None,
    env_id: Annotated[str, typer.Option(help="Whose analytic schedulers are timed, without runs.")] = "DMoE-JESA-v0",
    override: Annotated[
        list[str] | None, typer.Option("--set", help="Override a configuration field: --set num_experts=16.")
    ] = None,
    policy: Annotated[
        list[str] | None, typer.Option("--policy", "-p", help="Only this analytic scheduler; may be repeated.")
    ] = None,
    rounds: Annotated[int, typer.Option(min=1, help="Rounds in a batch.")] = ROUNDS,
    repeats: Annotated[int, typer.Option(min=1, help="Batches, of which the median counts.")] = 5,
    store: Store = Path("results"),
) -> None:
    """Processor time per decision in batches of rounds, learned beside analytic; kept in the store for the tables."""
    console = wide_console()
    if run:
        config = load_config(_recipe_of(run[0]))
        env_id, scenario = config.env_id, scenario or config.scenario
    setting = Setting.of(env_id, scenario, overrides_of(override or []))
    rows = measure(
        setting,
        run or [],
        policy,
        rounds=rounds,
        repeats=repeats,
        report=lambda row: console.print(f"{row['setting']} {row['scheduler']}: {row['ms']:.4g} ms per round"),
    )
    console.print(f"kept in {keep(rows, store)}")


def _recipe_of(path: Path) -> Path:
    return next((file for file in (path / "config.yaml", path / "recipe.yaml") if file.is_file()), path / "config.yaml")


_PAGE = """# Results

Learned schedulers beside analytic ones and bounds, on the same held-out episodes (seeds from 1,000,000). Made by

    python -m agents sweep configs/*.yaml
    python -m agents time ...
    python -m agents results

from the files in `results/`, which hold a row per training seed and episode.

- *cost*: mean per round over seeds and episodes. Brackets are 95 % intervals for new seeds and new episodes (two-way
  random effects; over episodes alone where nothing is trained). *IQM*: interquartile mean over seeds.
- *above* a bound: ratio of mean costs minus one, interval of the paired difference. Bounds see the true rounds; where
  the channel is stale or the future counts, no scheduler can reach them (`informed` knows only what schedulers see).
- *to* the strongest analytic scheduler: paired by episode, in percent of its mean cost; negative is cheaper. Which one
  is the strongest is read off held-out episodes, which favours it. Its parameters were tuned on training episodes. In
  a bound's line this is the room above it.
- *episodes*: a row is compared on the episodes that it shares with what it is compared to; some bounds and weak
  schedulers ran on fewer.
- *P*: probability that a random seed's run costs less than it on a random episode, ties count one half.
- A row stands for all the seeds that its recipe states, whatever became of them; with fewer it is listed as missing.
- Recipes ran as they stand in `configs/`; nothing was chosen by seed.
- *ms per decision*: `python -m agents time`, milliseconds of one core per round in batches of 1,024 rounds, from
  observation to charged schedule.

{pictures}
In the profiles, *learned* is a scenario's best headline row (most seeds); a scenario weighs the same as any other;
*reference* is JESA, or WDMoE's counterpart.

{aggregate}
{sections}
## How the learned rows were made

{made}
"""

_README = """Made by `python -m agents results` from `results/` ([all rows](docs/results.md)): learned schedulers beside
the strongest analytic one, on the same held-out episodes. Brackets are 95 % intervals over seeds and episodes;
differences are paired and in percent of the analytic scheduler's cost (negative: the learned one is cheaper).

{table}
"""

"""What a sweep consists of."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from agents.config import TrainingConfig, load_config
from agents.run_folder import RunFolder
from agents.status import State
from agents.train import check_recipe


@dataclass(frozen=True)
class Job:
    """One seed of a recipe.

    Fields:
        recipe: the YAML file.
        config: what it holds.
        seed: the seed.
        root: of the run folders.
    """

    recipe: Path
    config: TrainingConfig
    seed: int
    root: Path

    @property
    def folder(self) -> RunFolder:
        """Where its run is kept."""
        return RunFolder.of(self.root, self.config, self.recipe.stem, self.seed)

    @property
    def name(self) -> str:
        """The run folder below the root, as people call it."""
        return str(self.folder.path.relative_to(self.root))


@dataclass(frozen=True)
class Outcome:
    """How a job ended, with the error in one line if it failed."""

    job: Job
    state: State
    error: str = ""


# Called with a job and the environment steps it has behind it.
Report = Callable[[Job, int], None]


def seeds_of(text: str) -> list[int]:
    """Seeds named by numbers and ranges: "0-4,7" is 0, 1, 2, 3, 4 and 7.

    Raises:
        ValueError: for anything else.
    """
    seeds: list[int] = []
    for part in text.split(","):
        first, dash, last = part.strip().partition("-")
        if not first.isdecimal() or (dash and not last.isdecimal()):
            raise ValueError(f"seeds = {text!r}: valid are numbers and ranges, as 0-4,7")
        seeds += range(int(first), int(last if dash else first) + 1)
    if not seeds or len(set(seeds)) < len(seeds):
        raise ValueError(f"seeds = {text!r}: valid are one or more different seeds")
    return seeds


def jobs_of(recipes: Sequence[Path], seeds: Sequence[int] | None, root: Path) -> list[Job]:
    """The jobs of recipes, after each recipe has been checked; seed after seed, so that every recipe gets its first
    results early.

    Args:
        recipes: YAML files.
        seeds: instead of each recipe's own.
        root: of the run folders.

    Raises:
        ValueError: for a recipe that is not valid, or two that would share a run folder.
    """
    ranked: list[tuple[int, Job]] = []
    for recipe in recipes:
        config = load_config(recipe)
        check_recipe(config, seeds)
        ranked += enumerate(Job(recipe, config, seed, root) for seed in (seeds or config.seeds))
    jobs = [job for _, job in sorted(ranked, key=lambda entry: entry[0])]
    folders = [job.folder.path for job in jobs]
    twice = [job for job in jobs if folders.count(job.folder.path) > 1]
    if twice:
        raise ValueError(f"{twice[0].recipe}, {twice[-1].recipe}: both are run in {twice[0].folder.path}")
    return jobs


def is_finished(job: Job) -> bool:
    """Whether the run has all its steps behind it and is evaluated; one with a damaged file is not."""
    try:
        return job.folder.is_finished(job.config)
    except ValueError:
        return False


def groups_of(jobs: Iterable[Job]) -> dict[str, TrainingConfig]:
    """One configuration per group, for the references that its runs share."""
    return {job.config.group: job.config for job in jobs}

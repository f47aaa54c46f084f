"""Compile ahead what environments would compile at their first use."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Annotated, Any

import gymnasium as gym
import typer
from numba import config

from dmoe_gym.compiled.cache import cache_folder
from dmoe_gym.compiled.njit import WORTH_THREADS
from dmoe_gym.evaluation.run import evaluate, evaluate_bound
from dmoe_gym.io.command_line import bar, one_line_errors, wide_console
from dmoe_gym.registration import ENVIRONMENTS, line_up_of


def pieces(env_id: str, scenario: str | None = None) -> Iterator[tuple[str, Callable[[], object]]]:
    """What is to be run once, with a name for each: the environment, every policy and bound of its line-up."""
    # where loops run on several threads they are compiled for that, too
    threads = config.NUMBA_NUM_THREADS > 1  # type: ignore[attr-defined]  # numba sets its options at import
    sizes = (1, WORTH_THREADS) if threads else (1,)
    yield env_id, partial(_step, gym.make, env_id, scenario=scenario)
    for size in sizes[1:]:
        yield env_id, partial(_step, gym.make_vec, env_id, num_envs=size, scenario=scenario)
    line_up = line_up_of(env_id, scenario)
    place = line_up.env_id
    for name, policy in line_up.policies.items():
        for size in sizes:
            yield f"{env_id}: {name}", partial(evaluate, policy, place, scenario=scenario, seeds=range(size))
    for name in line_up.bounds:
        yield f"{env_id}: {name}", partial(evaluate_bound, name, place, scenario=scenario, seeds=range(1))


def _step(make: Callable[..., Any], env_id: str, **options: Any) -> None:
    env = make(env_id, **options)
    env.reset(seed=0)
    env.step(env.action_space.sample())


@one_line_errors
def compile_command(
    env_id: Annotated[list[str] | None, typer.Argument(help="Environments; by default all that can run here.")] = None,
    scenario: Annotated[str | None, typer.Option(help="A named scenario; each environment's own by default.")] = None,
) -> None:
    """Compile ahead what environments, their schedulers and bounds would compile at their first use."""
    console = wide_console()
    asked: Sequence[str] = env_id or list(ENVIRONMENTS)
    work: list[tuple[str, Callable[[], object]]] = []
    for one in asked:
        try:
            work += pieces(one, scenario)
        except ImportError as error:
            if env_id:
                raise
            console.print(f"{one}: left out, {error}", markup=False, highlight=False)
    with bar(console) as bars:
        advance = bars.task("compiling", len(work))
        for name, run in work:
            bars.describe(name)
            run()
            advance(1)
    console.print(f"compiled, kept in {cache_folder()}", highlight=False)

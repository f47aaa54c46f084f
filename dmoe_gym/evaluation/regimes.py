"""The tables of the scenarios: every analytic scheduler on held-out episodes, the strongest named."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from dmoe_gym.dmoe import scenario as named_scenario
from dmoe_gym.dmoe.scenarios import HARDNESS
from dmoe_gym.evaluation.line_up import evaluate_line_up, line_up_of
from dmoe_gym.evaluation.markdown import markdown_table
from dmoe_gym.evaluation.optima import ENV_ID, cached_episodes, cached_optima
from dmoe_gym.evaluation.run import Row, Start
from dmoe_gym.evaluation.seeds import held_out_seeds
from dmoe_gym.evaluation.statistics import Interval, by_policy
from dmoe_gym.evaluation.tuning import BUDGET, TUNED
from dmoe_gym.io.files import write_whole


@dataclass(frozen=True)
class Line:
    """A scheduler in a scenario: its cost, and paired with the optimum and with JESA, in percent of their means."""

    policy: str
    cost: Interval
    above_optimum: Interval
    above_jesa: Interval
    relevance: float
    outages: float
    energy_mj: float


@dataclass(frozen=True)
class ScenarioTable:
    """A scenario's lines by rising cost, its optimum's name and mean cost, and the number of episodes.

    Where the channel is not known, also the bound for schedulers that do not know it, and how far the strongest
    scheduler's mean cost is above that bound's, in percent of it.
    """

    scenario: str
    optimum: str
    optimal_cost: Interval
    lines: list[Line]
    episodes: int
    informed_cost: Interval | None = None
    above_informed: Interval | None = None

    @property
    def strongest(self) -> Line:
        return self.lines[0]


def scenario_table(scenario: str, episodes: int, progress: Start | None = None) -> ScenarioTable:
    """Evaluate every analytic scheduler of a scenario on the first held-out episodes, beside its optimum.

    Where optima of fewer episodes are cached, on those.
    """
    line_up = line_up_of(ENV_ID, scenario)
    episodes = min(episodes, cached_episodes(scenario) or episodes)
    seeds = held_out_seeds(episodes)
    optima = cached_optima(scenario, seeds)
    start = None if progress is None else lambda name: progress(f"{scenario} {name}", episodes)

    def rows_of(*names: str) -> list[Row]:
        return evaluate_line_up(ENV_ID, scenario=scenario, seeds=seeds, names=names, progress=start)

    if optima is None:
        optima = rows_of(line_up.optimum)
    rows = rows_of(*line_up.policies)
    groups = by_policy(rows)
    optimal = np.array([row["cost"] for row in optima])
    jesa = _column(groups["JESA"], "cost")
    lines = []
    for name, group in groups.items():
        costs = _column(group, "cost")
        if (costs < optimal * (1 - 1e-6)).any():
            raise RuntimeError(f"{scenario}: {name} undercuts {line_up.optimum}, which cannot be a bound")
        lines.append(
            Line(
                policy=name,
                cost=Interval.of(costs),
                above_optimum=Interval.of(100 * (costs - optimal) / optimal.mean()),
                above_jesa=Interval.of(100 * (costs - jesa) / jesa.mean()),
                relevance=float(_column(group, "relevance").mean()),
                outages=float(_column(group, "outages").mean()),
                energy_mj=float(_column(group, "energy_per_state_mJ").mean()),
            )
        )
    lines.sort(key=lambda line: line.cost.mean)
    table = ScenarioTable(scenario, line_up.optimum, Interval.of(optimal), lines, episodes)
    if "informed" not in line_up.bounds:
        return table
    informed = _column(rows_of("informed"), "cost")
    room = 100 * (_column(groups[lines[0].policy], "cost") - informed) / informed.mean()
    return replace(table, informed_cost=Interval.of(informed), above_informed=Interval.of(room))


def _column(rows: Sequence[Row], key: str) -> np.ndarray:
    return np.array([row[key] for row in rows], float)


def write_tables(
    scenarios: Sequence[str],
    episodes: int,
    path: Path,
    report: Callable[[str], None] = print,
    progress: Start | None = None,
) -> list[ScenarioTable]:
    """Measure every scenario and write the page."""
    tables = []
    for scenario in scenarios:
        tables.append(scenario_table(scenario, episodes, progress))
        report(_verdict(tables[-1]))
    names = " ".join(scenarios)
    sections = "\n\n".join(_section(table) for table in tables)
    write_whole(path, _TEXT.format(episodes=episodes, names=names, budget=BUDGET, sections=sections))
    return tables


def _verdict(table: ScenarioTable) -> str:
    best = table.strongest
    gap, gain = best.above_optimum, best.above_jesa
    words = (
        f"Strongest analytic scheduler: `{best.policy}`, {gap:.1f} % above {table.optimum} and "
        f"{-gain.mean:.1f} [{-gain.high:.1f}, {-gain.low:.1f}] % below JESA."
    )
    if table.above_informed is not None:
        words += (
            f" It is {table.above_informed:.1f} % above `informed`, which no scheduler that sees the present "
            "observation alone can undercut on average: more room than that there is not."
        )
    elif gap.mean < 10:
        words += f" No scheduler can be more than {gap.mean:.1f} % better."
    return words


def _stages(result: Mapping[str, Any]) -> str:
    stages = zip(result["candidates"], result["episodes_per_candidate"], strict=True)
    return ", then ".join(f"{candidates} candidates on {episodes} episodes" for candidates, episodes in stages)


def _section(table: ScenarioTable) -> str:
    config = named_scenario(table.scenario)
    body: list[list[str]] = [[table.optimum, f"{table.optimal_cost:.4f}", "", "", "", "", ""]]
    if table.informed_cost is not None:
        above = 100 * (table.informed_cost.mean / table.optimal_cost.mean - 1)
        body.append(["informed", f"{table.informed_cost:.4f}", f"{above:.1f}", "", "", "", ""])
    body += [
        [
            line.policy,
            f"{line.cost:.4f}",
            f"{line.above_optimum:.1f}",
            "" if line.policy == "JESA" else f"{line.above_jesa:+.1f}",
            f"{line.relevance:.3f}",
            f"{line.energy_mj:.3f}",
            f"{line.outages:.2f}",
        ]
        for line in table.lines
    ]
    headings = [
        "scheduler",
        "cost",
        f"% above {table.optimum}",
        "% above JESA",
        "relevance",
        "energy per hidden state [mJ]",
        "outages per round",
    ]
    found = json.loads(TUNED.read_text()).get(table.scenario, {}) if TUNED.is_file() else {}
    parameters = "; ".join(
        f"`{name}` {', '.join(f'{key} = {value:g}' for key, value in result['parameters'].items())} ({_stages(result)})"
        for name, result in found.items()
    )
    tuned = f"\n\nTuned: {parameters}." if parameters else ""
    size = (
        f"K = {config.num_experts}, N = {config.num_states}, M = {config.num_subcarriers}, L = {config.num_layers}; "
        f"channel `{config.channel.kind}`; {table.episodes} episodes"
    )
    return (
        f"## `{table.scenario}`\n\n{HARDNESS[table.scenario]} {size}.\n\n{_verdict(table)}\n\n"
        f"{markdown_table(headings, body)}{tuned}"
    )


_TEXT = """# Scenarios where a scheduler has to be good

Every analytic scheduler of a scenario on the same held-out episodes (seeds from 1,000,000). Costs are means per round;
brackets are 95 % bootstrap intervals over episodes, differences are paired by episode and in percent of the mean they
are taken from. Parameters were tuned on training episodes (seeds from 0), {budget} episodes for all candidates of a
scheduler together. Made by

    python -m baselines regimes tune
    python -m baselines regimes optima --episodes {episodes}
    python -m baselines regimes tables {names} --episodes {episodes}

`exact` is the optimum of every round under the true channel; `clairvoyant` is a Lagrangian bound over the episode's
true rounds, which no schedules undercut and perhaps none reach. Both know what no scheduler knows where the channel is
stale or the future counts, so a gap to them is room at most. `informed` (where gains are independent and of known
means) is a bound on the mean cost of every scheduler that sees the present observation alone: each node enumerates its
selections under the law of the present gains given the observed ones, every link at its best.

## Rules (this project's choices)

- **Knowledge** (`csi`): schedulers, masks and repairs see delayed or noisy gains; the cost is that of the true ones.
  `env.unwrapped.observed_round` is what is seen, `env.unwrapped.round` the truth.
- **Slot** (`slot_duration_s` T): a link delivers all its hidden states if rate * T >= payload, else none: an outage. It
  has then transmitted for the whole slot, P0 T per subcarrier; lost hidden states are not computed. A hidden state
  that loses all its experts is served by its own node's expert, so failing on purpose never pays and the optimum has
  no outage.
- **Relevance budget** (`relevance_budget` b): no thresholds. What the episode's mean relevance stays under b is
  charged in its last round, at V per unit and round. `budget_left` is observed.
- **Battery** (`battery_j`): a node pays for what it transmits and what its expert computes. A node that would use more
  than it has left fails for the round: it is drained, delivers nothing, computes for nobody, and its own hidden states
  have relevance 0. `battery` is observed, as a share.
- In all of these the environment repairs actions only to C2-C4; leaving relevance out is priced, not undone.
- `exact` and `lower-bound` are over schedules of at most one subcarrier per link, as actions are; with a slot, several
  subcarriers on one link could deliver more.

{sections}
"""

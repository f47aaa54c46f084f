"""Schedulers tuned or trained under one law, run untouched under others, beside ones tuned or trained anew there."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, ClassVar, NamedTuple

import numpy as np
from pydantic import Field
from stable_baselines3.common.base_class import BaseAlgorithm

from agents.config import load_config, recipe_file
from agents.learners import as_policy, trained
from dmoe_gym.dmoe import scenario as named_scenario
from dmoe_gym.dmoe.policies import JointPolicy
from dmoe_gym.dmoe.schedulers.rounds import JESA
from dmoe_gym.dmoe.schedulers.tuned import CORRECTABLE, TUNABLE
from dmoe_gym.evaluation import evaluate, held_out_seeds, paired_percent
from dmoe_gym.evaluation.table import markdown_table
from experiments.page import Page
from experiments.runner import Experiment, Piece
from experiments.shipped import tune

PAGE = "docs/reports/mismatch.md"
ENV_ID = "DMoE-JESA-Residual-v0"


class Setting(NamedTuple):
    """A scenario under other laws.

    Attributes:
        rule: the analytic scheduler, by its name in tables.
        recipe: of PPO over it.
        laws: by what tables say, the overrides of a law; the first is the scenario's own.
    """

    rule: str
    recipe: str
    laws: Mapping[str, Mapping[str, Any]]

    @property
    def first(self) -> str:
        """The law that schedulers were tuned for and trained under."""
        return next(iter(self.laws))

    @property
    def learned_elsewhere(self) -> bool:
        """Does the recipe train in episodes of another scenario, so that there is one learner for all laws?"""
        return bool(set(load_config(recipe_file(Path(self.recipe))).training_overrides) - {"residual"})


def _stale(doppler_hz: float = 4.0, error_variance: float = 0.05) -> dict[str, Any]:
    own = named_scenario("stale")
    channel, csi = own.channel.model_dump(), own.csi.model_dump()  # type: ignore[attr-defined]
    return {"channel": {**channel, "doppler_hz": doppler_hz}, "csi": {**csi, "error_variance": error_variance}}


def _sun(mean_j: float) -> dict[str, Any]:
    return {"harvest": {**named_scenario("harvest").harvest.model_dump(), "mean_j": mean_j}}  # type: ignore[union-attr]


SETTINGS = {
    "battery": Setting(
        "JESA-battery",
        "residual_ppo_battery",
        {"battery of 18 mJ": {}, "of 12 mJ": {"battery_j": 0.012}, "of 27 mJ": {"battery_j": 0.027}},
    ),
    "harvest": Setting(
        "JESA-harvest",
        "residual_ppo_harvest_transfer",
        {"harvest of 1.4 mJ per round": {}, "of 0.9 mJ": _sun(0.0009), "of 2.1 mJ": _sun(0.0021)},
    ),
    "stale": Setting(
        "JESA-expected",
        "residual_ppo_stale",
        {
            "Doppler of 4 Hz, error variance of 0.05": {},
            "Doppler of 2 Hz": _stale(2.0),
            "Doppler of 8 Hz": _stale(8.0),
            "error variance of 0.2": _stale(error_variance=0.2),
        },
    ),
}


def believed_of(scenario: str, law: str) -> dict[str, Any]:
    """What a scheduler of the first law takes for true where another one holds: the scenario's own values."""
    own = named_scenario(scenario)
    values = {name: getattr(own, name) for name in SETTINGS[scenario].laws[law]}
    return {name: value.model_dump() if hasattr(value, "model_dump") else value for name, value in values.items()}


class Mismatch(Experiment):
    """Every setting's rule and PPO over it: frozen from the first law, and anew in each.

    Attributes:
        episodes: held out.
        budget: training episodes that a rule's candidates together get where it is tuned anew.
        seeds: learners per law.
        anew: the scenarios where learners are trained under the other laws, too. What is learned in episodes of another
            scenario, as for `harvest`, knows no law of it.
        steps: by scenario, of a learner, instead of its recipe's: by default fewer, for there are many learners.
    """

    name: ClassVar[str] = "mismatch"
    about: ClassVar[str] = "what was tuned or trained under one law, under others: frozen and anew"
    places: ClassVar[tuple[str, ...]] = (PAGE,)

    episodes: Annotated[int, Field(ge=2)] = 400
    budget: Annotated[int, Field(ge=200)] = 4_800
    seeds: Annotated[int, Field(ge=1)] = 3
    anew: tuple[str, ...] = ("battery", "stale")
    steps: dict[str, Annotated[int, Field(ge=1)]] = Field(
        default_factory=lambda: {"battery": 98_304, "harvest": 65_536, "stale": 16_384}
    )

    def pieces(self) -> list[Piece]:
        found = []
        for scenario, setting in SETTINGS.items():
            for law in setting.laws:
                where = {"scenario": scenario, "law": law, "episodes": self.episodes}
                found.append(Piece(rules, {**where, "budget": self.budget}))
                learners = range(self.seeds if law == setting.first or scenario in self.anew else 0)
                of = {**where, "steps": self.steps.get(scenario)}
                found += [Piece(learned, {**of, "seed": seed}) for seed in learners]
        return found

    def page(self, values: Sequence[Any]) -> Page:
        keys = (tuple(piece.key.get(name) for name in ("scenario", "law", "seed")) for piece in self.pieces())
        made = dict(zip(keys, values, strict=True))
        cells = []
        for scenario, setting in SETTINGS.items():
            for law in setting.laws:
                costs = made[scenario, law, None]
                learners = {
                    under: _against([made[scenario, under, seed][law] for seed in range(self.seeds)], costs["anew"])
                    for under in (setting.first, law)
                    if (scenario, under, 0) in made
                }
                cells.append(
                    [
                        scenario if law == setting.first else "",
                        f"{law} (as tuned and trained)" if law == setting.first else law,
                        f"{np.mean(costs['anew']):.4f}",
                        *(_against(costs[name], costs["anew"]) for name in ("JESA", "frozen")),
                        learners[setting.first],
                        learners[law] if scenario in self.anew else "–",
                    ]
                )
        headings = ["scenario", "law", "rule tuned anew", "JESA [%]", "rule, frozen [%]"]
        headings += ["PPO, frozen [%]", "PPO, trained anew [%]"]
        return Page({(PAGE, self.name): markdown_table(headings, cells)})


def _against(values: Sequence[float] | Sequence[Sequence[float]], base: Sequence[float]) -> str:
    if np.equal(values, base).all():
        return "the same"
    return f"{paired_percent(np.asarray(values), np.asarray(base)):+.2f}"


def rules(scenario: str, law: str, episodes: int, budget: int) -> dict[str, list[float]]:
    """Costs per held-out episode of JESA, and of the rule as it was tuned for the first law and tuned anew."""
    setting = SETTINGS[scenario]
    overrides = dict(setting.laws[law])
    own, here = named_scenario(scenario), named_scenario(scenario).replace(**overrides)
    frozen = CORRECTABLE[setting.rule](own)
    if overrides:
        anew = TUNABLE[setting.rule][0](here, **tune(scenario, setting.rule, budget, overrides)["parameters"])
    else:
        anew = frozen
    found = {}
    for name, scheduler in {"JESA": JESA(here), "frozen": frozen, "anew": anew}.items():
        rows = evaluate(
            JointPolicy(scheduler), "DMoE-JESA-v0", scenario=scenario, seeds=held_out_seeds(episodes), **overrides
        )
        found[name] = [float(row["cost"]) for row in rows]
    return found


def learned(scenario: str, law: str, episodes: int, seed: int, steps: int | None) -> dict[str, list[float]]:
    """Costs per held-out episode of PPO over the rule of the first law, trained under this one, by law.

    Trained under the first, it runs under all of them; under another, there alone.
    """
    setting = SETTINGS[scenario]
    policy = as_policy(_train(scenario, law, seed, steps))
    found = {}
    for where in setting.laws if law == setting.first else (law,):
        fields = _overrides(scenario, where)
        rows = evaluate(policy, ENV_ID, scenario=scenario, seeds=held_out_seeds(episodes), **fields)
        found[where] = [float(row["cost"]) for row in rows]
    return found


def _overrides(scenario: str, law: str, **residual: Any) -> dict[str, Any]:
    """A law, under a residual over the rule that believes in the first."""
    setting = SETTINGS[scenario]
    over = {"underneath": setting.rule, "believes": believed_of(scenario, law), **residual}
    return {**setting.laws[law], "residual": over}


def _train(scenario: str, law: str, seed: int, steps: int | None) -> BaseAlgorithm:
    setting = SETTINGS[scenario]
    recipe = load_config(recipe_file(Path(setting.recipe)))
    recipe = recipe.replace(total_timesteps=steps or recipe.total_timesteps)
    if not setting.learned_elsewhere:
        reward = recipe.training_overrides.get("residual", {}).get("reward", "cost")
        recipe = recipe.replace(overrides=_overrides(scenario, law, reward=reward), training_overrides={})
    return trained(recipe, seed)

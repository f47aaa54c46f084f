"""Schedulers tuned or trained under one law, run untouched under others, beside ones tuned or trained anew there."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, ClassVar, NamedTuple

import numpy as np
import torch
from pydantic import Field
from stable_baselines3.common.base_class import BaseAlgorithm

from agents.config import load_config, recipe_file
from agents.learners import as_policy, build_env, build_learner
from dmoe_gym.dmoe import scenario as named_scenario
from dmoe_gym.dmoe.policies import JointPolicy
from dmoe_gym.dmoe.schedulers.rounds import JESA
from dmoe_gym.dmoe.schedulers.tuned import CORRECTABLE, TUNABLE
from dmoe_gym.evaluation import evaluate, held_out_seeds, percent_change
from dmoe_gym.evaluation.statistics import Interval
from dmoe_gym.evaluation.table import markdown_table
from experiments.page import Page
from experiments.runner import Experiment, Piece
from experiments.shipped import tune

PAGE = "docs/reports/mismatch.md"
_FIRST = "as tuned and trained"


class Setting(NamedTuple):
    """One knob of a scenario.

    Attributes:
        scenario: what schedulers were tuned and trained in.
        rule: the analytic scheduler, by its name in tables.
        laws: by what tables say, the overrides of a law; the first is the scenario's own.
    """

    scenario: str
    rule: str
    laws: Mapping[str, Mapping[str, Any]]


def _stale(doppler_hz: float = 4.0, error_variance: float = 0.05) -> dict[str, Any]:
    own = named_scenario("stale")
    channel, csi = own.channel.model_dump(), own.csi.model_dump()  # type: ignore[attr-defined]
    return {"channel": {**channel, "doppler_hz": doppler_hz}, "csi": {**csi, "error_variance": error_variance}}


def _sun(mean_j: float) -> dict[str, Any]:
    return {"harvest": {**named_scenario("harvest").harvest.model_dump(), "mean_j": mean_j}}  # type: ignore[union-attr]


SETTINGS = {
    "battery [mJ]": Setting(
        "battery", "JESA-battery", {"18": {}, "12": {"battery_j": 0.012}, "27": {"battery_j": 0.027}}
    ),
    "harvest [mJ per round]": Setting("harvest", "JESA-harvest", {"1.4": {}, "0.9": _sun(0.0009), "2.1": _sun(0.0021)}),
    "Doppler [Hz]": Setting("stale", "JESA-expected", {"4": {}, "2": _stale(2.0), "8": _stale(8.0)}),
    "error variance": Setting(
        "stale", "JESA-expected", {"0.05": {}, "0.01": _stale(error_variance=0.01), "0.2": _stale(error_variance=0.2)}
    ),
}


def believed_of(knob: str, law: str) -> dict[str, Any]:
    """What a scheduler of the first law takes for true where another one holds: the scenario's own values."""
    setting = SETTINGS[knob]
    own = named_scenario(setting.scenario)
    values = {name: getattr(own, name) for name in setting.laws[law]}
    return {name: value.model_dump() if hasattr(value, "model_dump") else value for name, value in values.items()}


class Mismatch(Experiment):
    """Every setting's rule and PPO over it: frozen from the first law, and anew in each.

    Attributes:
        episodes: held out.
        budget: training episodes that a rule's candidates together get where it is tuned anew.
        seeds: learners per law.
        steps: of a learner, instead of its recipe's.
    """

    name: ClassVar[str] = "mismatch"
    about: ClassVar[str] = "what was tuned or trained under one law, under others: frozen and anew"
    places: ClassVar[tuple[str, ...]] = (PAGE,)

    episodes: Annotated[int, Field(ge=2)] = 400
    budget: Annotated[int, Field(ge=200)] = 16_000
    seeds: Annotated[int, Field(ge=1)] = 3
    steps: Annotated[int, Field(ge=1)] | None = None

    def pieces(self) -> list[Piece]:
        found = []
        for knob, setting in SETTINGS.items():
            for law in setting.laws:
                where = {"knob": knob, "law": law, "episodes": self.episodes}
                found.append(Piece(rules, {**where, "budget": self.budget}))
                found += [Piece(learned, {**where, "seed": seed, "steps": self.steps}) for seed in range(self.seeds)]
        return found

    def page(self, values: Sequence[Any]) -> Page:
        cells = []
        made = list(zip(self.pieces(), values, strict=True))
        for knob, setting in SETTINGS.items():
            first = next(iter(setting.laws))
            own = [value for piece, value in made if piece.function is learned and piece.key["knob"] == knob]
            trained = own[: self.seeds]  # under the first law, evaluated in all
            for number, law in enumerate(setting.laws):
                costs = next(value for piece, value in made if piece.key["knob"] == knob and piece.key["law"] == law)
                anew = own[number * self.seeds : (number + 1) * self.seeds]
                base = np.asarray(costs["anew"])
                cells.append(
                    [
                        f"{knob}, {setting.scenario}" if law == first else "",
                        f"{law} ({_FIRST})" if law == first else law,
                        f"{base.mean():.4f}",
                        *(_against(np.asarray(costs[name]), base) for name in ("JESA", "frozen")),
                        _against(np.mean([value[law] for value in trained], 0), base),
                        _against(np.mean([value[law] for value in anew], 0), base),
                    ]
                )
        headings = ["knob, scenario", "law", "rule tuned anew", "JESA [%]", "rule, frozen [%]"]
        headings += ["PPO, frozen [%]", "PPO, trained anew [%]"]
        return Page({(PAGE, self.name): markdown_table(headings, cells)})


def _against(values: np.ndarray, base: np.ndarray) -> str:
    if np.array_equal(values, base):
        return "the same"
    interval: Interval = percent_change(values, base, unit=float(base.mean()))
    return f"{interval:+.2f}"


def rules(knob: str, law: str, episodes: int, budget: int) -> dict[str, list[float]]:
    """Costs per held-out episode of JESA, and of the rule as it was tuned for the first law and tuned anew."""
    setting = SETTINGS[knob]
    scenario, overrides = setting.scenario, dict(setting.laws[law])
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


def learned(knob: str, law: str, episodes: int, seed: int, steps: int | None) -> dict[str, list[float]]:
    """Costs per held-out episode of PPO over the rule of the first law, trained under this one, by law.

    Trained under the first, it runs under all of them; under another, there alone.
    """
    setting = SETTINGS[knob]
    model = _train(setting, knob, law, seed, steps)
    first = next(iter(setting.laws))
    found = {}
    for where in setting.laws if law == first else (law,):
        rows = evaluate(
            as_policy(model),
            "DMoE-JESA-Residual-v0",
            scenario=setting.scenario,
            seeds=held_out_seeds(episodes),
            **_overrides(setting, knob, where),
        )
        found[where] = [float(row["cost"]) for row in rows]
    return found


def _overrides(setting: Setting, knob: str, law: str, **residual: Any) -> dict[str, Any]:
    """A law, under a residual over the rule that believes in the first."""
    over = {"underneath": setting.rule, "believes": believed_of(knob, law), **residual}
    return {**setting.laws[law], "residual": over}


def _train(setting: Setting, knob: str, law: str, seed: int, steps: int | None) -> BaseAlgorithm:
    recipe = load_config(recipe_file(Path(f"residual_ppo_{setting.scenario}")))
    reward = recipe.training_overrides.get("residual", {}).get("reward", "cost")
    recipe = recipe.replace(
        overrides=_overrides(setting, knob, law, reward=reward),
        training_overrides={},
        total_timesteps=steps or recipe.total_timesteps,
    )
    torch.set_num_threads(1)
    model = build_learner(recipe, build_env(recipe, seed), seed)
    return model.learn(recipe.total_timesteps)

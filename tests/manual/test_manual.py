"""What ids say of themselves, `help` and the site's pages, against the spaces, the configurations and the registry."""

from __future__ import annotations

import pydoc
import re
from pathlib import Path

import gymnasium as gym
import pytest
from gymnasium import spaces

from dmoe_gym.facades.manual import decided, observed, story
from dmoe_gym.registration import ENVIRONMENTS, VIEWS, create_core, system_of, systems
from docs import generator

ROOT = Path(__file__).resolve().parents[2]
CASES = [
    (env_id, scenario)
    for env_id in ENVIRONMENTS
    for scenario in system_of(env_id).scenarios
    # a core of DES refuses what binds hidden states together; a language model has the digits' spaces
    if not (env_id == "DMoE-DES-v0" and system_of(env_id).scenarios[scenario].is_limited)
    and not scenario.startswith("language")
]


@pytest.mark.parametrize(("env_id", "scenario"), CASES)
def test_shapes_and_counts_in_symbols_are_those_of_the_spaces(env_id, scenario):
    core = create_core(env_id, 1, scenario, {})
    symbols = generator.symbols_of(core)
    for part in observed(core):
        space = core.observation_space
        shape = (space[part.name] if isinstance(space, spaces.Dict) else space).shape
        assert part.meaning
        assert generator.counted(part.size, symbols) == shape, part
    counts = [count for part in decided(core) for count in generator.counted(part.size, symbols)]
    action = core.action_space
    entries = action.n if isinstance(action, spaces.Discrete) else spaces.flatdim(action)
    if isinstance(action, spaces.MultiDiscrete):
        entries = action.nvec.size
    assert sum(counts) == entries


@pytest.mark.parametrize("env_id", [*ENVIRONMENTS, "DMoE-JESA-Flat-v0", "mo-DMoE-JESA-v0"])
def test_help_says_what_the_id_is(env_id):
    env = gym.make(env_id).unwrapped
    text = pydoc.render_doc(env, renderer=pydoc.plaintext)
    assert f"{env_id.removeprefix('mo-')}: " in text
    for key in env.core.observations:
        assert f"{key} (" in text
    assert all(name in text for name in system_of(env_id.removeprefix("mo-")).scenarios)


@pytest.mark.parametrize("env_id", ["DMoE-JESA-v0", "mo-WDMoE-v0"])
def test_an_environment_without_docstrings_is_made(env_id, monkeypatch):
    """As `python -OO` strips them, and as cores of one's own may have none."""
    core = gym.make(env_id).unwrapped.core
    for kind in type(core).__mro__[:-1]:
        monkeypatch.setattr(kind, "__doc__", None)
    env = gym.make(env_id)
    env.reset(seed=1)
    env.step(env.action_space.sample())
    assert type(core).__name__ in env.unwrapped.__doc__


def test_the_order_of_links_is_the_one_that_is_told():
    """ "0-1, 0-2, ..., 1-0": by the sending node, within it by the receiving one."""
    env = gym.make("DMoE-JESA-v0", scenario="small")
    env.reset(seed=0)
    core = env.unwrapped.core
    bits = core.config.num_experts**2 * core.config.num_states
    action = env.action_space.sample()
    action[:bits] = 1  # D = 2 of them stay, so that links are used
    action[bits:] = range(len(action) - bits)
    env.step(action)
    links = [(i, j) for i in range(4) for j in range(4) if i != j]
    used = {link: int(core.subcarrier[0][link]) for link in links if core.subcarrier[0][link] >= 0}
    assert used
    assert used == {link: links.index(link) for link in used}


@pytest.mark.parametrize("env_id", ENVIRONMENTS)
def test_a_page_per_id_has_its_parts(env_id):
    page = generator.environment_page(env_id)
    core, system = generator.core_of(env_id), system_of(env_id)
    headings = re.findall(r"^#+ (.*)", page, re.MULTILINE)
    asked = ["Observation", "Action", "Reward", "Start and end", "Info", "Arguments", "Version history"]
    assert headings == [f"`{env_id}`", *asked]
    named = [
        *core.meaning,
        *core.term_names,
        *system.scenarios,
        *(n for n, view in VIEWS.items() if view.env_id == env_id),
    ]
    assert [name for name in named if f"`{name}`" not in page] == []
    assert (ROOT / "docs" / "images" / "environments" / f"{env_id}.png").exists()


def test_the_tables_of_scenarios_hold_every_value_that_is_not_the_default():
    _, *sections = re.split(r"^## `(\w+)`$", generator.scenario_tables(), flags=re.MULTILINE)
    tables = dict(zip(sections[::2], sections[1::2], strict=True))
    for system in systems().values():
        for name, config in system.scenarios.items():
            table = tables[type(config).__name__].partition("| field |")[0].splitlines()
            (line,) = [line for line in table if line.startswith(f"| `{name}` |")]
            for field, default in type(config).model_fields.items():
                value = getattr(config, field)
                if value == default.default:
                    continue
                if isinstance(value, int) and f"`{field}`" not in line:
                    assert str(value) in re.split(r" \| ", line), (name, field)
                else:
                    assert f"`{field}` {generator.shown(value, default.default is None)}" in line, (name, field)


def test_every_field_is_explained():
    for system in systems().values():
        kind = type(next(iter(system.scenarios.values())))
        assert [name for name, words in generator.fields_of(kind).items() if not words] == []


def test_an_id_of_ones_own_gets_a_page(monkeypatch):
    monkeypatch.setattr(generator, "ENVIRONMENTS", {**ENVIRONMENTS, "Mine-v0": ENVIRONMENTS["DMoE-JESA-v0"]})
    monkeypatch.setattr("dmoe_gym.registration.ENVIRONMENTS", generator.ENVIRONMENTS)
    assert "[`Mine-v0`](Mine-v0.md)" in generator.environment_list()
    assert "# `Mine-v0`" in generator.environment_page("Mine-v0")


def test_lists_of_attributes_are_read_as_lists():
    """The reference renders "Attributes:"; the old word made a paragraph of them."""
    files = [
        *ROOT.glob("dmoe_gym/**/*.py"),
        *ROOT.glob("agents/**/*.py"),
        *ROOT.glob("experiments/**/*.py"),
        *ROOT.glob("*/*.py"),
    ]
    assert [str(file) for file in files if re.search(r"^\s*Fields:", file.read_text(), re.MULTILINE)] == []


def test_a_core_tells_its_own_story_whatever_it_is_registered_as(monkeypatch):
    """As a class or by its name, or not at all; what another id does is not told."""
    own = create_core("WDMoE-Residual-v0", 1, None, {})
    told = story(own)
    assert "corrects `priced-optimal`" in told[0]
    assert not any("One step decides a whole allocation" in part or part.startswith("Attributes") for part in told)
    known = ENVIRONMENTS["WDMoE-Residual-v0"]
    monkeypatch.setitem(ENVIRONMENTS, "WDMoE-Residual-v0", known._replace(core=type(own)))
    assert story(own) == told
    monkeypatch.delitem(ENVIRONMENTS, "WDMoE-Residual-v0")
    assert story(own) == told

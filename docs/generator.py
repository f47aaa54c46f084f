"""What the site says of ids and scenarios, made from the code when it is built (`hooks` in mkdocs.yml).

Every id gets a page; elsewhere `<!-- environments -->`, `<!-- scenarios -->` and `<!-- readme -->` become those.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

import gymnasium as gym
from gymnasium import spaces

import dmoe_gym  # noqa: F401  registers the environments
from dmoe_gym.config import StrictConfig, SystemConfig
from dmoe_gym.core import BatchedCore
from dmoe_gym.dmoe.config import DMoEConfig
from dmoe_gym.dmoe.scenarios import HARDNESS
from dmoe_gym.facades.manual import decided, observed, short, story
from dmoe_gym.registration import ENVIRONMENTS, VIEWS, create_core, system_of, systems
from dmoe_gym.residual import FeatureCore

ROOT = Path(__file__).resolve().parent.parent


@cache
def core_of(env_id: str) -> BatchedCore:
    """One environment of the default scenario."""
    return create_core(env_id, 1, None, {})


# --- what stands in docstrings


def fields_of(config: type[StrictConfig]) -> dict[str, str]:
    """What the docstrings of a configuration and of what it is a kind of say of its fields."""
    told: dict[str, str] = {}
    for kind in reversed(config.__mro__):
        _, _, text = inspect.cleandoc(kind.__doc__ or "").partition("Attributes:\n")
        for names, words in re.findall(r"^    ([a-z]\w*(?:, \w+)*): (.*(?:\n {5,}.*)*)", text, re.MULTILINE):
            told |= dict.fromkeys(names.split(", "), _in_a_line(words))
    return {name: told.get(name, "") for name in config.model_fields}


def symbols_of(core: BatchedCore) -> dict[str, int]:
    """K, N, M and so on of a core: from its configuration's docstring ("num_experts: K, ..."), else from its shapes."""
    found = {}
    for part in observed(core):
        shape = core.observations[part.name].shape[1:]
        found |= {letter: size for letter, size in zip(_axes(part.size), shape, strict=True) if letter.isalpha()}
    for name, words in fields_of(type(core.config)).items():
        if symbol := re.match(r"([A-Z])[,.]", words):
            found[symbol[1]] = getattr(core.config, name)
    return found


def _axes(size: str) -> list[str]:
    return [axis.strip() for axis in size.strip("()").split(",") if axis.strip()]


def counted(size: str, symbols: Mapping[str, int]) -> tuple[int, ...]:
    """A shape, or a count, in numbers."""
    return tuple(eval(axis, {"__builtins__": {}}, dict(symbols)) for axis in _axes_of(size))


def _axes_of(size: str) -> list[str]:
    return _axes(size) if re.fullmatch(r"\(.*,.*\)", size) else [size]


# --- one page per id


def environment_page(env_id: str) -> str:
    """Description, spaces, reward, start and end, arguments, history."""
    return "\n\n".join(_page(env_id)) + "\n"


def _page(env_id: str) -> Iterator[str]:
    core, system = core_of(env_id), system_of(env_id)
    kind = type(core.config)
    default, symbols = system.default_scenario, symbols_of(core_of(env_id))
    yield f"# `{env_id}`"
    if (ROOT / "docs" / "images" / "environments" / f"{env_id}.png").exists():
        yield f"![A decided step of {env_id}](../images/environments/{env_id}.png)"
    yield from story(core)
    views = [name for name, view in VIEWS.items() if view.env_id == env_id]
    views += [name for name in (f"mo-{env_id}",) if name in gym.registry]
    numbers = ", ".join(f"{name} = {size:g}" for name, size in sorted(symbols.items()))
    yield (
        f'- Made by `gym.make("{env_id}", scenario="{default}")`\n'
        f"- Observation: `{short(core.observation_space)}`; action: `{short(core.action_space)}`\n"
        f"- In the default scenario {numbers or 'all is as below'} ([symbols](../concepts.md#glossary))\n"
        f"- The same episodes in other spaces: {', '.join(f'`{name}`' for name in views)}"
    )
    yield "## Observation"
    yield _observation_table(core, default)
    if isinstance(core, FeatureCore):
        rows = [
            [f"`{name}`", of, said] for of, features in core.features_told.items() for name, said in features.items()
        ]
        yield _table(["feature", "of", "meaning"], rows)
    yield "## Action"
    yield _action_table(core, symbols, default)
    yield "## Reward"
    yield f"{core.reward[0].upper()}{core.reward[1:]}. The formulas are in [{system.name}](../{system.page})."
    yield "## Start and end"
    yield (
        "`reset(seed=s)` starts the first episode of seed s, each later `reset()` the next one; what is drawn does not "
        f"depend on actions. An episode is `terminated` after its last round, {core.rounds_per_episode} by default, "
        "and `truncated` where `max_episode_steps` says so. The last observation repeats the one before."
    )
    yield "## Info"
    yield (
        "After `reset` (all 0) and `step`: "
        + ", ".join(f"`{name}`" for name in core.term_names)
        + (", and `action_mask`." if core.masked else ".")
    )
    yield "## Arguments"
    yield (
        f"- `scenario`: {', '.join(f'`{name}`' for name in system.scenarios)}; `{default}` by default.\n"
        "- `render_mode`: `rgb_array`, `human`, `ansi`, or None, the default.\n"
        f"- Every field of [`{kind.__name__}`](../scenarios.md#{kind.__name__.lower()}), as a keyword argument."
    )
    yield "## Version history"
    yield _history(env_id)


def _observation_table(core: BatchedCore, default: str) -> str:
    space = core.observation_space
    body = []
    for part in observed(core):
        box = space[part.name] if isinstance(space, spaces.Dict) else space
        ends = _span(f"{box.low.min():g}", f"{box.high.max():g}")
        body.append([f"`{part.name}`", f"`{part.size}`", f"`{box.shape}`", str(box.dtype), ends, part.meaning])
    for name, said in core.meaning.items():
        if name not in core.observations:
            size, _, meaning = said.partition(": ")
            body.append([f"`{name}`", f"`{size}`", "not there", "float32", _span("0", "1"), meaning])
    return _table(["key", "shape", f"in `{default}`", "dtype", "from, to", "meaning"], body)


def _action_table(core: BatchedCore, symbols: Mapping[str, int], default: str) -> str:
    body, start = [], 0
    for part in decided(core):
        (count,) = counted(part.size, symbols)
        where = _span(start, start + count - 1) if count > 1 else str(start)
        body.append([part.name, f"`{part.size}`", where, part.meaning])
        start += count
    what = "actions" if isinstance(core.action_space, spaces.Discrete) else "entries"
    return _table(["part", what, f"in `{default}`", "meaning"], body)


def _history(env_id: str) -> str:
    """What the changelog says of an id, by version; one that it does not say to be new is of the first."""
    versions = re.split(r"^## ", (ROOT / "CHANGELOG.md").read_text(), flags=re.MULTILINE)[1:]
    lines = []
    for version in versions:
        heading, _, body = version.partition("\n")
        items = re.findall(r"^- (.*(?:\n  .*)*)", body, re.MULTILINE)
        lines += [f"- {heading}: {_in_a_line(item)}" for item in items if f"`{env_id}`" in item]
    if not any(f"`{env_id}`:" in line for line in lines):
        lines.append(f"- {versions[-1].partition(chr(10))[0]}: first version.")
    return "\n".join(lines)


def _in_a_line(text: str) -> str:
    return re.sub(r"\s+", " ", text)


def environment_list() -> str:
    """All ids in a table."""
    body = []
    for env_id in ENVIRONMENTS:
        core = core_of(env_id)
        body.append([f"[`{env_id}`]({env_id}.md)", story(core)[0].replace("\n", " "), f"`{short(core.action_space)}`"])
    return _table(["id", "what a step is", "action, in the default scenario"], body)


# --- scenarios and fields


def scenario_tables() -> str:
    """A section per kind of configuration: its scenarios and their values, then its fields."""
    parts, seen = [], []
    for system in systems().values():
        if system.scenarios in seen:
            continue
        seen.append(system.scenarios)
        config = next(iter(system.scenarios.values()))
        ids = ", ".join(f"`{env_id}`" for env_id in ENVIRONMENTS if system_of(env_id).scenarios == system.scenarios)
        parts += [f"## `{type(config).__name__}`", f"Of {ids}.", _values(system.scenarios), _fields(type(config))]
    return "\n\n".join(parts)


def _values(scenarios: Mapping[str, SystemConfig]) -> str:
    kind = type(next(iter(scenarios.values())))
    told, default = fields_of(kind), kind.model_fields
    sizes = {name: words[0] for name, words in told.items() if re.match("[A-Z][,.]", words) and name != "bandwidth_hz"}
    body = []
    for name, config in scenarios.items():
        others = [
            f"`{field}` {shown(getattr(config, field), default[field].default is None)}"
            for field in default
            if field not in sizes and getattr(config, field) != default[field].default
        ]
        body.append([f"`{name}`", *(str(getattr(config, field)) for field in sizes), "; ".join(others)])
    reasons = "".join(f"\n- `{name}`: {reason}" for name, reason in HARDNESS.items()) if kind is DMoEConfig else ""
    table = _table(["scenario", *sizes.values(), "other fields that are not the default"], body)
    return f"{table}\n\nWhat makes each hard:\n{reasons}" if reasons else table


def _fields(config: type[SystemConfig]) -> str:
    sections = {type(next(iter(system.scenarios.values()))) for system in systems().values()}
    # what stands before it among the bases has no section of its own
    parent = next((base for base in config.__mro__[1:] if base in sections), None)
    known = set() if parent is None else set(parent.model_fields) - set(config.__annotations__)
    own = [name for name in config.model_fields if name not in known]
    told, fields = fields_of(config), config.model_fields
    rows = [
        [f"`{name}`", shown(fields[name].default), valid(fields[name].annotation, fields[name].metadata), told[name]]
        for name in own
    ]
    table = _table(["field", "default", "valid", "meaning"], rows)
    if parent is None:
        return table
    return f"{table}\n\nThe other fields are those of [`{parent.__name__}`](#{parent.__name__.lower()})."


def shown(value: Any, whole: bool = False) -> str:
    """A value in a cell; of a part its kind and what is not the default, or everything."""
    if isinstance(value, tuple):
        return f"`({', '.join(f'{part:g}' for part in value)})`"
    if not isinstance(value, StrictConfig):
        return f"`{value:g}`" if isinstance(value, float) else f"`{value}`"
    fields = {name: field.default for name, field in type(value).model_fields.items() if name != "kind"}
    own = [name for name, default in fields.items() if whole or getattr(value, name) != default]
    inside = ", ".join(f"{name} {shown(getattr(value, name))}" for name in own)
    return f"`{getattr(value, 'kind', type(value).__name__)}`" + f" ({inside})" * bool(inside)


def valid(annotation: Any, metadata: Any) -> str:
    """The choices or the bounds of a field, of every number that stands in its type."""
    signs = {"ge": "at least", "gt": "above", "le": "at most", "lt": "below"}
    if get_origin(annotation) is Literal:
        return ", ".join(f"`{choice}`" for choice in get_args(annotation))
    limits = [
        (sign, f"{getattr(one, sign):g}")
        for one in _constraints(annotation, metadata)
        for sign in signs
        if hasattr(one, sign)
    ]
    ends = dict(limits)
    if ends.keys() == {"ge", "le"}:
        return _span(ends["ge"], ends["le"])
    return ", ".join(f"{signs[sign]} {limit}" for sign, limit in ends.items())


def _constraints(annotation: Any, metadata: Any) -> Iterator[Any]:
    for one in metadata:
        yield from (one, *getattr(one, "metadata", ()))
    for inner in get_args(annotation):
        yield from _constraints(inner, getattr(inner, "__metadata__", ()))


def _span(first: object, last: object) -> str:
    """From, to, in one line."""
    return f"{first}\u00a0to\u00a0{last}"


def _table(headings: list[str], body: list[list[str]]) -> str:
    """A table of words: everything to the left."""
    return "\n".join(f"| {' | '.join(line)} |" for line in [headings, ["---"] * len(headings), *body])


# --- what mkdocs calls


def on_config(config: Any) -> Any:
    """The pages of the ids stand in the menu, below the list of them."""
    section = next(part["Environments"] for part in config.nav if "Environments" in part)
    section[1:1] = [{env_id: f"environments/{env_id}.md"} for env_id in ENVIRONMENTS]
    return config


def on_files(files: Any, config: Any) -> Any:
    """Adds them."""
    from mkdocs.structure.files import File

    for env_id in ENVIRONMENTS:
        files.append(File.generated(config, f"environments/{env_id}.md", content=environment_page(env_id)))
    return files


def on_page_markdown(markdown: str, **_: Any) -> str:
    """Puts tables where they belong, and the README on the first page."""
    for name, made in {"environments": environment_list, "scenarios": scenario_tables, "readme": readme}.items():
        if f"<!-- {name} -->" in markdown:
            markdown = markdown.replace(f"<!-- {name} -->", made())
    return markdown


def readme() -> str:
    """The README with the site's links."""
    return (ROOT / "README.md").read_text().replace("](docs/", "](").replace("](CHANGELOG.md)", "](changelog.md)")

"""The one reader of YAML in the suite: recipes, search spaces, values on the command line.

Stricter than PyYAML where that is silent, by YAML 1.2's core schema: `1e-4` is a number and `on` is text; a key that
stands twice, a key that is no text and a tag are refused. What anchors expand to is counted before it is built.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

import yaml
from yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

from dmoe_gym.io.files import regular_file

# Bounds on a file [characters], on its nodes with all anchors expanded, and on how deeply they nest.
MOST_CHARACTERS, MOST_NODES, DEEPEST = 200_000, 100_000, 50
_SCALARS: dict[str, re.Pattern[str]] = {
    "null": re.compile(r"(?:~|null|Null|NULL|)$"),
    "bool": re.compile(r"(?:true|True|TRUE|false|False|FALSE)$"),
    "int": re.compile(r"(?:[-+]?[0-9][0-9_]*|0o[0-7]+|0x[0-9a-fA-F]+)$"),
    "float": re.compile(
        r"(?:[-+]?(?:\.[0-9]+|[0-9][0-9_]*(?:\.[0-9_]*)?)(?:[eE][-+]?[0-9]+)?|[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN))$"
    ),
}


class _Resolver:
    """Which plain scalars are numbers, truth values or nothing."""

    yaml_implicit_resolvers: ClassVar[dict[Any, Any]] = {
        None: [(f"tag:yaml.org,2002:{kind}", pattern) for kind, pattern in _SCALARS.items()]
    }


class _Dumper(_Resolver, yaml.SafeDumper):
    """Writes what the reader reads back as the same."""


class _Loader(_Resolver, yaml.SafeLoader):
    """Composes nodes, none of them deeper than `DEEPEST`; `_built` makes values of them."""

    _depth = -1

    def compose_node(self, parent: Node | None, index: Any) -> Node | None:
        self._depth += 1
        if self._depth > DEEPEST:
            raise ValueError(f"is nested deeper than {DEEPEST} levels")
        node = super().compose_node(parent, index)
        self._depth -= 1
        return node


def read_yaml(path: Path) -> dict[str, Any]:
    """The mapping in a YAML file.

    Raises:
        ValueError: naming the file, the line and what is wrong.
    """
    with regular_file(path, "file").open("rb") as file:
        content = file.read(MOST_CHARACTERS + 1)
    if len(content) > MOST_CHARACTERS:
        raise ValueError(f"{path}: is longer than {MOST_CHARACTERS:,} bytes, the most that is read")
    try:
        value = parse_yaml(content.decode())
    except UnicodeDecodeError as error:
        raise ValueError(f"{path}: is no text ({error})") from None
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from None
    if not isinstance(value, dict):
        raise ValueError(f"{path}: holds {type(value).__name__}, valid is a mapping of fields")
    return value


def parse_yaml(text: str) -> Any:
    """The value of a YAML document: mappings with text as keys, lists, text, numbers, truth values and None.

    Raises:
        ValueError: in one line, what is wrong and where.
    """
    try:
        node = yaml.compose(text, Loader=_Loader)
        if node is None:
            return None
        _size(node, {}, 0)
        return _built(node)
    except yaml.YAMLError as error:
        raise ValueError(f"is no YAML ({' '.join(str(error).split())[:200]})") from None


def dump_yaml(value: Mapping[str, Any]) -> str:
    """A mapping of plain values as YAML that `parse_yaml` reads back as the same, without anchors."""

    class Dumper(_Dumper):
        def ignore_aliases(self, data: Any) -> bool:
            return True

    return yaml.dump(dict(value), Dumper=Dumper, sort_keys=False)


def _size(node: Node, known: dict[int, int], depth: int) -> int:
    """How many nodes there are below a node, itself included, each as often as anchors repeat it.

    Raises:
        ValueError: if they are too many, or too deep; what contains itself is.
    """
    if depth > DEEPEST:
        raise ValueError(f"{_line(node)}is nested deeper than {DEEPEST} levels")
    if id(node) not in known:
        parts = node.value if isinstance(node, SequenceNode | MappingNode) else []
        below = [part for pair in parts for part in (pair if isinstance(pair, tuple) else (pair,))]
        known[id(node)] = 1 + sum(_size(part, known, depth + 1) for part in below)
        if known[id(node)] > MOST_NODES:
            raise ValueError(f"{_line(node)}expands to more than {MOST_NODES:,} values")
    return known[id(node)]


def _built(node: Node) -> Any:
    if isinstance(node, SequenceNode) and node.tag == "tag:yaml.org,2002:seq":
        return [_built(part) for part in node.value]
    if isinstance(node, MappingNode) and node.tag == "tag:yaml.org,2002:map":
        built: dict[str, Any] = {}
        for key, value in node.value:
            if not isinstance(key, ScalarNode) or key.tag != "tag:yaml.org,2002:str":
                said = key.value if isinstance(key, ScalarNode) else "a list or mapping"
                raise ValueError(f"{_line(key)}the key {said} is no text")
            if key.value in built:
                raise ValueError(f"{_line(key)}{key.value} stands there twice")
            built[key.value] = _built(value)
        return built
    if isinstance(node, ScalarNode):
        kind, text = node.tag.removeprefix("tag:yaml.org,2002:"), node.value
        if kind == "str":
            return text
        if kind in _SCALARS and _SCALARS[kind].match(text):
            return _scalar(kind, text, node)
    raise ValueError(f"{_line(node)}the tag {node.tag} is not read; valid are plain values")


def _scalar(kind: str, text: str, node: Node) -> Any:
    if kind == "null":
        return None
    if kind == "bool":
        return text.lower() == "true"
    if kind == "float":
        plain = text.replace("_", "").lower()
        return float(plain.replace(".", "") if plain.endswith(("inf", "nan")) else plain)
    try:
        return int(text, 0) if text.startswith(("0o", "0x")) else int(text.replace("_", ""))
    except ValueError as error:  # Python bounds how long a number may be
        raise ValueError(f"{_line(node)}{text[:20]}...: {error}") from None


def _line(node: Node) -> str:
    return f"line {node.start_mark.line + 1}: " if node.start_mark is not None else ""

"""What of a source can become a part of compiled code, and what that part uses of other modules."""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator
from typing import NamedTuple, Self

# What is asked of a module: names that it defines or hands on; None for all of it.
Asked = set[str] | None
Request = tuple[str, Asked]
# decorators of what is never compiled
_PLAIN = {
    "abstractmethod", "cache", "cached_property", "classmethod", "contextmanager", "dataclass", "field_validator",
    "model_validator", "override", "property", "staticmethod",
}  # fmt: skip
# classes whose instances or members compiled code reads
_READ = {"NamedTuple", "Enum", "IntEnum"}
_IMPORTS = (ast.Import, ast.ImportFrom)


class Piece(NamedTuple):
    """A statement of a module.

    Attributes:
        name: what it defines, if it is a function or class.
        is_plain: is it a function or class that is not compiled, nor read by what is?
        text: without comments; names: that it uses.
        requests: what imports inside it ask of which modules.
    """

    name: str
    is_plain: bool
    text: str
    names: set[str]
    requests: list[Request]


class Source(NamedTuple):
    """A module, taken apart once.

    Attributes:
        pieces: its statements but imports.
        imports: by every name that an import binds, what it asks of which modules.
    """

    pieces: list[Piece]
    imports: list[tuple[str, list[Request]]]

    @classmethod
    def of(cls, content: bytes, whole: bool) -> Self:
        """Of a file's content; `whole` keeps the methods of tuples."""
        tree = ast.parse(content)
        _strip(tree, with_methods=whole)
        imports = [node for node in tree.body if isinstance(node, _IMPORTS)]
        pieces = []
        for node in tree.body:
            if not isinstance(node, _IMPORTS) and not _is_type_checking(node):
                within = [each for part in ast.walk(node) if isinstance(part, _IMPORTS) for each in _bindings(part)]
                requests = [request for _, requests in within for request in requests]
                name = getattr(node, "name", "")
                pieces.append(Piece(name, _is_plain(node), ast.unparse(node), _names([node]), requests))
        return cls(pieces, [each for node in imports for each in _bindings(node)])

    def compiled_part(self, asked: Asked) -> tuple[str, list[Request]]:
        """What compiled code can depend on, and what that asks of which modules.

        These are the module's own statements and what is decorated by a compiler, what is asked, and whatever plain
        functions, classes and imports those name, and so on: compiled code itself can use no others.
        """
        kept = [not piece.is_plain or asked is None for piece in self.pieces]
        used = set(asked or ()).union(*(piece.names for piece, keep in zip(self.pieces, kept, strict=True) if keep))
        while more := [at for at, piece in enumerate(self.pieces) if not kept[at] and piece.name in used]:
            for at in more:
                kept[at] = True
                used |= self.pieces[at].names
        parts = [piece for piece, keep in zip(self.pieces, kept, strict=True) if keep]
        bindings = [(bound, requests) for bound, requests in self.imports if asked is None or bound in used]
        lines = [piece.text for piece in parts] + sorted(f"{bound} {requests}" for bound, requests in bindings)
        asking = [*(piece.requests for piece in parts), *(requests for _, requests in bindings)]
        return "\n".join(lines), [request for requests in asking for request in requests]


def _strip(tree: ast.Module, with_methods: bool) -> None:
    """Take out documentation, annotations of functions, and methods of tuples, which nothing compiled can call."""
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.ClassDef | ast.Module) and ast.get_docstring(node, False) is not None:
            node.body = node.body[1:] or [ast.Pass()]
        if isinstance(node, ast.ClassDef) and not with_methods and _READ & _names(node.bases):
            node.body = [part for part in node.body if not _is_plain(part)] or [ast.Pass()]
        if isinstance(node, ast.FunctionDef):
            node.returns = None
            for argument in ast.walk(node.args):
                if isinstance(argument, ast.arg):
                    argument.annotation = None


def _names(nodes: Iterable[ast.AST]) -> set[str]:
    return {part.id for node in nodes for part in ast.walk(node) if isinstance(part, ast.Name)}


def _is_type_checking(node: ast.stmt) -> bool:
    return isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING"


def _is_plain(node: ast.stmt) -> bool:
    """Is it a function or class that is not compiled, nor read by what is?"""
    if isinstance(node, ast.ClassDef) and _READ & _names(node.bases):
        return False
    return isinstance(node, ast.FunctionDef | ast.ClassDef) and not any(map(_is_decorated, ast.walk(node)))


def _is_decorated(node: ast.AST) -> bool:
    """By anything that may compile it."""
    if not isinstance(node, ast.FunctionDef | ast.ClassDef):
        return False
    kinds = [kind.func if isinstance(kind, ast.Call) else kind for kind in node.decorator_list]
    return any(
        (kind.attr if isinstance(kind, ast.Attribute) else getattr(kind, "id", "")) not in _PLAIN for kind in kinds
    )


def _bindings(node: ast.Import | ast.ImportFrom) -> Iterator[tuple[str, list[Request]]]:
    """What an import binds, and what it may ask of which modules: an imported name may be a module itself."""
    for alias in node.names:
        if isinstance(node, ast.Import):
            yield alias.asname or alias.name.partition(".")[0], [(alias.name, None)]
        else:
            asked: Asked = None if alias.name == "*" else {alias.name}
            yield alias.asname or alias.name, [(node.module or "", asked), (f"{node.module}.{alias.name}", None)]

"""What of a source can become a part of compiled code, and which modules that part uses."""

from __future__ import annotations

import ast
from collections.abc import Iterator

# decorators of what is never compiled
_PLAIN = {
    "abstractmethod", "cache", "cached_property", "classmethod", "contextmanager", "dataclass", "field_validator",
    "model_validator", "override", "property", "staticmethod",
}  # fmt: skip
# classes whose instances or members compiled code reads
_READ = {"NamedTuple", "Enum", "IntEnum"}


def compiled_part(source: bytes, whole: bool) -> tuple[str, set[str]]:
    """The part of a module that compiled code can depend on, without comments, and the names of modules it may import.

    Plain functions and classes are left out, unless the module's own statements call them: what is compiled can use
    neither. Then as many imports as the rest needs. `whole` leaves out nothing but comments and documentation.
    """
    tree = ast.parse(source)
    everything = _names(tree.body)
    if not whole:
        tree.body = [node for node in tree.body if not _is_type_checking(node)]
        statements = [node for node in tree.body if not isinstance(node, ast.FunctionDef | ast.ClassDef)]
        called = _names(statements)
        tree.body = [node for node in tree.body if _can_be_compiled(node, called)]
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.ClassDef | ast.Module) and ast.get_docstring(node, False) is not None:
            node.body = node.body[1:] or [ast.Pass()]
        if isinstance(node, ast.ClassDef) and not whole:
            node.body = [part for part in node.body if _can_be_compiled(part, set())] or [ast.Pass()]
        if isinstance(node, ast.FunctionDef):
            for argument in ast.walk(node.args):
                if isinstance(argument, ast.arg):
                    argument.annotation = None
            node.returns = None
    imports = [node for node in ast.walk(tree) if isinstance(node, ast.Import | ast.ImportFrom)]
    rest = [node for node in tree.body if node not in imports]
    # an import that this module does not use itself hands a name on to others
    left_out = set() if whole else everything - _names(rest)
    needed = [(bound, names) for node in imports for bound, names in _bindings(node) if bound not in left_out]
    kept = "\n".join(ast.unparse(node) for node in rest)
    bindings = sorted(f"{bound} {names}" for bound, names in needed)
    return "\n".join([kept, *bindings]), {name for _, names in needed for name in names}


def _names(nodes: list[ast.stmt]) -> set[str]:
    return {part.id for node in nodes for part in ast.walk(node) if isinstance(part, ast.Name)}


def _is_type_checking(node: ast.stmt) -> bool:
    return isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING"


def _can_be_compiled(node: ast.stmt, called: set[str]) -> bool:
    if isinstance(node, ast.ClassDef) and not _READ & _names([node]) and node.name not in called:
        return any(_is_decorated(part) for part in ast.walk(node))
    if isinstance(node, ast.FunctionDef) and node.name not in called:
        return any(_is_decorated(part) for part in ast.walk(node))
    return True


def _is_decorated(node: ast.AST) -> bool:
    """By anything that may compile it."""
    if not isinstance(node, ast.FunctionDef | ast.ClassDef):
        return False
    kinds = [kind.func if isinstance(kind, ast.Call) else kind for kind in node.decorator_list]
    return any(
        (kind.attr if isinstance(kind, ast.Attribute) else getattr(kind, "id", "")) not in _PLAIN for kind in kinds
    )


def _bindings(node: ast.Import | ast.ImportFrom) -> Iterator[tuple[str, list[str]]]:
    """What an import binds, and the modules that may stand behind it."""
    if isinstance(node, ast.Import):
        for alias in node.names:
            yield alias.asname or alias.name.partition(".")[0], [alias.name]
    else:
        for alias in node.names:
            yield alias.asname or alias.name, [node.module or "", f"{node.module}.{alias.name}"]

"""Small changes of a source: what a slip of the hand could have written instead."""

from __future__ import annotations

import ast
import copy
import hashlib
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

_OPERATORS: dict[type[ast.AST], type[ast.AST]] = {
    ast.Add: ast.Sub,
    ast.Sub: ast.Add,
    ast.Mult: ast.Div,
    ast.Div: ast.Mult,
    ast.FloorDiv: ast.Mult,
    ast.Mod: ast.FloorDiv,
    ast.Pow: ast.Mult,
    ast.BitAnd: ast.BitOr,
    ast.BitOr: ast.BitAnd,
    ast.LShift: ast.RShift,
    ast.RShift: ast.LShift,
    ast.Lt: ast.LtE,
    ast.LtE: ast.Lt,
    ast.Gt: ast.GtE,
    ast.GtE: ast.Gt,
    ast.Eq: ast.NotEq,
    ast.NotEq: ast.Eq,
    ast.Is: ast.IsNot,
    ast.IsNot: ast.Is,
    ast.In: ast.NotIn,
    ast.NotIn: ast.In,
    ast.And: ast.Or,
    ast.Or: ast.And,
}
_NAMES = {
    "min": "max",
    "max": "min",
    "any": "all",
    "all": "any",
    "minimum": "maximum",
    "maximum": "minimum",
    "argmin": "argmax",
    "argmax": "argmin",
    "zeros": "ones",
    "ones": "zeros",
    "floor": "ceil",
    "ceil": "floor",
}


@dataclass(frozen=True)
class Mutant:
    """One change: in `file` (from the checkout's root) on `line`, `before` becomes `after`."""

    file: str
    line: int
    statement: int  # its first line
    start: int
    end: int
    before: str
    after: str
    function: str
    place: str  # its line, the change between « and »

    @property
    def name(self) -> str:
        return f"{self.file}:{self.line} [{self.function}] {_short(self.before)}  ->  {_short(self.after)}"

    def applied(self, source: str) -> str:
        """The source with the change."""
        data = source.encode()
        return (data[: self.start] + self.after.encode() + data[self.end :]).decode()


def _short(text: str) -> str:
    return " ".join(text.split())


def mutants_of(root: Path, file: str) -> list[Mutant]:
    """Every change of a file, in order."""
    source = (root / file).read_text()
    offsets = [0]
    for line in source.encode().splitlines(keepends=True):
        offsets.append(offsets[-1] + len(line))
    found = []
    for node, changed, function, statement in _changes(ast.parse(source), "", 1):
        start = offsets[node.lineno - 1] + node.col_offset
        end = offsets[node.end_lineno - 1] + node.end_col_offset
        before = source.encode()[start:end].decode()
        after = ast.unparse(ast.fix_missing_locations(changed))
        if isinstance(node, ast.expr):
            after = f"({after})"
        line = source.encode()[offsets[node.lineno - 1] : start].decode() + "«" + before.partition("\n")[0] + "»"
        if "\n" not in before:
            line += source.encode()[end : offsets[node.lineno]].decode()
        mutant = Mutant(file, node.lineno, statement, start, end, before, after, function, line.strip())
        ast.parse(mutant.applied(source))
        found.append(mutant)
    return found


def drawn(root: Path, files: list[str], count: int, seed: str) -> list[Mutant]:
    """So many of the files' changes, each as likely as any other; the same ones while their lines stay as they are."""
    lots: list[tuple[str, Mutant]] = []
    for file in files:
        seen: Counter[tuple[str, str]] = Counter()
        for mutant in mutants_of(root, file):
            same = mutant.place, mutant.after
            seen[same] += 1
            lot = "\0".join((seed, file, *same, str(seen[same])))
            lots.append((hashlib.sha256(lot.encode()).hexdigest(), mutant))
    first = sorted(lots, key=lambda drawn: drawn[0])[:count]
    return sorted((mutant for _, mutant in first), key=lambda m: (m.file, m.start, m.after))


def _changes(node: ast.AST, function: str, statement: int) -> Iterator[tuple[ast.AST, ast.AST, str, int]]:
    """(node, what stands in its place, function, statement) for every change that a result can depend on."""
    statement = node.lineno if isinstance(node, ast.stmt) else statement
    children: list[ast.AST] = list(ast.iter_child_nodes(node))
    match node:
        case ast.Raise() | ast.JoinedStr() | ast.Import() | ast.ImportFrom() | ast.Assert():
            return  # words of messages are not results
        case ast.If() if ast.unparse(node.test) == "TYPE_CHECKING":
            return
        case ast.FunctionDef():  # its annotations and decorators aside
            function = f"{function}.{node.name}".lstrip(".")
            children = [default for default in (*node.args.defaults, *node.args.kw_defaults) if default] + node.body
        case ast.ClassDef():
            function, children = f"{function}.{node.name}".lstrip("."), list(node.body)
        case ast.AnnAssign():
            children = [node.value] if node.value is not None else []
        case _:
            for changed in _changed(node):
                yield node, changed, function, statement
    for child in children:
        yield from _changes(child, function, statement)


def _changed(node: ast.AST) -> Iterator[ast.AST]:
    """What may stand in a node's place."""
    match node:
        case ast.BinOp() | ast.BoolOp() | ast.AugAssign():
            if type(node.op) in _OPERATORS:
                yield _with(node, op=_OPERATORS[type(node.op)]())
        case ast.Compare():
            for position, operator in enumerate(node.ops):
                operators: list[ast.AST] = list(node.ops)
                operators[position] = _OPERATORS[type(operator)]()
                yield _with(node, ops=operators)
        case ast.UnaryOp(op=ast.Not() | ast.USub()):
            yield copy.deepcopy(node.operand)
        case ast.Constant(value=bool()):
            yield ast.Constant(not node.value)
        case ast.Constant(value=int()):
            yield ast.Constant(node.value + 1)
        case ast.Constant(value=float()):
            yield ast.Constant(2 * node.value if node.value else 1.0)
        case ast.IfExp():
            yield _with(node, body=node.orelse, orelse=node.body)
        case ast.Call(func=ast.Name(id=name)) if name in _NAMES:
            yield _with(node, func=ast.Name(_NAMES[name], ast.Load()))
        case ast.Call(func=ast.Attribute(attr=name)) if name in _NAMES:
            yield _with(node, func=_with(node.func, attr=_NAMES[name]))
    match node:
        case ast.AugAssign() | ast.Expr(value=ast.Call()) | ast.Continue():
            yield ast.Pass()
        case ast.Assign(targets=[ast.Subscript() | ast.Attribute()]):
            yield ast.Pass()
        case ast.Break():
            yield ast.Continue()


def _with(node: ast.AST, **fields: object) -> ast.AST:
    changed = copy.deepcopy(node)
    for name, value in fields.items():
        setattr(changed, name, copy.deepcopy(value))
    return changed

"""Functions that take something out of a pool and do not give it back on every way: by the source, names only.

`pool.get()` outside of a `with`, whose result is given back nowhere in the function, or not in a `finally`. What is
kept in a list or handed to somebody may be given back elsewhere, so all of it is inferred: a place to look at.
"""

from __future__ import annotations

import ast
import warnings
from collections.abc import Iterator, Sequence
from typing import NamedTuple

#: Lines of a file that is looked at; functions told of one.
MAX_LINES, MAX_FOUND = 20_000, 8
_CLOSES = frozenset({"close", "release", "put", "put_back", "give_back", "__exit__"})
_Function = ast.FunctionDef | ast.AsyncFunctionDef


class Taker(NamedTuple):
    function: str
    line: int  #: at which it takes
    how: str  #: 'nowhere', 'returned' (to its caller), 'early' (a way out before it is given back, see `back`)
    back: int = 0  #: line at which it is given back


class Taken(NamedTuple):
    """How a line takes: `thing.method(...)`."""

    thing: str  #: last name: 'pool' of 'self.pool'
    method: str


def takers(lines: Sequence[str], taken: Taken, gives: frozenset[str]) -> list[Taker]:
    """`gives`: methods of the thing that give back. Empty for what is no Python that is known here. Never raises."""
    if not 0 < len(lines) <= MAX_LINES:
        return []
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            tree = ast.parse("\n".join(lines))
        found: list[Taker] = []
        for node in ast.walk(tree):
            if isinstance(node, _Function) and len(found) < MAX_FOUND:
                found += _of(node, taken, gives | _CLOSES)
        return found
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return []


def takes(lines: Sequence[str], line: int) -> Taken | None:
    """The one call on a line that could take something: `db = self.pool.get()`, `with engine.connect() as db`."""
    text = lines[line - 1].strip() if 0 < line <= len(lines) else ""
    try:
        tree = ast.parse(text + "\n    pass" if text.endswith(":") else text)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None
    first = tree.body[0] if tree.body else tree
    heads: list[ast.AST] = [i.context_expr for i in first.items] if isinstance(first, ast.With) else [tree]
    calls = [n for h in heads for n in ast.walk(h) if isinstance(n, ast.Call) and isinstance(n.func, ast.Attribute)]
    found = {Taken(_last(c.func.value), c.func.attr) for c in calls if isinstance(c.func, ast.Attribute)}
    found = {t for t in found if t.thing}
    return found.pop() if len(found) == 1 else None


def gives_back(lines: Sequence[str], line: int, taken: Taken, gives: frozenset[str]) -> bool:
    """Whether the function around a line gives back the very thing that it takes there: it is lent, not work."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            tree = ast.parse("\n".join(lines)) if 0 < len(lines) <= MAX_LINES else ast.Module([], [])
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return False
    around = [n for n in ast.walk(tree) if isinstance(n, _Function) and n.lineno <= line <= (n.end_lineno or n.lineno)]
    if not around:
        return False
    function = max(around, key=lambda n: n.lineno)
    nodes = list(_own(function))
    names = {name for n in nodes if (name := _assigned(n, taken))}
    return any(_back(n, taken, gives, name) for n in nodes for name in names)


def _of(function: _Function, taken: Taken, gives: frozenset[str]) -> Iterator[Taker]:
    nodes = list(_own(function))
    entered = {id(item.context_expr) for n in nodes if isinstance(n, ast.With | ast.AsyncWith) for item in n.items}
    entered |= {id(a) for n in nodes if isinstance(n, ast.Call) and id(n) in entered for a in n.args}  # closing(x)
    for node in nodes:
        if not isinstance(node, ast.Call) or not _is_take(node, taken) or id(node) in entered:
            continue
        name = next((a for n in nodes if (a := _assigned(n, taken)) and node in ast.walk(n)), "")
        calls = [n for n in nodes if isinstance(n, ast.Call) and n.lineno >= node.lineno]
        yield from _judged(function, node, name, [n for n in calls if _back(n, taken, gives, name)], nodes)


def _judged(
    function: _Function, take: ast.Call, name: str, back: list[ast.Call], nodes: list[ast.AST]
) -> Iterator[Taker]:
    if not back:
        handed = any(isinstance(n, ast.Return | ast.Yield) and _mentions(n.value, name) for n in nodes)
        straight = any(isinstance(n, ast.Return) and n.value is take for n in nodes)
        yield Taker(function.name, take.lineno, "returned" if handed or straight else "nowhere")
        return
    finals = [s for n in nodes if isinstance(n, ast.Try) for s in n.finalbody]
    if any(call in ast.walk(s) for s in finals for call in back):
        return
    last = max(call.lineno for call in back)
    leaves = [n for n in nodes if isinstance(n, ast.Return | ast.Raise) and take.lineno < n.lineno < last]
    works = [n for n in nodes if isinstance(n, ast.Call) and take.lineno < n.lineno < last]
    if leaves or works:
        yield Taker(function.name, take.lineno, "early", last)


def _own(function: _Function) -> Iterator[ast.AST]:
    """Without what is in functions and classes inside it."""
    todo: list[ast.AST] = list(function.body)
    while todo:
        node = todo.pop()
        yield node
        if not isinstance(node, _Function | ast.ClassDef | ast.Lambda):
            todo += ast.iter_child_nodes(node)


def _is_take(node: ast.AST, taken: Taken) -> bool:
    return (
        isinstance(node, ast.Call)
        and isinstance(node.func, ast.Attribute)
        and node.func.attr == taken.method
        and _last(node.func.value) == taken.thing
    )


def _assigned(node: ast.AST, taken: Taken) -> str:
    """The name that what is taken gets; ''."""
    if isinstance(node, ast.Assign) and _is_take(node.value, taken) and isinstance(node.targets[0], ast.Name):
        return node.targets[0].id
    return ""


def _back(node: ast.AST, taken: Taken, gives: frozenset[str], name: str) -> bool:
    if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Attribute) or node.func.attr not in gives:
        return False
    on = _last(node.func.value)
    if on == taken.thing:
        return not name or not node.args or any(_mentions(a, name) for a in node.args)
    return bool(name) and on == name


def _mentions(node: ast.AST | None, name: str) -> bool:
    return bool(name) and node is not None and any(isinstance(n, ast.Name) and n.id == name for n in ast.walk(node))


def _last(node: ast.expr) -> str:
    if isinstance(node, ast.Attribute):
        return node.attr
    return node.id if isinstance(node, ast.Name) else ""

"""Things that are taken out of a queue and put back: `db = connections.get()` ... `connections.put(db)`.

A worker that waits for work and one that waits for a connection look alike from outside: both stand in `Queue.get`. In
the source they differ: what was taken out is put back into the same queue by the same function, on every way through
it. Putting back in an `except` or under an `if` is a retry, and does not count.
"""

from __future__ import annotations

import ast
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence

from concview.model import Site
from concview.source.names import Namer, Scope
from concview.text import clean


def checkouts(scope: Scope, namer: Namer, items: Mapping[str, str]) -> Iterator[tuple[int, int, Site]]:
    """(first line, last line, site) of a function: `how` is 'get' where it takes, 'kept' until it gives back. `items`
    is what `fillings` found in the file."""
    for body in _blocks(scope):
        for position, statement in enumerate(body):
            taken = _taken(statement)
            if taken is not None:
                name, queue = taken
                back = _put_back(name, ast.unparse(queue), body[position + 1 :])
                if back:
                    yield from _regions(statement, back, queue, scope, namer, items)


def fillings(scopes: Sequence[Scope], namer: Namer) -> dict[str, str]:
    """Key of a queue's site -> class of what is put into it: `boxes.put(Box())`. Where there are two, none."""
    found: dict[str, set[str]] = defaultdict(set)
    for scope in scopes:
        for body in _blocks(scope):
            for statement in body:
                queue = _called(statement.value, "put", "put_nowait") if isinstance(statement, ast.Expr) else None
                if queue is None:
                    continue
                call = statement.value  # type: ignore[attr-defined]  # _called has seen the call
                arguments = getattr(call.value if isinstance(call, ast.Await) else call, "args", [])
                made = arguments[0].func if arguments and isinstance(arguments[0], ast.Call) else None
                name = getattr(made, "attr", getattr(made, "id", ""))
                if name[:1].isupper():
                    named, key = namer.identity(queue, scope)
                    found[_key(named, key)].add(clean(name))
    return {key: names.pop() for key, names in found.items() if len(names) == 1}


def _key(queue: ast.expr, scope: str) -> str:
    return Site(clean(ast.unparse(queue)), "", 0, "", scope).key


def _blocks(scope: Scope) -> Iterator[Sequence[ast.stmt]]:
    """The lists of statements of a scope, without those of functions and classes in it."""
    blocks: list[Sequence[ast.stmt]] = [scope.body]
    while blocks:
        body = blocks.pop()
        own = [s for s in body if not isinstance(s, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef)]
        yield own
        for statement in own:
            for field in ("body", "orelse", "finalbody"):
                block = getattr(statement, field, None)
                if isinstance(block, list):
                    blocks.append(block)
            blocks += [part.body for part in getattr(statement, "handlers", ())]


def _regions(
    statement: ast.stmt, back: int, queue: ast.expr, scope: Scope, namer: Namer, items: Mapping[str, str]
) -> Iterator[tuple[int, int, Site]]:
    first, last = statement.lineno, statement.end_lineno or statement.lineno
    named, key = namer.identity(queue, scope)
    item = items.get(_key(named, key), "")
    site = Site(clean(ast.unparse(named)), namer.file, first, scope.qualname, key, "get", item=item)
    yield first, last, site
    if back - 1 > last:
        yield last + 1, back - 1, Site(site.expression, site.file, first, site.function, key, "kept", item=item)


def _taken(statement: ast.stmt) -> tuple[str, ast.expr] | None:
    """(variable, queue) of `variable = queue.get(...)`."""
    if not isinstance(statement, ast.Assign | ast.AnnAssign):
        return None
    target = statement.targets[0] if isinstance(statement, ast.Assign) else statement.target
    queue = _called(statement.value, "get")
    return (target.id, queue) if isinstance(target, ast.Name) and queue is not None else None


def _put_back(name: str, queue: str, rest: Sequence[ast.stmt]) -> int:
    """The line that surely puts the variable back into the queue; 0 when there is none."""
    for statement in rest:
        call = statement.value if isinstance(statement, ast.Expr) else None
        call = call.value if isinstance(call, ast.Await) else call
        if isinstance(call, ast.Call):
            owner = _called(call, "put", "put_nowait")
            arguments = call.args
            given = arguments[0].id if arguments and isinstance(arguments[0], ast.Name) else ""
            if owner is not None and given == name and ast.unparse(owner) == queue:
                return statement.lineno
        inner: Sequence[ast.stmt] = ()
        if isinstance(statement, ast.Try):
            inner = statement.finalbody or [*statement.body, *statement.orelse]
        elif isinstance(statement, ast.With | ast.AsyncWith):
            inner = statement.body
        found = _put_back(name, queue, inner) if inner else 0
        if found:
            return found
    return 0


def _called(node: ast.AST | None, *methods: str) -> ast.expr | None:
    """X when the node is the call `X.method(...)` of something that has a name, awaited or not."""
    if isinstance(node, ast.Await):
        node = node.value
    if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in methods):
        return None
    owner = node.func.value
    root: ast.expr = owner
    while isinstance(root, ast.Attribute):
        root = root.value
    return owner if isinstance(root, ast.Name) else None

"""Locks in a file's syntax tree: which are held on a line, and which the line itself takes.

What is found here is *inferred*. Two instances of a class share the expression `self._lock`, so two sites with one
key may still be two locks; whoever uses the result labels it `Confidence.INFERRED`. Where the source leaves a hold in
doubt (a lock picked from a table, a try-acquire whose result is kept) no hold is claimed.

The tree is walked once and thrown away; what stays is a list of functions with line ranges. Expressions are looked at
only on lines that mention acquire, release or wait, which keeps a file of 10,000 lines near 100 ms, nearly all of it
`ast.parse`.
"""

from __future__ import annotations

import ast
import re
import warnings
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

import msgspec

from concview.model import Site
from concview.source.checkouts import checkouts, fillings
from concview.source.names import Namer, Scope, scopes_of
from concview.text import clean

_INTERESTING = re.compile(r"\b(?:with|acquire)\b|\.put(?:_nowait)?\(")
_CALLS = re.compile(r"\.\s*(?:acquire|release|wait|wait_for)\b")
#: Code that is written inside a function but runs in a frame of its own, later or elsewhere.
_DEFERRED = ("<lambda>", "<genexpr>", "<listcomp>", "<dictcomp>", "<setcomp>")


class _Region(NamedTuple):
    first: int
    last: int
    site: Site


class _Function(NamedTuple):
    qualname: str
    first: int
    last: int
    held: tuple[_Region, ...] = ()
    released: tuple[_Region, ...] = ()  #: inside `held`, and yet not: after a release, or in Condition.wait
    taken: tuple[_Region, ...] = ()
    lent: tuple[_Region, ...] = ()  #: lines that take something out of a queue, or have it out
    awaited: tuple[_Region, ...] = ()  #: inside `async with`, or between `await x.acquire()` and its release


class Index:
    """What one file says about locks."""

    def __init__(self, functions: Sequence[_Function] = ()) -> None:
        self._functions = functions

    def facts(self, function: str, line: int) -> tuple[tuple[Site, ...], Site | None, tuple[Site, ...]]:
        """The locks held on a line of a function, outermost first, the one the line takes, and those given back
        early: taken by a block around the line, but let go before it."""
        found = self._function(function, line)
        if found is None:
            return (), None, ()
        if _is_deferred(function):
            return (), _take(found.taken, line), ()
        gone = [r for r in found.released if r.first <= line <= r.last]
        # A release ends only a hold that began before it
        held: list[Site] = []
        early: list[Site] = []
        for region in found.held:
            if region.first <= line <= region.last:
                freed = any(g.site.key == region.site.key and region.first <= g.site.line for g in gone)
                (early if freed else held).append(region.site)
        return tuple(held), _take(found.taken, line), tuple(early)

    def checkout(self, function: str, line: int) -> Site | None:
        """What a line of a function takes out of a queue (`how` 'get'), or has out ('kept'), and will put back."""
        found = None if _is_deferred(function) else self._function(function, line)
        return _take(found.lent, line) if found is not None else None

    def awaited(self, function: str, line: int) -> tuple[Site, ...]:
        """What a task has on a line of a function, outermost first: by `async with` (each of its items, locks or not,
        `how` 'async with'), or by `await x.acquire()` (`how` 'acquire')."""
        found = None if _is_deferred(function) else self._function(function, line)
        return tuple(r.site for r in found.awaited if r.first <= line <= r.last) if found is not None else ()

    def _function(self, function: str, line: int) -> _Function | None:
        inside = [f for f in self._functions if f.first <= line <= f.last]
        if not _is_deferred(function):
            # Before 3.11 there are only bare names: then the innermost function of that name around the line
            name = function.rpartition(".")[2]
            exact = [f for f in inside if f.qualname == function]
            inside = exact or [f for f in inside if f.qualname.rpartition(".")[2] == name]
        return max(inside, key=lambda f: f.first, default=None)


def _first(region: _Region) -> int:
    return region.first


def _is_deferred(function: str) -> bool:
    return function.rpartition(".")[2] in _DEFERRED


def _take(regions: tuple[_Region, ...], line: int) -> Site | None:
    """The innermost statement decides; among the locks of one header the first is the one surely waited for."""
    around = [r for r in regions if r.first <= line <= r.last]
    return max(around, key=lambda r: r.first).site if around else None


def index(source: str, file: str) -> Index:
    """The index of a file; an empty one when its syntax is not that of the Python concview runs on."""
    if not _INTERESTING.search(source):
        return Index()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # '\d' in somebody's string is no business of ours
            tree = ast.parse(source)
        lines = {number for number, text in enumerate(source.split("\n"), 1) if _CALLS.search(text)}
        scopes = scopes_of(tree)
        items = fillings(scopes, Namer(file)) if ".put" in source else {}
        return Index([_Finder(scope, Namer(file), lines, items).function() for scope in scopes])
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return Index()


class _Finder:
    """Collects the regions of one function (or module or class body)."""

    def __init__(self, scope: Scope, namer: Namer, lines: set[int], items: Mapping[str, str]) -> None:
        self._items = items
        self._scope = scope
        self._namer = namer
        self._lines = lines
        self._held: list[_Region] = []
        self._released: list[_Region] = []
        self._taken: list[_Region] = []
        self._awaited: list[_Region] = []

    def function(self) -> _Function:
        self._block(self._scope.body, [])
        scope = self._scope
        lent = [_Region(first, last, site) for first, last, site in checkouts(scope, self._namer, self._items)]
        every = (self._held, self._released, self._taken, lent, self._awaited)
        return _Function(scope.qualname, scope.first, scope.last, *(tuple(sorted(r, key=_first)) for r in every))

    # -- sites

    def _site(self, lock: ast.expr, line: int, how: str = "acquire") -> Site:
        made = self._namer.made(lock, self._scope)
        lock, key = self._namer.identity(lock, self._scope)
        return Site(clean(ast.unparse(lock)), self._namer.file, line, self._scope.qualname, key, how, made)

    def _called(self, node: ast.AST | None, *methods: str) -> ast.expr | None:
        """X when the node is the call `X.method(...)`."""
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in methods:
            return node.func.value
        return None

    def _calls_on(self, lock: str, statement: ast.stmt, method: str) -> bool:
        """Whether the statement is the bare call of a method of that lock."""
        if not isinstance(statement, ast.Expr):
            return False
        owner = self._called(statement.value, method)
        return owner is not None and self._site(owner, statement.lineno).key == lock

    # -- statements

    def _block(self, body: Sequence[ast.stmt], finals: Sequence[ast.stmt]) -> None:
        """One list of statements; `finals` is the finally clause when it is the body of a try."""
        for position, statement in enumerate(body):
            if isinstance(statement, ast.With):
                self._with(statement)
            elif isinstance(statement, ast.AsyncWith):
                self._async_with(statement)
            first, last = statement.lineno, _header_end(statement)
            if any(line in self._lines for line in range(first, last + 1)):
                self._calls(statement)
                self._acquired(statement, body[position + 1 :], finals)
                self._acquired_by_await(statement, body[position + 1 :], finals)
                self._let_go(statement, body[position + 1 :])
            for inner, final in _blocks(statement):
                self._block(inner, final)

    def _with(self, node: ast.With) -> None:
        locks = [item.context_expr for item in node.items if self._namer.is_lock(item.context_expr, self._scope)]
        header = _header_end(node)
        for position, lock in enumerate(locks):
            site = self._site(lock, lock.lineno, "with")
            # Items on one line cannot be told apart: the first one stands for the line.
            if not any(other.lineno == lock.lineno for other in locks[:position]):
                start = node.lineno if lock is node.items[0].context_expr else lock.lineno
                end = next((other.lineno - 1 for other in locks[position + 1 :] if other.lineno > start), header)
                self._taken.append(_Region(start, end, site))
            if self._namer.is_one(lock):
                # `with a: work()` on one line is never a hold: it may as well be the wait for `a`.
                later = [other.lineno for other in locks[position + 1 :] if other.lineno > _end(lock)]
                self._held.append(_Region(min([header + 1, *later]), _end(node), site))

    def _async_with(self, node: ast.AsyncWith) -> None:
        """Every item is something that the task has inside. A call is named without its arguments."""
        first = _header_end(node) + 1
        for item in node.items:
            lock = item.context_expr
            site = self._site(lock.func if isinstance(lock, ast.Call) else lock, lock.lineno, "async with")
            if isinstance(lock, ast.Call):
                site = msgspec.structs.replace(site, expression=f"{site.expression}()")
            self._awaited.append(_Region(first, _end(node), site))

    def _acquired_by_await(self, statement: ast.stmt, rest: Sequence[ast.stmt], finals: Sequence[ast.stmt]) -> None:
        """Lines between `await x.acquire()` and `x.release()`."""
        if not isinstance(statement, ast.Expr) or not isinstance(statement.value, ast.Await):
            return
        lock = self._called(statement.value.value, "acquire")
        if lock is None or not _is_path(lock):
            return
        site = self._site(lock, statement.lineno)
        release = self._release(site.key, rest, finals)
        if release:
            self._awaited.append(_Region(_end(statement) + 1, release - 1, site))

    def _calls(self, statement: ast.stmt) -> None:
        """`X.acquire()` anywhere in the statement takes X; `X.wait()` lets go of it for so long."""
        unused = statement.value if isinstance(statement, ast.Expr) else None
        tested = statement.test if isinstance(statement, ast.If | ast.While) else None
        for node, awaited in _expressions(statement):
            if awaited:
                continue  # an asyncio lock
            lock = self._called(node, "acquire")
            if lock is not None and _is_path(lock):
                bare = node is unused or node is tested or _negated(tested) is node
                if bare or self._namer.is_lock(lock, self._scope):
                    self._taken.append(_Region(node.lineno, _end(node), self._site(lock, node.lineno)))
            lock = self._called(node, "wait", "wait_for")
            if lock is not None and _is_path(lock):
                self._released.append(_Region(node.lineno, _end(node), self._site(lock, node.lineno)))

    def _acquired(self, statement: ast.stmt, rest: Sequence[ast.stmt], finals: Sequence[ast.stmt]) -> None:
        """Lines between an acquire and its release, where both stand in one block or in try/finally."""
        call: ast.AST | None = None
        start = _end(statement) + 1
        if isinstance(statement, ast.Expr) and _surely(statement.value):
            call = statement.value
        elif isinstance(statement, ast.If) and self._called(statement.test, "acquire") is not None:
            call, rest, start, finals = statement.test, statement.body, _end(statement.test) + 1, []
        elif isinstance(statement, ast.While) or (isinstance(statement, ast.If) and _leaves(statement.body)):
            call = _negated(statement.test)
        lock = self._called(call, "acquire")
        if lock is None or not _is_path(lock) or not self._namer.is_one(lock):
            return
        site = self._site(lock, statement.lineno)
        release = self._release(site.key, rest, finals)
        if release:
            self._held.append(_Region(start, release - 1, site))

    def _release(self, lock: str, rest: Sequence[ast.stmt], finals: Sequence[ast.stmt]) -> int:
        """The line of the release that belongs to an acquire before `rest`; 0 when there is none to be sure of."""
        for statement in rest:
            places = statement.finalbody if isinstance(statement, ast.Try | ast.TryStar) else [statement]
            for place in places:
                if self._calls_on(lock, place, "release"):
                    return place.lineno
        return next((place.lineno for place in finals if self._calls_on(lock, place, "release")), 0)

    def _let_go(self, statement: ast.stmt, rest: Sequence[ast.stmt]) -> None:
        """After `X.release()` X is not held until the block ends or takes it again, whatever encloses the block."""
        owner = self._called(statement.value, "release") if isinstance(statement, ast.Expr) else None
        if owner is None or not _is_path(owner) or not rest:
            return
        site = self._site(owner, statement.lineno)
        last = _end(rest[-1])
        for later in rest:
            places = later.finalbody if isinstance(later, ast.Try | ast.TryStar) else [later]
            again = next((p.lineno for p in places if self._calls_on(site.key, p, "acquire")), 0)
            if again:
                last = again
                break
        self._released.append(_Region(_end(statement) + 1, last, site))


# ---------------------------------------------------------------- the tree


def _end(node: ast.AST) -> int:
    last: int | None = getattr(node, "end_lineno", None)
    return last or 0


def _header_end(statement: ast.stmt) -> int:
    """Last line of what the statement evaluates itself, without the blocks in it."""
    match statement:
        case ast.With() | ast.AsyncWith():
            return max(_end(item.optional_vars or item.context_expr) for item in statement.items)
        case ast.If() | ast.While():
            return _end(statement.test)
        case ast.For() | ast.AsyncFor():
            return _end(statement.iter)
        case ast.Match():
            return _end(statement.subject)
        case ast.Try() | ast.TryStar() | ast.FunctionDef() | ast.AsyncFunctionDef() | ast.ClassDef():
            return statement.lineno
        case _:
            return _end(statement)


def _blocks(statement: ast.stmt) -> Iterator[tuple[Sequence[ast.stmt], Sequence[ast.stmt]]]:
    """The blocks of a statement that run in the same frame, each with the finally clause that is sure to follow it."""
    if isinstance(statement, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
        return
    finals: Sequence[ast.stmt] = getattr(statement, "finalbody", [])
    if not isinstance(statement, ast.Expr | ast.Assign | ast.Return):
        for field in ("body", "orelse"):
            yield getattr(statement, field, []), finals
        yield finals, []
        for part in (*getattr(statement, "handlers", ()), *getattr(statement, "cases", ())):
            yield part.body, []


def _expressions(statement: ast.stmt) -> Iterator[tuple[ast.expr, bool]]:
    """Every expression the statement evaluates, its blocks left out, and whether it is awaited."""
    stack: list[tuple[ast.AST, bool]] = [(statement, False)]
    while stack:
        node, awaited = stack.pop()
        if isinstance(node, ast.expr):
            yield node, awaited
        for child in ast.iter_child_nodes(node):
            if not isinstance(child, ast.stmt | ast.ExceptHandler | ast.match_case):
                stack.append((child, isinstance(node, ast.Await)))


def _is_path(node: ast.expr) -> bool:
    """A name, an attribute of one, or an element of one: something that can be a lock."""
    while isinstance(node, ast.Attribute | ast.Subscript):
        node = node.value
    return isinstance(node, ast.Name)


def _negated(node: ast.expr | None) -> ast.expr | None:
    return node.operand if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not) else None


def _surely(call: ast.expr) -> bool:
    """Whether acquire returns only with the lock: it is called without a timeout and not as a try."""
    if not isinstance(call, ast.Call):
        return False
    values = [*call.args, *(keyword.value for keyword in call.keywords)]
    return all(isinstance(value, ast.Constant) and value.value is True for value in values)


def _leaves(body: Sequence[ast.stmt]) -> bool:
    return bool(body) and isinstance(body[-1], ast.Return | ast.Raise | ast.Continue | ast.Break)

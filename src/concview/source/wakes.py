"""What the source says about waking: which functions give something back or set it, on which lines, who reads first.

Names only: `self._cond`, `pool.cond` and `cond` are all 'cond' here, in one file. Whatever is concluded from it is
inferred. Files are parsed once and kept; how many and how large is bounded, and so is the time it may take at once.
"""

from __future__ import annotations

import ast
import time
import warnings
from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

#: What ends a wait of this kind: methods that are called on the thing waited for.
WAKES: dict[str, frozenset[str]] = {
    "wait": frozenset({"set", "notify", "notify_all", "notifyAll"}),
    "wait_for": frozenset({"notify", "notify_all", "notifyAll"}),
    "barrier": frozenset({"wait", "abort"}),
    "acquire": frozenset({"release"}),
    "get": frozenset({"put", "put_nowait"}),
    "put": frozenset({"get", "get_nowait"}),
    "join": frozenset({"task_done"}),
    "result": frozenset({"set_result", "set_exception"}),
}
_SENDS = frozenset(
    {"send", "sendall", "sendto", "sendmsg", "write", "writelines", "send_bytes", "flush", "request", "execute"}
)
_READS = frozenset(
    {"recv", "recv_into", "recvfrom", "read", "readline", "readinto", "recv_bytes", "accept", "readlines", "read1"}
)
#: Calls that are followed from the place of a wake-up outwards, in the same file.
DEPTH = 3
#: Functions of which everybody has one: that something of this name is called says nothing.
_COMMON = frozenset({"<module>", "run", "get", "put", "close", "wait", "__init__", "__enter__", "__exit__"})
#: Files kept parsed, lines of the largest one that is parsed at all, and seconds of parsing in one go.
MOST_FILES, MOST_LINES, PARSE_S = 200, 20_000, 0.15


class Called(NamedTuple):
    """`on.method(...)` or `method(...)`; `col` 0-based; a `with` gives back past all columns of its last line."""

    method: str
    on: str
    line: int
    col: int


class Block(NamedTuple):
    """A `with`: the lines of its head and of its body."""

    first: int
    head: int
    body: int
    last: int


class Loop(NamedTuple):
    first: int
    last: int
    endless: bool  #: `while True` or on a flag: not over a given number of things


@dataclass(slots=True)
class Function:
    """One function of a file, without those written inside it."""

    name: str
    first: int
    last: int
    calls: list[Called] = field(default_factory=list)
    loops: list[Loop] = field(default_factory=list)
    blocks: list[Block] = field(default_factory=list)
    kept: set[tuple[str, str]] = field(default_factory=set)  #: (method, name): x = q.get(), q.put(x)
    awaits: bool = False

    @property
    def key(self) -> tuple[str, int]:
        return self.name, self.first


def subject(node: ast.expr) -> str:
    """'self._pool.cond' -> 'cond'; 'locks[key]' -> 'locks'."""
    while isinstance(node, (ast.Subscript, ast.Call)):
        node = node.value if isinstance(node, ast.Subscript) else node.func
    return node.attr if isinstance(node, ast.Attribute) else node.id if isinstance(node, ast.Name) else ""


class File:
    """What one file says. Answers are kept: they are asked for the same few lines again and again."""

    def __init__(self, functions: Sequence[Function]) -> None:
        self.functions = functions
        self._at: dict[tuple[str, int], Function | None] = {}
        self._wakers: dict[tuple[str, str], dict[tuple[str, int], tuple[int, ...]]] = {}

    def function_at(self, name: str, line: int) -> Function | None:
        key = (name, line)
        if key not in self._at:
            bare = name.rpartition(".")[2]
            around = [f for f in self.functions if f.first <= line <= f.last]
            fits = [f for f in around if f.name == bare]
            if not fits and bare.startswith("<"):
                fits = [f for f in around if f.name != "<module>"]
            self._at[key] = min(fits, key=lambda f: f.last - f.first, default=None)
        return self._at[key]

    def waited(self, name: str, line: int) -> tuple[str, str]:
        """(method, on what) of the waiting call on this line; ('', '') where the line has none or several."""
        found = self.function_at(name, line)
        here = [(c.method, c.on) for c in found.calls if c.line == line and c.method in WAKES and c.on] if found else []
        return here[0] if len({on for _, on in here}) == 1 else ("", "")

    def wakers(self, on: str, method: str) -> dict[tuple[str, int], tuple[int, ...]]:
        """Function -> lines at which it would wake who waits so for `on`, itself or by what it calls."""
        key = (on, method)
        known = self._wakers.get(key)
        if known is None:
            known = self._wakers[key] = self._find_wakers(on, method)
        return known

    def _find_wakers(self, on: str, method: str) -> dict[tuple[str, int], tuple[int, ...]]:
        wake = WAKES.get(method, frozenset())
        reach: dict[tuple[str, int], set[int]] = {}
        names: set[str] = set()
        for f in self.functions:
            lines = {c.line for c in f.calls if c.on == on and c.method in wake}
            if lines:
                reach[f.key] = lines
                names.add(f.name)
        for _ in range(DEPTH):
            more: set[str] = set()
            for f in self.functions:
                lines = {c.line for c in f.calls if c.method in names and c.method != f.name}
                if lines:
                    known = reach.setdefault(f.key, set())
                    if lines - known:
                        known |= lines
                        more.add(f.name)
            if not more:
                break
            names |= more - _COMMON
        return {key: tuple(sorted(lines)) for key, lines in reach.items()}

    def role(self, name: str, line: int) -> str:
        """Of one that reads here: 'client' (it has sent on the same thing), 'server' (it answers), '' unknown."""
        found = self.function_at(name, line)
        reads = [c for c in found.calls if c.line == line and c.method in _READS and c.on] if found else []
        if found is None or not reads:
            return ""
        read = reads[0]
        loop = _innermost(found, line) or Loop(found.first, found.last, False)
        sends = [
            (c.line, c.col)
            for c in found.calls
            if c.method in _SENDS and c.on == read.on and loop.first <= c.line <= loop.last
        ]
        if any(s < (read.line, read.col) for s in sends):
            return "client"
        return "server" if sends else ""

    def answers(self, name: str, line: int) -> bool:
        """It reads something and then sends on the same thing."""
        found = self.function_at(name, line)
        if found is None:
            return False
        first = {c.on: (c.line, c.col) for c in reversed(found.calls) if c.method in _READS and c.on}
        return any(c.method in _SENDS and c.on in first and first[c.on] < (c.line, c.col) for c in found.calls)

    def cleared(self, name: str, line: int, on: str) -> bool:
        """Whether what is waited for in a loop is cleared there: an Event as a bell for work, not a gate."""
        found = self.function_at(name, line)
        return bool(
            found
            and _innermost(found, line) is not None
            and any(c.method == "clear" and c.on == on for c in found.calls)
        )

    def puts_back(self, name: str, line: int) -> bool:
        """It puts into the queue the very thing that it took out: a pool, not work."""
        found = self.function_at(name, line)
        if found is None:
            return False
        got = {n for m, n in found.kept if m in ("get", "get_nowait")}
        return any(m in ("put", "put_nowait") and n in got for m, n in found.kept)

    def body(self, name: str, line: int) -> tuple[int, int]:
        """The lines of the block that a `with` on this line leads into; (0, 0) when there is none."""
        found = self.function_at(name, line)
        fits = [b for b in found.blocks if b.first <= line <= b.head < b.body] if found else []
        return (fits[-1].body, fits[-1].last) if fits else (0, 0)

    def calls_at(self, name: str, line: int) -> set[str]:
        found = self.function_at(name, line)
        return {c.method for c in found.calls if c.line == line} if found else set()

    def calls_on(self, name: str, line: int) -> list[Called]:
        found = self.function_at(name, line)
        return [c for c in found.calls if c.line == line] if found else []

    def loop(self, name: str, line: int) -> Loop | None:
        """The innermost loop around a line."""
        found = self.function_at(name, line)
        return _innermost(found, line) if found is not None else None

    def released_after(self, name: str, line: int) -> int:
        """The last line of the function before which what is taken on this line is still had."""
        found = self.function_at(name, line)
        if found is None:
            return line
        ends = [c.line for c in found.calls if c.method == "release" and c.line >= line]
        if ends:
            return max(ends)
        loop = _innermost(found, line)
        return loop.last if loop is not None else found.last


_EMPTY = File(())


def _innermost(function: Function, line: int) -> Loop | None:
    return min(
        (lp for lp in function.loops if lp.first <= line <= lp.last), key=lambda lp: lp.last - lp.first, default=None
    )


class Wakes:
    """The files of one target. `lines_of` gives a file's lines, empty where they cannot be believed."""

    def __init__(self, lines_of: Callable[[str], Sequence[str]]) -> None:
        self._lines_of = lines_of
        self._files: OrderedDict[str, File] = OrderedDict()
        self._spent = 0.0
        self.parsed_s = 0.0  #: in all
        self.deferred = 0  #: files that were asked for when the time for it was spent

    def refill(self) -> None:
        """A new turn: so much time for parsing again."""
        self._spent = 0.0

    def file(self, name: str) -> File:
        """What it says; nothing where it cannot be read or parsed, or while there is no time for it."""
        known = self._files.get(name)
        if known is not None:
            return known
        if self._spent > PARSE_S:
            self.deferred += 1
            return _EMPTY
        began = time.perf_counter()
        made = self._files[name] = self._parse(name)
        took = time.perf_counter() - began
        self._spent += took
        self.parsed_s += took
        if len(self._files) > MOST_FILES:
            self._files.popitem(last=False)
        return made

    def _parse(self, name: str) -> File:
        lines = self._lines_of(name)
        if not lines or len(lines) > MOST_LINES:
            return _EMPTY
        return parse("\n".join(lines))


def parse(text: str) -> File:
    """Nothing for what is no syntax of the Python that concview runs on."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            tree = ast.parse(text)
        return File([_function(n) for n in _nodes(tree)])
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return _EMPTY


_Code = ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda | ast.Module


def _nodes(tree: ast.Module) -> Iterator[_Code]:
    for node in ast.walk(tree):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda, ast.Module)):
            yield node


def _function(node: _Code) -> Function:
    body: list[ast.AST] = [node.body] if isinstance(node, ast.Lambda) else list(node.body)
    if isinstance(node, ast.Module):
        made = Function("<module>", 1, 1 << 30)
    elif isinstance(node, ast.Lambda):
        made = Function("<lambda>", node.lineno, node.end_lineno or node.lineno)
    else:
        made = Function(node.name, node.lineno, node.end_lineno or node.lineno)
    todo = body
    while todo:
        one = todo.pop()
        if isinstance(one, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)):
            continue
        if isinstance(one, ast.ClassDef):
            if isinstance(node, ast.Module):
                todo.extend(s for s in one.body if not isinstance(s, (ast.FunctionDef, ast.AsyncFunctionDef)))
            continue
        _note(one, made)
        todo.extend(ast.iter_child_nodes(one))
    made.calls.sort(key=lambda c: (c.line, c.col))
    made.blocks.sort()
    return made


def _note(one: ast.AST, made: Function) -> None:
    if isinstance(one, (ast.While, ast.For, ast.AsyncFor, ast.ListComp, ast.GeneratorExp, ast.SetComp)):
        made.loops.append(Loop(one.lineno, one.end_lineno or one.lineno, isinstance(one, ast.While)))
    elif isinstance(one, ast.Assign) and isinstance(one.value, ast.Call) and isinstance(one.value.func, ast.Attribute):
        made.kept |= {(one.value.func.attr, t.id) for t in one.targets if isinstance(t, ast.Name)}
    elif isinstance(one, (ast.With, ast.AsyncWith)):
        head = max(i.context_expr.end_lineno or one.lineno for i in one.items)
        last = one.end_lineno or one.lineno
        made.blocks.append(Block(one.lineno, head, one.body[0].lineno, last))
        for item in one.items:  # leaving the block gives back what entering it took
            on = subject(item.context_expr)
            made.calls.append(Called("acquire", on, one.lineno, 0))
            made.calls.append(Called("release", on, last, 1 << 20))
    elif isinstance(one, ast.Call):
        _call(one, made)
    elif isinstance(one, (ast.Await, ast.Yield, ast.YieldFrom)):
        made.awaits = made.awaits or isinstance(one, ast.Await)


def _call(one: ast.Call, made: Function) -> None:
    if isinstance(one.func, ast.Name):
        made.calls.append(Called(one.func.id, "", one.lineno, one.col_offset))
    elif isinstance(one.func, ast.Attribute):
        if one.args and isinstance(one.args[0], ast.Name):
            made.kept.add((one.func.attr, one.args[0].id))
        method, on = one.func.attr, subject(one.func.value)
        if method in ("flock", "lockf") and one.args:
            flags = {n.attr for a in one.args for n in ast.walk(a) if isinstance(n, ast.Attribute)}
            method, on = ("release" if "LOCK_UN" in flags else "acquire"), subject(one.args[0])
        made.calls.append(Called(method, on, one.end_lineno or one.lineno, one.col_offset))
        if one.end_lineno and one.end_lineno != one.lineno:
            made.calls.append(Called(method, on, one.lineno, one.col_offset))

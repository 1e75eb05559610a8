"""What a function has done with an object, and what it has yet to do: taken and not given back, will set, will put.

Told from the source around the current line, so all of it is inferred: that the frame refers to the very object is read
from memory by whoever asks. A call counts on the object itself (`sem.release()`), by a method of what it belongs to
(`pool.put(x)`, where `put` does `self._cond.notify()`), or by a function of the same file that is handed it; such calls
are followed up to three deep. What only an exception handler does, or the other branch of an `if`, does not count.
"""

from __future__ import annotations

import ast
import warnings
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from concview.source.facts import SourceFacts

#: Methods by which a thread gets something, waits for something; and by which it lets others go on.
TAKES = frozenset({"acquire", "get", "get_nowait", "wait", "wait_for", "join", "result", "exception", "connect"})
GIVES = frozenset(
    {
        "release", "set", "notify", "notify_all", "notifyAll", "put", "put_nowait", "task_done", "set_result",
        "set_exception", "abort", "cancel", "reset",
    }
)  # fmt: skip
#: What counts for an object of a kind, or where one waits in that method of it; else the two sets above. A Condition
#: is not given by leaving its `with`; who waits for room is let go on by who takes something out.
_BY_KIND: dict[str, tuple[frozenset[str], frozenset[str]]] = {
    "Queue.put": (frozenset({"put"}), frozenset({"get", "get_nowait"})),
    "Queue.join": (frozenset({"get", "get_nowait"}), frozenset({"task_done"})),
    "Condition": (frozenset({"wait", "wait_for"}), frozenset({"notify", "notify_all", "notifyAll"})),
    "Event": (frozenset({"wait"}), frozenset({"set"})),
    "Barrier": (frozenset(), frozenset({"wait", "abort", "reset"})),
    "Future": (frozenset({"result", "exception"}), frozenset({"set_result", "set_exception", "cancel"})),
}
#: Keys of `_BY_KIND` that are methods: given as the kind where those that wait are in one of them.
BY_METHOD = frozenset({"Queue.put", "Queue.join"})
_ENTERED = frozenset({"Lock", "RLock", "Semaphore"})  #: kinds that a `with` of the object itself takes and gives back
_DEPTH = 3
#: Lines of a file that is looked at; files, answers and events of one function kept.
MAX_LINES, _MAX_FILES, _MAX_ANSWERS, _MAX_EVENTS = 20_000, 64, 4096, 400
_LAST = 1 << 30


class Will(NamedTuple):
    """As in `model.Reference`."""

    source: bool = False
    past: str = ""
    past_line: int = 0
    will: str = ""
    will_line: int = 0
    through: str = ""
    part: str = ""
    loops: bool = False


class Range(NamedTuple):
    line: int
    column: int
    end_line: int
    end_column: int

    def around(self, line: int, column: int) -> bool:
        """`column` -1: not known."""
        if not self.line <= line <= self.end_line:
            return False
        if column < 0:
            return True
        return (line, column) >= (self.line, self.column) and (line, column) < (self.end_line, self.end_column)


class Call(NamedTuple):
    """`path.method(arguments)`; path '' for a plain function."""

    path: str
    method: str
    at: Range
    arguments: tuple[str, ...]  #: those that are names or attributes of names; '' for others
    handler: Range | None  #: the exception handler it is in
    maybe: bool = False  #: under an `if`, or in a loop that may do nothing, of the function


class Block(NamedTuple):
    """One item of a `with`: of the object itself, or of what a method gives (`with pool.connection():`)."""

    path: str
    method: str
    head: Range
    body: Range


@dataclass(slots=True)
class Function:
    qualname: str
    first: int
    last: int
    parameters: tuple[str, ...]
    calls: list[Call] = field(default_factory=list)
    blocks: list[Block] = field(default_factory=list)
    loops: list[Range] = field(default_factory=list)
    splits: list[tuple[Range, ...]] = field(default_factory=list)  #: branches of which only one runs

    @property
    def cls(self) -> str:
        """Qualified name of the class that it is a method of; '' for a function."""
        return self.qualname.rpartition(".")[0]


class _File:
    def __init__(self, functions: list[Function]) -> None:
        self.functions = functions
        self.by_name = {f.qualname: f for f in functions}

    def function(self, qualname: str, line: int) -> Function | None:
        """Up to 3.10 the bare name may be all that is known."""
        inside = [f for f in self.functions if f.first <= line <= f.last]
        exact = [f for f in inside if f.qualname == qualname]
        bare = qualname.rpartition(".")[2]
        named = exact or [f for f in inside if f.qualname.rpartition(".")[2] == bare]
        return max(named, key=lambda f: f.first, default=None)


class Obligations:
    """Answers for one target's files. At most `budget` new files are parsed between two `refill`s: the others are not
    known yet (`Will.source` False), and are the next time."""

    def __init__(self, facts: SourceFacts, budget: int = 2) -> None:
        self._facts, self._budget, self._left = facts, budget, budget
        self._files: OrderedDict[str, tuple[int, _File | None]] = OrderedDict()
        self._answers: dict[object, Will] = {}
        self._fresh: set[str] = set()  #: files that were asked about since the last `refill`

    def refill(self) -> None:
        """A new look begins: files are asked again whether they changed, and some more may be parsed."""
        self._left = self._budget
        self._fresh.clear()

    def of(
        self, function: str, file: str, line: int, column: int, path: str, kind: str, owner: tuple[str, str] = ("", "")
    ) -> Will:
        """`path`: what the function calls the object; `column`: of the current instruction, -1 not known; `owner`: file
        and class of what the object is the last attribute of, where the path has more than one. Never raises."""
        key = (function, file, line, column, path, kind, owner)
        known = self._answers.get(key)
        if known is not None:
            return known
        source = self._file(file)
        found = source.function(function, line) if source is not None else None
        if found is None:
            return Will()
        answer = _Reading(self, file, found, line, column, path, kind, owner).will()
        if len(self._answers) >= _MAX_ANSWERS:
            self._answers.clear()
        self._answers[key] = answer
        return answer

    def handed(self, function: str, file: str, line: int, methods: frozenset[str]) -> frozenset[str]:
        """Names of the variables that were the first argument of a call of one of these methods or functions before
        this line of the function: `fcntl.flock(fd, ...)`. Never raises."""
        source = self._file(file)
        found = source.function(function, line) if source is not None else None
        if found is None:
            return frozenset()
        calls = [c for c in found.calls if c.method in methods and c.at.end_line < line and c.arguments]
        return frozenset(c.arguments[0] for c in calls if c.arguments[0])

    def _file(self, file: str) -> _File | None:
        """None where it cannot be read, is no Python that is known here, or is not to be read yet."""
        known = self._files.get(file)
        if known is None and self._left <= 0:
            return None
        if known is not None and file in self._fresh:
            return known[1]
        self._fresh.add(file)
        lines = self._facts.lines(file)  # one stat where nothing happened to it
        if known is not None and known[0] == id(lines):
            self._files.move_to_end(file)
            return known[1]
        self._left -= 1
        parsed = _parse(lines) if 0 < len(lines) <= MAX_LINES else None
        self._files[file] = id(lines), parsed
        self._answers.clear()
        while len(self._files) > _MAX_FILES:
            self._files.popitem(last=False)
        return parsed

    def effects(self, file: str, qualname: str, path: str, depth: int = 0) -> frozenset[str]:
        """Names of the methods that a function calls on what it knows as `path`, itself or by others."""
        source = self._file(file)
        function = source.by_name.get(qualname) if source is not None else None
        if function is None or depth >= _DEPTH:
            return frozenset()
        found: set[str] = set()
        for call in function.calls:
            if call.handler is not None:
                continue
            if call.path == path:
                found.add(call.method)
            else:
                for qualname_, path_ in followed(function, call, path):
                    found |= self.effects(file, qualname_, path_, depth + 1)
        for block in function.blocks:
            if block.path == path and not block.method:
                found.add("enter")
        return frozenset(found)


def followed(function: Function, call: Call, path: str) -> Iterator[tuple[str, str]]:
    """Functions of the same file that a call leads to, with what they call the object."""
    root, _, rest = path.partition(".")
    own = function.parameters[:1] == (root,) and bool(function.cls)
    if call.path == root and own and rest:  # self.method() of the same class
        yield f"{function.cls}.{call.method}", path
    elif not call.path:
        if path in call.arguments:
            # Which parameter that is: the caller of `followed` has no signature at hand, so the position stands for it.
            yield call.method, f"#{call.arguments.index(path)}"
        elif root not in function.parameters and not rest:
            yield call.method, path  # a global both know


class _Reading:
    """One question."""

    def __init__(
        self, asked: Obligations, file: str, function: Function, line: int, column: int, path: str, kind: str,
        owner: tuple[str, str],
    ) -> None:  # fmt: skip
        self._asked, self._file, self._function = asked, file, function
        self._line, self._column, self._path, self._kind = line, column, path, kind
        self._takes, self._gives = _BY_KIND.get(kind, (TAKES, GIVES))
        prefix, _, self._attribute = path.rpartition(".")
        self._prefix = prefix
        if prefix and "." not in prefix and function.parameters[:1] == (prefix,) and function.cls:
            owner = (file, function.cls)
        self._owner = owner

    def will(self) -> Will:
        part, past, past_line, through, will, will_line = "", "", 0, "", "", 0
        block = self._block()
        if block is not None:
            inside, outside = self._in(block.body), self._in(block.head)
            # All on one line, and no columns: it may as well wait to get in.
            part = "" if inside and outside else "body" if inside else "head"
            if part == "body" and (block.method or self._kind in _ENTERED):
                past, past_line, through = "enter", block.head.line, block.method
                will, will_line = "exit", block.body.end_line
        events = sorted(self._events(), key=lambda e: (e[0].at.line, e[0].at.column))
        if not past:
            past, past_line = self._past(events)
        loops = False
        found = self._next(events)
        if found is not None and not will:
            call, method, loops = found
            will, will_line = method, call.at.line
            through = through or (call.method if call.method != method else "")
        return Will(True, past, past_line, will, will_line, through, part, loops)

    # -- where it stands

    def _in(self, place: Range) -> bool:
        return place.around(self._line, self._column)

    def _block(self) -> Block | None:
        """The innermost `with` of the object, or of what it belongs to, around the current instruction."""
        found = [
            b
            for b in self._function.blocks
            if (b.path == self._path or (b.method and self._prefix and b.path == self._prefix))
            and (self._in(b.body) or self._in(b.head))
        ]
        return max(found, key=lambda b: b.head.line, default=None)

    # -- what is called

    def _events(self) -> Iterator[tuple[Call, str]]:
        """(a call, what it does to the object): takes and gives only."""
        here = [r for c in self._function.calls if (r := c.handler) is not None and self._in(r)]
        for call in self._function.calls:
            if call.handler is not None and call.handler not in here:
                continue
            if self._excluded(call.at):
                continue
            for method in self._effect(call):
                yield call, method

    def _effect(self, call: Call) -> Sequence[str]:
        if call.path == self._path:
            return [call.method] if call.method in self._takes or call.method in self._gives else []
        found: frozenset[str] = frozenset()
        if self._prefix and call.path == self._prefix and self._owner[0]:
            file, cls = self._owner
            found = self._asked.effects(file, f"{cls}.{call.method}", f"self.{self._attribute}")
        elif not call.path:
            for qualname, path in followed(self._function, call, self._path):
                found |= self._asked.effects(self._file, qualname, self._named(qualname, path), 1)
        takes, gives = found & self._takes, found & self._gives
        # A method that waits and then tells others (a queue's get) takes.
        return [min(takes)] if takes else [min(gives)] if gives else []

    def _named(self, qualname: str, path: str) -> str:
        """The parameter that `#n` stands for."""
        if not path.startswith("#"):
            return path
        source = self._asked._file(self._file)
        callee = source.by_name.get(qualname) if source is not None else None
        number = int(path[1:])
        return callee.parameters[number] if callee is not None and number < len(callee.parameters) else ""

    def _excluded(self, at: Range) -> bool:
        """In a branch that does not run when this one does."""
        for branches in self._function.splits:
            mine = next((i for i, b in enumerate(branches) if self._in(b)), -1)
            its = next((i for i, b in enumerate(branches) if b.around(at.line, at.column)), -1)
            if mine >= 0 and its >= 0 and mine != its:
                return True
        return False

    def _order(self, at: Range) -> int:
        """-1: behind us, 0: it stands in this call, 1: yet to come."""
        if self._in(at):
            return 0
        if self._column < 0:
            return -1 if at.end_line < self._line else 1
        return -1 if (at.end_line, at.end_column) <= (self._line, self._column) else 1

    def _past(self, events: list[tuple[Call, str]]) -> tuple[str, int]:
        """The last call that took it, unless it was given back since."""
        past, line = "", 0
        for call, method in events:
            if self._order(call.at) >= 0:
                continue
            if method in self._takes:
                past, line = call.method, call.at.line
            elif not call.maybe:
                past, line = "", 0
        return past, line

    def _next(self, events: list[tuple[Call, str]]) -> tuple[Call, str, bool] | None:
        """The next call that gives: ahead, or at the top of a loop that both are in."""
        gives = [(c, m) for c, m in events if m in self._gives]
        loops = [r for r in self._function.loops if self._in(r)]
        for call, method in gives:
            if self._order(call.at) >= 0:
                return call, method, any(r.around(call.at.line, call.at.column) for r in loops)
        for call, method in gives:
            if any(r.around(call.at.line, call.at.column) for r in loops):
                return call, method, True
        return None


# ---------------------------------------------------------------- one file


def _parse(lines: list[str]) -> _File | None:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            tree = ast.parse("\n".join(lines))
        functions: list[Function] = []
        module = Function("<module>", 1, _LAST, ())
        _Visitor(functions, module).block(tree.body, None, False)
        functions.append(module)
        return _File(functions)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None


class _Visitor:
    def __init__(self, functions: list[Function], function: Function, prefix: str = "") -> None:
        self._functions, self._function, self._prefix = functions, function, prefix

    def block(self, body: Sequence[ast.stmt], handler: Range | None, maybe: bool) -> None:
        for statement in body:
            self._statement(statement, handler, maybe)

    def _statement(self, node: ast.stmt, handler: Range | None, maybe: bool) -> None:
        function = self._function
        match node:
            case ast.FunctionDef() | ast.AsyncFunctionDef():
                self._inner(node)
            case ast.ClassDef():
                body = _Visitor(self._functions, Function(self._prefix + node.name, 0, 0, ()))
                body._prefix = f"{self._prefix}{node.name}."
                body.block(node.body, None, False)
            case ast.With() | ast.AsyncWith():
                inside = _spanned(node.body)
                for number, item in enumerate(node.items):
                    self._expression(item.context_expr, handler, maybe)
                    # To enter the first one counts to the whole statement.
                    self._item(item.context_expr, item.context_expr if number else node, inside)
                self.block(node.body, handler, maybe)
            case ast.For() | ast.AsyncFor() | ast.While():
                function.loops.append(_range(node))
                self._expression(node.test if isinstance(node, ast.While) else node.iter, handler, maybe)
                endless = isinstance(node, ast.While) and isinstance(node.test, ast.Constant) and bool(node.test.value)
                self.block(node.body, handler, maybe or not endless)
                self.block(node.orelse, handler, True)
            case ast.If():
                self._expression(node.test, handler, maybe)
                if node.orelse:
                    function.splits.append((_spanned(node.body), _spanned(node.orelse)))
                self.block(node.body, handler, True)
                self.block(node.orelse, handler, True)
            case ast.Match():
                self._expression(node.subject, handler, maybe)
                function.splits.append(tuple(_spanned(case.body) for case in node.cases))
                for case in node.cases:
                    self.block(case.body, handler, True)
            case ast.Try() | ast.TryStar():
                self.block(node.body, handler, maybe)
                for part in node.handlers:
                    self.block(part.body, _range(part), True)
                self.block(node.orelse, handler, maybe)
                self.block(node.finalbody, handler, maybe)
            case _:
                self._expression(node, handler, maybe)

    def _inner(self, node: ast.FunctionDef | ast.AsyncFunctionDef) -> None:
        arguments = node.args
        parameters = tuple(a.arg for a in (*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs))
        first = min([node.lineno, *(d.lineno for d in node.decorator_list)])
        function = Function(self._prefix + node.name, first, node.end_lineno or node.lineno, parameters)
        self._functions.append(function)
        _Visitor(self._functions, function, f"{function.qualname}.<locals>.").block(node.body, None, False)

    def _expression(self, node: ast.AST, handler: Range | None, maybe: bool) -> None:
        """Calls in an expression, those inside a lambda or a comprehension's function left out."""
        todo = [node]
        while todo:
            part = todo.pop()
            if isinstance(part, ast.Lambda):
                continue
            if isinstance(part, ast.Call) and len(self._function.calls) < _MAX_EVENTS:
                arguments = tuple(_path(a) for a in part.args[:16])
                if isinstance(part.func, ast.Attribute):
                    path = _path(part.func.value)
                    if path:
                        self._function.calls.append(Call(path, part.func.attr, _range(part), arguments, handler, maybe))
                elif isinstance(part.func, ast.Name):
                    self._function.calls.append(Call("", part.func.id, _range(part), arguments, handler, maybe))
            todo += ast.iter_child_nodes(part)

    def _item(self, node: ast.expr, begin: ast.AST, body: Range) -> None:
        method = ""
        head = _range(node)._replace(line=_range(begin).line, column=_range(begin).column)
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
            method, node = node.func.attr, node.func.value
        path = _path(node)
        if path and len(self._function.blocks) < _MAX_EVENTS:
            self._function.blocks.append(Block(path, method, head, body))


def _path(node: ast.expr) -> str:
    """'self.pool.lock'; '' for anything but names and attributes."""
    parts: list[str] = []
    while isinstance(node, ast.Attribute):
        parts.append(node.attr)
        node = node.value
    return ".".join([node.id, *reversed(parts)]) if isinstance(node, ast.Name) and len(parts) < 8 else ""


def _range(node: ast.AST) -> Range:
    line = getattr(node, "lineno", 0)
    end = getattr(node, "end_lineno", None) or line
    return Range(line, getattr(node, "col_offset", 0), end, getattr(node, "end_col_offset", None) or _LAST)


def _spanned(body: Sequence[ast.stmt]) -> Range:
    first, last = _range(body[0]), _range(body[-1])
    return Range(first.line, first.column, last.end_line, last.end_column)

"""One parse of a file for all that is asked about what its functions do with things."""

from __future__ import annotations

import ast
import warnings
from collections.abc import Sequence

from concview.source.functions import ELSEWHERE, EMPTY, LAST, Again, Block, Call, Change, File, Function, Loop, Range

#: Events of one kind in one function.
MOST_EVENTS = 2_000
_SCOPES = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef, ast.Lambda)
#: Calls in a loop that only pauses.
_MOST_PAUSES = 2
_ANY = frozenset({"Exception", "BaseException"})
#: Errors by which one is told that what it waits for has not come yet.
_NOT_YET = frozenset(
    {"Empty", "QueueEmpty", "Full", "QueueFull", "WouldBlock", "BlockingIOError", "InterruptedError", "timeout"}
    | {"TimeoutError", "LookupError", "IndexError", "KeyError", "StopIteration", "FileExistsError", "FileNotFoundError"}
)
#: Calls that make a future; that say what is done at a signal, or when a descriptor is ready; methods that end a wait
#: for a future or an event.
_FUTURES = frozenset({"Future", "create_future"})
_BY_SIGNAL = frozenset({"signal", "add_signal_handler"})
_BY_DESCRIPTOR = frozenset({"add_reader", "add_writer"})
_SETS = frozenset({"set", "set_result", "set_exception", "cancel"})
#: Methods that give something back, or tell others to go on; what is handed on of them somebody else calls.
_HANDED = frozenset({"release", "set"})
#: Functions that tell the time: of time, datetime, and event loops.
_CLOCKS = frozenset(
    {"time", "time_ns", "monotonic", "monotonic_ns", "perf_counter", "perf_counter_ns", "now", "utcnow", "today"}
)


def parse(text: str) -> File:
    """Nothing for what is no syntax of the Python that concview runs on."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            tree = ast.parse(text)
        functions: list[Function] = []
        module = Function("<module>", 1, LAST)
        _Visitor(functions, module).block(tree.body, None, False)
        functions.append(module)
        return File(functions)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return EMPTY


def subject(node: ast.expr) -> str:
    """'self._pool.cond' -> 'cond'; 'locks[key]' -> 'locks'."""
    while isinstance(node, (ast.Subscript, ast.Call)):
        node = node.value if isinstance(node, ast.Subscript) else node.func
    return node.attr if isinstance(node, ast.Attribute) else node.id if isinstance(node, ast.Name) else ""


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
                body = _Visitor(self._functions, Function(self._prefix + node.name, 0, 0))
                body._prefix = f"{self._prefix}{node.name}."
                body.block(node.body, None, False)
            case ast.With() | ast.AsyncWith():
                inside = _spanned(node.body)
                for number, item in enumerate(node.items):
                    self.expression(item.context_expr, handler, maybe)
                    # To enter the first one counts to the whole statement.
                    self._item(item.context_expr, item.context_expr if number else node, inside)
                self.block(node.body, handler, maybe)
            case ast.For() | ast.AsyncFor() | ast.While():
                test = _names(node.test) if isinstance(node, ast.While) else frozenset()
                for_ever = isinstance(node, ast.While) and _always(node.test) and not _leaves(node.body)
                polls = isinstance(node, ast.While) and _polls(node)
                until = _negated(node.test) if isinstance(node, ast.While) else frozenset()
                function.loops.append(Loop(_range(node), isinstance(node, ast.While), test, for_ever, polls, until))
                function.again += _again(node)
                self.expression(node.test if isinstance(node, ast.While) else node.iter, handler, maybe)
                if isinstance(node, ast.AsyncFor) and isinstance(node.iter, (ast.Name, ast.Attribute)):
                    path, on = _path(node.iter) or ELSEWHERE, subject(node.iter)
                    function.calls.append(Call(path, "__anext__", _range(node.iter), (), handler, maybe, on))
                endless = isinstance(node, ast.While) and _always(node.test)
                self.block(node.body, handler, maybe or not endless)
                self.block(node.orelse, handler, True)
            case ast.If():
                self.expression(node.test, handler, maybe)
                if node.orelse:
                    function.splits.append((_spanned(node.body), _spanned(node.orelse)))
                self.block(node.body, handler, True)
                self.block(node.orelse, handler, True)
            case ast.Match():
                self.expression(node.subject, handler, maybe)
                function.splits.append(tuple(_spanned(case.body) for case in node.cases))
                for case in node.cases:
                    self.block(case.body, handler, True)
            case ast.Try() | ast.TryStar():
                if node.finalbody:
                    function.guarded.append(_spanned(node.body))
                self.block(node.body, handler, maybe)
                for part in node.handlers:
                    self.block(part.body, _range(part), True)
                self.block(node.orelse, handler, maybe)
                self.block(node.finalbody, handler, maybe)
            case _:
                if (
                    isinstance(node, ast.AugAssign)
                    and isinstance(node.op, (ast.Add, ast.Sub))
                    and len(function.changes) < MOST_EVENTS
                ):
                    function.changes.append(Change(subject(node.target), isinstance(node.op, ast.Add), node.lineno))
                if isinstance(node, ast.Assign) and isinstance(node.value, ast.Attribute):
                    function.aliases |= {(t.id, node.value.attr) for t in node.targets if isinstance(t, ast.Name)}
                if isinstance(node, ast.Assign):
                    value = node.value.value if isinstance(node.value, ast.Await) else node.value
                    if isinstance(value, ast.Call) and isinstance(value.func, (ast.Attribute, ast.Name)):
                        called = subject(value.func)
                        function.kept |= {(called, t.id) for t in node.targets if isinstance(t, ast.Name)}
                self.expression(node, handler, maybe)

    def _inner(self, node: ast.FunctionDef | ast.AsyncFunctionDef) -> None:
        arguments = node.args
        parameters = tuple(a.arg for a in (*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs))
        first = min([node.lineno, *(d.lineno for d in node.decorator_list)])
        every = arguments.vararg is not None and arguments.kwarg is not None
        function = Function(self._prefix + node.name, first, node.end_lineno or node.lineno, parameters, every)
        self._functions.append(function)
        _Visitor(self._functions, function, f"{function.qualname}.<locals>.").block(node.body, None, False)

    def expression(self, node: ast.AST, handler: Range | None, maybe: bool) -> None:
        """Calls in an expression; those inside a lambda are a function of their own."""
        todo = [node]
        while todo:
            part = todo.pop()
            if isinstance(part, ast.Lambda):
                function = Function(f"{self._prefix}<lambda>", part.lineno, part.end_lineno or part.lineno)
                self._functions.append(function)
                _Visitor(self._functions, function, f"{function.qualname}.<locals>.").expression(part.body, None, False)
                continue
            if isinstance(part, (ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp)):
                self._function.loops.append(Loop(_range(part), False))
            elif isinstance(part, ast.Call) and len(self._function.calls) < MOST_EVENTS:
                self._call(part, handler, maybe)
            elif isinstance(part, ast.Await) and len(self._function.awaited) < MOST_EVENTS:
                self._await(part)
            elif isinstance(part, ast.Attribute) and part.attr in _HANDED:
                self._function.handed.add((part.attr, subject(part.value)))
            called = part.func if isinstance(part, ast.Call) and isinstance(part.func, ast.Attribute) else None
            todo += [called.value if node is called and called else node for node in ast.iter_child_nodes(part)]

    def _await(self, node: ast.Await) -> None:
        value = node.value
        if isinstance(value, (ast.Name, ast.Attribute)):
            self._function.awaited.append((_range(node), subject(value)))
        elif isinstance(value, ast.Call) and not value.args and _is_of_nobody_else(value.func):
            self._function.awaited.append((_range(node), ""))

    def _call(self, node: ast.Call, handler: Range | None, maybe: bool) -> None:
        function = self._function
        called = subject(node.func)
        if called in _BY_SIGNAL or called in _BY_DESCRIPTOR:
            parts = [n for a in node.args for n in ast.walk(a)]
            by = function.by_signal if called in _BY_SIGNAL else function.by_descriptor
            by |= {subject(n.value) for n in parts if isinstance(n, ast.Attribute) and n.attr in _SETS}
            by |= {f"{subject(a)}()" for a in node.args if isinstance(a, (ast.Name, ast.Attribute))}
            by |= {"<lambda>()" for a in node.args if isinstance(a, ast.Lambda)}
        arguments = tuple(_path(a) for a in node.args[:16])
        if isinstance(node.func, ast.Name):
            function.calls.append(Call("", node.func.id, _range(node), arguments, handler, maybe))
            if node.args and isinstance(node.args[0], ast.Name):
                function.kept.add((node.func.id, node.args[0].id))
        elif isinstance(node.func, ast.Attribute):
            method, on = node.func.attr, subject(node.func.value)
            if node.args and isinstance(node.args[0], ast.Name):
                function.kept.add((method, node.args[0].id))
            unlocks = False
            if method in ("flock", "lockf") and node.args:
                on = subject(node.args[0])
                flags = (n for a in node.args for n in ast.walk(a))
                unlocks = any(isinstance(n, ast.Attribute) and n.attr == "LOCK_UN" for n in flags)
            if method == "execute" and _ends_transaction(node):
                method = "commit"
            path = _path(node.func.value) or ELSEWHERE
            function.calls.append(Call(path, method, _range(node), arguments, handler, maybe, on, unlocks))

    def _item(self, node: ast.expr, begin: ast.AST, body: Range) -> None:
        method, on = "", subject(node)
        head = _range(node)._replace(line=_range(begin).line, column=_range(begin).column)
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
            method, node = node.func.attr, node.func.value
        if len(self._function.blocks) < MOST_EVENTS:
            self._function.blocks.append(Block(_path(node) or ELSEWHERE, method, head, body, on))


def _ends_transaction(node: ast.Call) -> bool:
    """execute("commit") and the like."""
    first = node.args[0] if node.args else None
    if not isinstance(first, ast.Constant) or not isinstance(first.value, str):
        return False
    return first.value.strip(" ;\n\t").partition(" ")[0].lower() in ("commit", "rollback", "end")


def _names(node: ast.expr) -> frozenset[str]:
    """Last names of all that an expression looks at."""
    return frozenset(
        n.attr if isinstance(n, ast.Attribute) else n.id
        for n in ast.walk(node)
        if isinstance(n, (ast.Attribute, ast.Name)) and isinstance(n.ctx, ast.Load)
    )


def _negated(node: ast.expr) -> frozenset[str]:
    """Last names of what has to become true before a loop with this condition ends."""
    parts = node.values if isinstance(node, ast.BoolOp) else [node]
    found: set[str] = set()
    for part in parts:
        if isinstance(part, ast.UnaryOp) and isinstance(part.op, ast.Not):
            found |= _names(part.operand)
    return frozenset(found)


def _path(node: ast.expr) -> str:
    """'self.pool.lock'; '' for anything but names and attributes."""
    parts: list[str] = []
    while isinstance(node, ast.Attribute):
        parts.append(node.attr)
        node = node.value
    return ".".join([node.id, *reversed(parts)]) if isinstance(node, ast.Name) and len(parts) < 8 else ""


def _always(test: ast.expr) -> bool:
    return isinstance(test, ast.Constant) and bool(test.value)


def _polls(loop: ast.While) -> bool:
    if not _always(loop.test):
        parts = loop.test.values if isinstance(loop.test, ast.BoolOp) else [loop.test]
        return (
            not all(_looks_at_clock(part) for part in parts)
            and all(
                isinstance(s, ast.Pass) or (isinstance(s, ast.Expr) and isinstance(s.value, ast.Call))
                for s in loop.body
            )
            and len(loop.body) <= _MOST_PAUSES
        )
    return any(_returns(s) or _tries(s) for s in loop.body)


def _tries(node: ast.stmt) -> bool:
    """`try: ...; return` of which a handler pauses, for errors that say that it has not come yet: a file that is to be
    made by oneself and is there."""
    if not isinstance(node, ast.Try) or not node.handlers:
        return False
    names = {
        subject(e) for h in node.handlers for e in (h.type.elts if isinstance(h.type, ast.Tuple) else [h.type]) if e
    }
    pauses = all(
        isinstance(s, (ast.Pass, ast.Continue)) or (isinstance(s, ast.Expr) and isinstance(s.value, ast.Call))
        for h in node.handlers
        for s in h.body
    )
    leaves = any(isinstance(s, ast.Return) for s in (*node.body, *node.orelse))
    return leaves and pauses and bool(names) and names <= _NOT_YET


def _looks_at_clock(test: ast.expr) -> bool:
    """Whether it only compares the time with something that is no call: when that is over is known beforehand."""
    calls = [n for n in ast.walk(test) if isinstance(n, ast.Call)]
    return isinstance(test, ast.Compare) and bool(calls) and all(subject(c.func) in _CLOCKS for c in calls)


def _returns(node: ast.AST, under: bool = False) -> bool:
    """Whether it returns something where something holds."""
    if isinstance(node, ast.Return):
        return under and node.value is not None and not isinstance(node.value, ast.Constant)
    if isinstance(node, (*_SCOPES, ast.For, ast.AsyncFor, ast.While, ast.Try, ast.TryStar)):
        return False
    under = under or isinstance(node, ast.If)
    return any(_returns(part, under) for part in ast.iter_child_nodes(node))


def _leaves(body: Sequence[ast.AST], inner: bool = False) -> bool:
    """Whether something in a loop's body leaves it: `return`, or a `break` that is not an inner loop's."""
    for node in body:
        if isinstance(node, ast.Return) or (isinstance(node, ast.Break) and not inner):
            return True
        if isinstance(node, _SCOPES):
            continue
        loop = inner or isinstance(node, (ast.For, ast.AsyncFor, ast.While))
        if _leaves(list(ast.iter_child_nodes(node)), loop):
            return True
    return False


def _again(loop: ast.For | ast.AsyncFor | ast.While) -> list[Again]:
    """Of each handler that stays in the loop. What is waited for by trying (`except Empty`) has not failed."""
    found: list[Again] = []
    todo: list[ast.AST] = list(loop.body)
    while todo:
        node = todo.pop()
        if isinstance(node, (*_SCOPES, ast.For, ast.AsyncFor, ast.While)):
            continue
        todo += ast.iter_child_nodes(node)
        if not isinstance(node, (ast.Try, ast.TryStar)):
            continue
        ends = _leaves(node.body) or _leaves(node.orelse)
        calls = [c for statement in node.body for c in ast.walk(statement) if isinstance(c, ast.Call)]
        forwards = any(isinstance(a, ast.Starred) for c in calls for a in c.args)
        for part in node.handlers:
            errors = part.type.elts if isinstance(part.type, ast.Tuple) else [part.type] if part.type else []
            names = [n for error in errors if (n := subject(error))[:1].isupper() and n not in _ANY]
            stays = part.body and not isinstance(part.body[-1], (ast.Raise, ast.Return, ast.Break))
            if stays and calls and not (names and _NOT_YET.issuperset(names)):
                end = node.end_lineno or node.lineno
                after = end + 1 if ends else _left_before(loop, end) if forwards else 0
                found.append(
                    Again(_range(loop), _range(part), ", ".join(names[:3]), _spanned(node.body), after, forwards)
                )
    return found


def _left_before(loop: ast.For | ast.AsyncFor | ast.While, line: int) -> int:
    """From which line on a round has failed, of a loop that is left behind this line where one has not: `if done:
    return`. 0 where it is not: who calls something every minute pauses then whether it has failed or not."""
    left = (s for s in loop.body if s.lineno > line and _leaves([s]))
    first = next(left, None)
    return (first.end_lineno or first.lineno) + 1 if first is not None else 0


def _range(node: ast.AST) -> Range:
    line = getattr(node, "lineno", 0)
    end = getattr(node, "end_lineno", None) or line
    return Range(line, getattr(node, "col_offset", 0), end, getattr(node, "end_col_offset", None) or LAST)


def _spanned(body: Sequence[ast.stmt]) -> Range:
    first, last = _range(body[0]), _range(body[-1])
    return Range(first.line, first.column, last.end_line, last.end_column)


def _is_of_nobody_else(node: ast.expr) -> bool:
    """`Future`, `loop.create_future` and `Event().wait`: what nobody else has."""
    if subject(node) in _FUTURES:
        return True
    if not isinstance(node, ast.Attribute) or node.attr != "wait" or not isinstance(node.value, ast.Call):
        return False
    return subject(node.value.func) == "Event" and not node.value.args

"""What a function has done with an object, and what it has yet to do: taken and not given back, will set, will put.

Told from the source around the current line, so all of it is inferred: that the frame refers to the very object is read
from memory by whoever asks. A call counts on the object itself (`sem.release()`), by a method of what it belongs to
(`pool.put(x)`, where `put` does `self._cond.notify()`), or by a function of the same file that is handed it; such calls
are followed up to three deep. What only an exception handler does, or the other branch of an `if`, does not count.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from concview.source.functions import Block, Call, File, Function, Loop, Range
from concview.source.uses import Uses

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
_MAX_ANSWERS = 8192  #: kept


class Will(NamedTuple):
    """As in `model.Reference`."""

    source: bool = False
    past: str = ""
    past_line: int = 0
    will: str = ""
    will_line: int = 0
    through: str = ""
    part: str = ""
    loops: bool = False  #: or the object is waited for again and again, whatever it says


class Obligations:
    """Answers for one target's files. Of one that is not known yet, `Will.source` is False; the next time it may be."""

    def __init__(self, uses: Uses) -> None:
        self._uses = uses
        self._answers: dict[object, Will] = {}
        self._changes = 0

    def refill(self) -> None:
        """A new look begins."""
        self._uses.refill()

    def of(
        self, function: str, file: str, line: int, column: int, path: str, kind: str, owner: tuple[str, str] = ("", "")
    ) -> Will:
        """`path`: what the function calls the object; `column`: of the current instruction, -1 not known; `owner`: file
        and class of what the object is the last attribute of, where the path has more than one. Never raises."""
        source = self._file(file)
        if self._changes != self._uses.changes:
            self._changes = self._uses.changes
            self._answers.clear()
        key = (function, file, line, column, path, kind, owner)
        known = self._answers.get(key)
        if known is not None:
            return known
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

    def _file(self, file: str) -> File | None:
        return self._uses.file(file)

    def named(self, file: str, qualname: str) -> Function | None:
        source = self._file(file)
        return source.by_name.get(qualname) if source is not None else None

    def effects_on_own(self, file: str, qualname: str, attribute: str) -> frozenset[str]:
        """What a method does to an attribute of the object that it is called on."""
        method = self.named(file, qualname)
        if method is None or not method.parameters:
            return frozenset()
        return self.effects(file, qualname, f"{method.parameters[0]}.{attribute}")

    def effects(self, file: str, qualname: str, path: str, depth: int = 0) -> frozenset[str]:
        """Names of the methods that a function calls on what it knows as `path`, itself or by others."""
        function = self.named(file, qualname)
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
        self,
        asked: Obligations,
        file: str,
        function: Function,
        line: int,
        column: int,
        path: str,
        kind: str,
        owner: tuple[str, str],
    ) -> None:
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
        return Will(True, past, past_line, will, will_line, through, part, loops or self._bell())

    def _bell(self) -> bool:
        """Whether it waits for the object again and again and looks at nothing: that it is woken is all it wants."""
        if self._kind not in ("Event", "Condition"):
            return False
        waits = [c.at for c in self._function.calls if c.path == self._path and c.method in self._takes]
        here = [
            at for at in waits if self._order(at) == 0 or (self._column < 0 and at.line <= self._line <= at.end_line)
        ]
        return any(loop.for_ever and loop.at.around(at.line, at.column) for at in here for loop in self._loops_of(at))

    def _loops_of(self, at: Range) -> list[Loop]:
        """The innermost loop around a place."""
        around = [lp for lp in self._function.loops if lp.at.around(at.line, at.column)]
        return [min(around, key=lambda lp: lp.at.end_line - lp.at.line)] if around else []

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
            found = self._asked.effects_on_own(file, f"{cls}.{call.method}", self._attribute)
        elif not call.path:
            for qualname, path in followed(self._function, call, self._path):
                found |= self._asked.effects(self._file, qualname, self._named(qualname, path), 1)
        takes, gives = found & self._takes, found & self._gives
        # A method that waits and then tells others (a queue's get) takes. Of a Condition, on which one waits for items
        # and another one for room, both are to be known.
        both = takes and gives and self._kind == "Condition"
        return [*sorted(takes)[:1], *sorted(gives)[: 1 if both or not takes else 0]]

    def _named(self, qualname: str, path: str) -> str:
        """The parameter that `#n` stands for."""
        if not path.startswith("#"):
            return path
        callee = self._asked.named(self._file, qualname)
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
        taking = {call for call, method in events if method in self._takes}
        for call, method in events:
            if self._order(call.at) >= 0:
                continue
            if method in self._takes:
                past, line = call.method, call.at.line
            elif not call.maybe and call not in taking:
                past, line = "", 0
        return past, line

    def _next(self, events: list[tuple[Call, str]]) -> tuple[Call, str, bool] | None:
        """The next call that gives: ahead, or at the top of a loop that both are in."""
        gives = [(c, m) for c, m in events if m in self._gives]
        loops = [loop.at for loop in self._function.loops if self._in(loop.at)]
        for call, method in gives:
            if self._order(call.at) >= 0:
                return call, method, any(r.around(call.at.line, call.at.column) for r in loops)
        for call, method in gives:
            if any(r.around(call.at.line, call.at.column) for r in loops):
                return call, method, True
        return None

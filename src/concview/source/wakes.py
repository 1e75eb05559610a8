"""What the source says about waking, by names alone: which functions give something back or set it, who reads first.

`self._cond`, `pool.cond` and `cond` are all 'cond' here, in one file. Whatever is concluded from it is inferred; where
the object itself was read, `obligations` knows more.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence, Set
from typing import NamedTuple

from concview.source.functions import ELSEWHERE, Call, Function
from concview.source.functions import File as UsesFile
from concview.source.obligations import Obligations
from concview.source.uses import MOST_FILES, Uses

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
#: The same for what is looked into again and again, and waited for at no call of its own.
POLLED_WAKES: dict[str, frozenset[str]] = {
    "pop": frozenset({"append", "appendleft", "add", "insert"}),
    "popleft": frozenset({"append", "appendleft"}),
    "get_nowait": frozenset({"put", "put_nowait"}),
}
#: How something is waited for -> the method by which, in `WAKES`.
ITEMS: dict[str, str] = {
    "Queue.get": "get",
    "SimpleQueue.get": "get",
    "Queue.put": "put",
    "Queue.join": "join",
    "Future.result": "result",
    "Barrier.wait": "barrier",
}
_SENDS = frozenset(
    {"send", "sendall", "sendto", "sendmsg", "write", "writelines", "send_bytes", "flush", "request", "execute"}
    | {"send_multipart", "send_string", "send_json", "send_pyobj", "send_serialized"}
)
_READS = frozenset(
    {"recv", "recv_into", "recvfrom", "read", "readline", "readinto", "recv_bytes", "accept", "readlines", "read1"}
    | {"recv_multipart", "recv_string", "recv_json", "recv_pyobj", "recv_serialized"}
)
_WRITES = frozenset({"write", "send"})
_SELECTS = frozenset({"select", "poll", "epoll_wait", "control"})
#: Names of methods that take what was sent.
_RECEIVES = re.compile("(sock_)?(recv|receive|read)|get(_nowait)?$")
#: Calls that are followed from the place of a wake-up outwards, in the same file.
DEPTH = 3
#: Methods by which something is taken out of a pool, and by which a pool is told that it is had no more. Not `recv`:
#: what is received is not given back, though its connection is closed in the end.
_TAKES_OUT = frozenset(
    {"acquire", "connect", "connection", "get_connection", "getconn", "get_conn", "checkout", "borrow", "lease"}
)
_GIVES_BACK = frozenset({"close", "release", "checkin", "give_back", "put_back", "putconn", "disconnect", "return_"})
#: Methods by which a session of an object-relational mapper is asked for something, and told to give back what it took.
#: Source: SQLAlchemy 1.4 to 2.1, `orm.Session`; SQLModel has `exec`.
_SESSION = frozenset(
    {"query", "get", "get_one", "execute", "scalar", "scalars", "flush", "refresh", "merge", "connection", "exec"}
)
_SESSION_ENDS = frozenset({"commit", "rollback", "close", "remove", "reset", "invalidate"})
#: Methods of queues that take something out, and that put something in.
_GETS, _PUTS = frozenset({"get", "get_nowait"}), frozenset({"put", "put_nowait"})
#: Methods by which what was taken out of a queue is answered, or reported as done.
_ANSWERS = WAKES["result"] | WAKES["join"]
#: Functions of which everybody has one: that something of this name is called says nothing.
_COMMON = frozenset({"<module>", "run", "get", "put", "close", "wait", "__init__", "__enter__", "__exit__"})


class Called(NamedTuple):
    """`on.method(...)` or `method(...)`; `col` 0-based; a `with` gives back past all columns of its last line."""

    method: str
    on: str
    line: int
    col: int


class Span(NamedTuple):
    """A `with`: the lines of its head and of its body."""

    first: int
    head: int
    body: int
    last: int


class Loop(NamedTuple):
    first: int
    last: int
    endless: bool  #: `while True` or on a flag: not over a given number of things
    test: frozenset[str] = frozenset()  #: last names of what its condition looks at
    for_ever: bool = False  #: `while True`, and nothing in it leaves it
    polls: bool = False  #: it only looks whether something has come
    until: frozenset[str] = frozenset()  #: those names of `test` that it waits to become true: `while not ready`


Key = tuple[str, int]


def key_of(function: Function) -> Key:
    return function.name, function.first


class Reading:
    """One function, as it is asked about here."""

    def __init__(self, function: Function) -> None:
        self.name, self.key, self.kept = function.name, key_of(function), function.kept
        self.first, self.last = function.first, function.last
        self.loops = [
            Loop(lp.at.line, lp.at.end_line, lp.endless, lp.test, lp.for_ever, lp.polls, lp.until)
            for lp in function.loops
        ]
        self.guarded = [(g.line, g.end_line) for g in function.guarded]
        self.changes, self.aliases = function.changes, function.aliases
        self.calls: list[Called] = []
        for call in function.calls:
            locks = call.method in ("flock", "lockf")
            method = ("release" if call.unlocks else "acquire") if locks else call.method
            self.calls.append(Called(method, call.on, call.at.end_line, call.at.column))
            if call.at.end_line != call.at.line:
                self.calls.append(Called(method, call.on, call.at.line, call.at.column))
        self.blocks: list[Span] = []
        for block in function.blocks:
            self.blocks.append(Span(block.head.line, block.head.end_line, block.body.line, block.body.end_line))
            # Leaving the block gives back what entering it took.
            self.calls.append(Called("acquire", block.on, block.head.line, 0))
            self.calls.append(Called("release", block.on, block.body.end_line, 1 << 20))
        self.calls.sort(key=lambda c: (c.line, c.col))
        self.blocks.sort()


class File:
    """What one file says. Answers are kept: they are asked for the same few lines again and again."""

    def __init__(self, parsed: UsesFile) -> None:
        self.parsed = parsed
        self._readings: dict[Key, Reading] = {}
        self._every: list[Reading] | None = None
        self._wakers: dict[tuple[str, str], dict[Key, tuple[int, ...]]] = {}
        self._pauses: dict[tuple[str, int], bool] = {}
        self._counted: dict[tuple[str, int, str, str], frozenset[str]] = {}

    @property
    def functions(self) -> list[Reading]:
        if self._every is None:
            self._every = [self._reading(f) for f in self.parsed.functions]
        return self._every

    def _reading(self, function: Function) -> Reading:
        key = key_of(function)
        known = self._readings.get(key)
        if known is None:
            known = self._readings[key] = Reading(function)
        return known

    def function_at(self, name: str, line: int) -> Reading | None:
        found = self.parsed.function(name, line)
        return self._reading(found) if found is not None else None

    def waited(self, name: str, line: int) -> tuple[str, str]:
        """(method, on what) of the waiting call on this line; ('', '') where the line has none or several."""
        found = self.function_at(name, line)
        here = [(c.method, c.on) for c in found.calls if c.line == line and c.method in WAKES and c.on] if found else []
        return here[0] if len({on for _, on in here}) == 1 else ("", "")

    def takers(self, on: str) -> frozenset[str]:
        """Functions that acquire what is called so and leave it to others to release it."""
        return frozenset(
            f.name
            for f in self.functions
            if any(c.on == on and c.method == "acquire" for c in f.calls)
            and not any(c.on == on and c.method == "release" for c in f.calls)
        )

    def givers(self, on: str) -> frozenset[str]:
        """Functions that release what is called so, and do not acquire it: for them it is a sign, which others wait
        for."""
        return frozenset(
            f.name
            for f in self.functions
            if any(c.on == on and c.method == "release" for c in f.calls)
            and not any(c.on == on and c.method == "acquire" for c in f.calls)
        )

    def those(self, keys: Iterable[Key]) -> list[Function]:
        """The functions with these keys, as they were parsed."""
        wanted = set(keys)
        return [f for f in self.parsed.functions if key_of(f) in wanted]

    def wakers(self, on: str, method: str) -> dict[Key, tuple[int, ...]]:
        """Function -> lines at which it would wake who waits so for `on`, itself or by what it calls."""
        key = (on, method)
        known = self._wakers.get(key)
        if known is None:
            known = self._wakers[key] = self._find_wakers(on, method)
        return known

    def direct_givers(self, on: str, method: str) -> frozenset[Key]:
        """Functions that themselves end a wait of that method for it."""
        wake = _wakes_of(method)
        return frozenset(f.key for f in self.functions if any(c.on == on and c.method in wake for c in f.calls))

    def handed_on(self, on: str, method: str) -> bool:
        """Whether what ends a wait of that method for it is handed on, for others to call: `done = permits.release`."""
        wake = _wakes_of(method)
        return any(name == on and m in wake for f in self.parsed.functions for m, name in f.handed)

    def _find_wakers(self, on: str, method: str) -> dict[Key, tuple[int, ...]]:
        wake = _wakes_of(method)
        reach: dict[Key, set[int]] = {}
        names: set[str] = set()
        for f in self.functions:
            lines = {c.line for c in f.calls if c.method in wake and (c.on == on or (c.on, on) in f.aliases)}
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

    def only_waker(self, on: str, method: str) -> bool:
        """Whether one function alone of this file calls what wakes, and neither that method nor the thing itself is
        passed on: to a signal handler, a timer, another file."""
        wake = WAKES.get(method, frozenset())
        direct = [f for f in self.functions if any(c.on == on and c.method in wake for c in f.calls)]
        passed = (a for f in self.parsed.functions for c in f.calls for a in c.arguments)
        ends = {on, *(f"{on}.{name}" for name in wake)}
        return len(direct) == 1 and not any(a in ends or any(a.endswith(f".{e}") for e in ends) for a in passed)

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

    def takes_what_comes(self, name: str, line: int) -> bool:
        """Whether it waits there in a loop without end for what anybody may send: it has not sent before in that."""
        found = self.function_at(name, line)
        loop = _innermost(found, line) if found is not None else None
        if found is None or loop is None or not loop.endless:
            return False
        # What a call of another kind waits for there, such as the answer of a name server, it has asked for itself.
        if not any(c.line == line and _RECEIVES.match(c.method) for c in found.calls):
            return False
        return not any(c.method in _SENDS and loop.first <= c.line < line for c in found.calls)

    def item_awaited(self, name: str, line: int) -> str:
        """What a consumer takes its next item of there, `async for x in on` or `await on.get()` in a loop without end,
        where others in the file put some in, and it does not put them back; '' where it is none."""
        found = self.function_at(name, line)
        if found is None or self.puts_back(name, line):
            return ""
        loop = _innermost(found, line)
        takes = {"__anext__", "get"} if loop is not None and loop.endless else {"__anext__"}
        on = {c.on for c in found.calls if c.line == line and c.method in takes and c.on}
        one = on.pop() if len(on) == 1 else ""
        return one if one and self.direct_givers(one, "get") - {found.key} else ""

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
        got = {n for m, n in found.kept if m in _GETS}
        taken_from = {c.on for c in found.calls if c.method in _GETS}
        # What is put into another queue is work that is handed on.
        back = any(c.method in _PUTS and c.on in taken_from for c in found.calls)
        return back and any(m in _PUTS and n in got for m, n in found.kept)

    def taken_by_polling(self, name: str, line: int) -> tuple[str, str]:
        """(method, on what) by which a function takes something out of the one thing that it looks into again and
        again, pausing on this line; ('', '') where it does not, or there are several."""
        found = self.function_at(name, line)
        if found is None or _innermost(found, line) is None:
            return "", ""
        takes = {(c.method, c.on) for c in found.calls if c.method in POLLED_WAKES and c.on}
        return takes.pop() if len(takes) == 1 else ("", "")

    def puts_into(self, on: str, method: str = "get") -> frozenset[str]:
        """Functions that put something into what that method takes it out of."""
        puts = _wakes_of(method)
        return frozenset(f.name for f in self.functions if any(c.on == on and c.method in puts for c in f.calls))

    def passes_back(self, name: str, line: int, take: str, gives: frozenset[str]) -> bool:
        """What it has from the one method it passes to one of the others: `c = pool.lend()`, `pool.take_back(c)`. Not
        where it does so after an error alone, or under a condition: that is work which is tried again."""
        found = self.parsed.function(name, line)
        if found is None:
            return False
        got = {n for m, n in found.kept if m == take}
        maybe = any(c.maybe for c in found.calls if c.method == take)
        back = (c for c in found.calls if c.method in gives and c.handler is None and (maybe or not c.maybe))
        return any(got.intersection(c.arguments[:1]) for c in back)

    def gives_back(self, name: str, line: int, take: str, give: str) -> bool:
        """Whether what one method gave is, where that can be seen at all, what the other one is given."""
        found = self.parsed.function(name, line)
        if found is None:
            return True
        got = {n for m, n in found.kept if m == take}
        given = {n for m, n in found.kept if m == give}
        return not got or bool(got & given) or not any(c.arguments for c in found.calls if c.method == give)

    def had_until(self, name: str, line: int) -> int:
        """The last line on which a call is made on what this line took (`c = pool.connection()`); 0 where it keeps
        nothing under a name of its own."""
        found = self.function_at(name, line)
        if found is None:
            return 0
        methods = {c.method for c in found.calls if c.line == line}
        names = {n for m, n in found.kept if m in methods}
        return max((c.line for c in found.calls if c.on in names and c.line > line), default=0)

    def session(self, name: str, line: int) -> str:
        """The variable with the session that this line asks something of ('db' of `db.get(Order, 1)`, 'db.session' of
        `db.session.execute(...)`); '' where none is to be seen."""
        return next((c.path for c in self._on(name, line) if c.method in _SESSION and c.path), "")

    def hands_on(self, name: str, line: int, variable: str) -> bool:
        """Whether a call on this line is given that variable: `crud.find(db, 1)`."""
        return any(variable in c.arguments for c in self._on(name, line))

    def _on(self, name: str, line: int) -> list[Call]:
        found = self.parsed.function(name, line)
        return [c for c in found.calls if c.at.line <= line <= c.at.end_line and c.path != ELSEWHERE] if found else []

    def session_until(self, name: str, line: int, variable: str) -> int:
        """The last line on which a session keeps what it took on this one: until it is told to give it back, else to
        the end of the outermost `with` around the line, where it is made, or of the function that was given it."""
        found = self.parsed.function(name, line)
        if found is None:
            return 0
        inside = [b for b in found.blocks if b.body.line <= line <= b.body.end_line]
        given = variable.partition(".")[0] in found.parameters
        last = max(b.body.end_line for b in inside) if inside and not given else found.last
        back = [c.at.line for c in found.calls if c.path == variable and c.method in _SESSION_ENDS and c.at.line > line]
        return min([last, *back])

    def had_of(self, name: str, line: int) -> tuple[str, int]:
        """(what is asked, the line that gives back) where this line asks a thing by one method and a later one tells it
        by another that it is had no more: `db.connect()` ... `db.close()`; ('', 0) where none does."""
        found = self.function_at(name, line)
        if found is None:
            return "", 0
        asked = {c.on for c in found.calls if c.line == line and c.on and c.method in _TAKES_OUT}
        last = max(((c.line, c.on) for c in found.calls if c.on in asked and c.method in _GIVES_BACK), default=(0, ""))
        return (last[1], last[0]) if last[0] > line else ("", 0)

    def body(self, name: str, line: int) -> tuple[int, int]:
        """The lines of the block that a `with` on this line leads into; (0, 0) when there is none."""
        found = self.function_at(name, line)
        fits = [b for b in found.blocks if b.first <= line <= b.head < b.body] if found else []
        return (fits[-1].body, fits[-1].last) if fits else (0, 0)

    def has_taken(self, name: str, line: int, on: str) -> bool:
        """Whether this line is past the call that acquires what is called so, and before the one that releases it."""
        found = self.function_at(name, line)
        here = [c for c in found.calls if c.on == on] if found is not None else []
        before = [c.line for c in here if c.method == "acquire" and c.line < line]
        return bool(before) and any(c.method == "release" and max(before) < line <= c.line for c in here)

    def called_beside(self, name: str, line: int) -> set[str]:
        """Where head and body of a `with` share a line: what the body calls, and the head does not."""
        found = self.parsed.function(name, line)
        if found is None:
            return set()
        for block in found.blocks:
            if block.head.line == line == block.body.line:
                inside = {c.method for c in found.calls if block.body.around(c.at.line, c.at.column)}
                return inside - {c.method for c in found.calls if block.head.around(c.at.line, c.at.column)}
        return set()

    def calls_on(self, name: str, line: int) -> list[Called]:
        found = self.function_at(name, line)
        return [c for c in found.calls if c.line == line] if found else []

    def sets_futures(self, name: str, line: int) -> bool:
        """Whether the loop around this line sets results or errors of futures, whatever they are called there."""
        found = self.function_at(name, line)
        loop = _innermost(found, line) if found is not None else None
        if found is None or loop is None or not loop.endless:
            return False
        return any(c.method in WAKES["result"] and loop.first <= c.line <= loop.last for c in found.calls)

    def selects(self, name: str, line: int) -> bool:
        """Whether a loop around this line, further out perhaps, waits for whichever of many descriptors is ready."""
        found = self.function_at(name, line)
        loops = [lp for lp in found.loops if lp.endless and lp.first <= line <= lp.last] if found is not None else []
        calls = found.calls if found is not None else []
        return any(c.method in _SELECTS and lp.first <= c.line <= lp.last for lp in loops for c in calls)

    def loop(self, name: str, line: int) -> Loop | None:
        """The innermost loop around a line."""
        found = self.function_at(name, line)
        return _innermost(found, line) if found is not None else None

    def pauses(self, name: str, line: int) -> bool:
        """Whether one that sleeps here does nothing but pause between two rounds of a loop: it has nothing that it must
        give back in the same round, by a `with`, a `finally`, or a release() further down, and nothing to answer."""
        key = (name, line)
        known = self._pauses.get(key)
        if known is None:
            known = self._pauses[key] = self._find_pauses(name, line)
        return known

    def _find_pauses(self, name: str, line: int) -> bool:
        found = self.function_at(name, line)
        loop = _innermost(found, line) if found is not None else None
        if found is None or loop is None:
            return False
        if any(b.body <= line <= b.last and b.first >= loop.first and b.body > b.first for b in found.blocks):
            return False
        if any(loop.first < first <= line <= last for first, last in found.guarded):
            return False
        inside = [c for c in found.calls if loop.first <= c.line <= loop.last and c.on]
        taken = {c.on for c in inside if c.method == "acquire" and c.line < line}
        # What it took out of a queue it has yet to answer or to report: that is work.
        if any(c.method in _GETS and c.line < line for c in inside) and any(
            c.method in _ANSWERS and c.line >= line for c in inside
        ):
            return False
        return not any(c.on in taken for c in inside if c.method == "release" and c.line > line)

    def tries_again(self, name: str, line: int, given: bool = False) -> str | None:
        """The errors ('HTTPError'; '' not known) after which one that pauses on this line tries again; None where that
        is no such pause. `given`: only in a function that tries what it was given."""
        found = self.parsed.function(name, line)
        loop = _innermost(self._reading(found), line) if found is not None else None
        if found is None or loop is None:
            return None
        for again in found.again:
            if given and not again.forwards:
                continue
            if again.tried.line <= line <= again.tried.end_line:
                continue
            # The pause itself may be in a loop of its own there, second by second.
            inside = again.handler.line <= line <= again.handler.end_line
            if inside or (again.loop.line == loop.first and 0 < again.after <= line):
                return again.error
        return None

    def awaited(self, name: str, line: int) -> str | None:
        """The last name of what is awaited on this line; '' for a future or event that is made there, which nobody
        else has; None where it is none of these, or there are several."""
        found = self.parsed.function(name, line)
        here = {on for at, on in found.awaited if at.line <= line <= at.end_line} if found is not None else set()
        return here.pop() if len(here) == 1 else None

    def by_signal(self, on: str, method: str = "") -> bool:
        """Whether a handler of a signal is seen to set what is called so, or to end a wait of that method for it."""
        names = {name for f in self.parsed.functions for name in f.by_signal}
        return self._set_by(on, names) or any(f"{name}()" in names for name, _ in self.wakers(on, method))

    def signals_write(self) -> bool:
        """Whether signals are seen to write: their handlers do, or a descriptor is given to which the interpreter
        writes the number of each. The other end of a pipe is read for that."""
        names = {name for f in self.parsed.functions for name in f.by_signal}
        return any(
            c.method == "set_wakeup_fd" or (f"{f.name}()" in names and c.method in _WRITES)
            for f in self.functions
            for c in f.calls
        )

    def by_descriptor(self, on: str) -> bool:
        """Whether who is called when a descriptor is ready is seen to set it."""
        return self._set_by(on, {name for f in self.parsed.functions for name in f.by_descriptor})

    def _set_by(self, on: str, names: Set[str]) -> bool:
        setters = WAKES["result"] | {"set"}
        return on in names or any(
            c.on == on and c.method in setters for f in self.functions if f"{f.name}()" in names for c in f.calls
        )

    def counted(self, name: str, line: int, on: str, method: str) -> frozenset[str]:
        """Functions that take what one waits for here: they change the count that the loop around the wait looks at in
        the other direction than those that end the wait. So it is with a lock of readers and writers: a writer waits
        `while self.readers`, and each reader has counted itself in."""
        key = (name, line, on, method)
        known = self._counted.get(key)
        if known is None:
            known = self._counted[key] = self._find_counted(name, line, on, method)
        return known

    def _find_counted(self, name: str, line: int, on: str, method: str) -> frozenset[str]:
        found = self.function_at(name, line)
        loop = _innermost(found, line) if found is not None else None
        if found is None or loop is None or not loop.test:
            return frozenset()
        wake = WAKES.get(method, frozenset())
        given: dict[str, set[bool]] = {}
        for f in self.functions:
            if any(c.on == on and c.method in wake for c in f.calls):
                for change in f.changes:
                    if change.name in loop.test:
                        given.setdefault(change.name, set()).add(change.up)
        ways = {name: next(iter(ups)) for name, ups in given.items() if len(ups) == 1}
        return frozenset(
            f.name
            for f in self.functions
            if f.key != found.key
            and f.name not in _COMMON
            and any(c.name in ways and c.up is not ways[c.name] for c in f.changes)
            and not any(c.name in ways and c.up is ways[c.name] for c in f.changes)
        )

    def within_change(self, test: frozenset[str]) -> dict[str, list[tuple[int, int]]]:
        """Function -> (after, until) lines between which it has changed by `+=` a count of these, and not yet back."""
        found: dict[str, list[tuple[int, int]]] = {}
        for f in self.functions:
            for up in (c for c in f.changes if c.up and c.name in test):
                down = [c.line for c in f.changes if not c.up and c.name == up.name and c.line > up.line]
                if down:
                    found.setdefault(f.name, []).append((up.line, min(down)))
        return found

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


def _wakes_of(method: str) -> frozenset[str]:
    """What ends a wait in this method, or lets one that polls by it go on."""
    return WAKES.get(method) or POLLED_WAKES.get(method, frozenset())


_EMPTY = File(UsesFile())


def _innermost(function: Reading, line: int) -> Loop | None:
    return min(
        (lp for lp in function.loops if lp.first <= line <= lp.last), key=lambda lp: lp.last - lp.first, default=None
    )


class Wakes:
    """The files of one target. `lines_of` gives a file's lines, none where they cannot be believed."""

    def __init__(self, lines_of: Callable[[str], Sequence[str]]) -> None:
        self.uses = Uses(lines_of)
        self.obligations = Obligations(self.uses)
        self._files: dict[str, File] = {}

    def refill(self) -> None:
        """A new turn: so much time for parsing again."""
        self.uses.refill()

    def file(self, name: str) -> File:
        """What it says; nothing where it cannot be read or parsed, or while there is no time for it."""
        parsed = self.uses.file(name)
        if parsed is None:
            return _EMPTY
        known = self._files.get(name)
        if known is None or known.parsed is not parsed:
            if len(self._files) >= MOST_FILES:
                self._files.clear()
            known = self._files[name] = File(parsed)
        return known

"""What is known of a function from its source: calls and on what, `with` blocks, loops, branches. Found by `parse`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

#: The path of what is no name and no attribute of names: it is equal to none that is asked for.
ELSEWHERE = "?"
#: The end of a module.
LAST = 1 << 30


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
    on: str = ""  #: the last name of what it is called on, subscripts and calls left out: 'cond' of self.pools[0].cond
    unlocks: bool = False  #: flock(f, LOCK_UN)


class Block(NamedTuple):
    """One item of a `with`: of the object itself, or of what a method gives (`with pool.connection():`)."""

    path: str
    method: str
    head: Range
    body: Range
    on: str = ""  #: as in Call


class Loop(NamedTuple):
    at: Range
    endless: bool  #: `while True` or on a flag: not over a given number of things
    test: frozenset[str] = frozenset()  #: last names of what its condition looks at: 'readers' of `while self.readers`
    for_ever: bool = False  #: `while True`, and nothing in it leaves it
    #: It does nothing but look whether something has come: its body only pauses, or it returns what has come.
    polls: bool = False
    until: frozenset[str] = frozenset()  #: those names of `test` that it waits to become true: 'ready' of `not ready`


class Again(NamedTuple):
    """A loop in which what failed is tried again: with a `try` of which a handler does not leave it."""

    loop: Range
    handler: Range
    error: str  #: 'HTTPError, URLError'; '' for all or what is no name
    tried: Range  #: who is in there waits for what is tried, and does not pause
    after: int  #: from this line of the loop on, too, one has failed; 0: in the handler alone
    forwards: bool  #: it tries what it was given, with the arguments that it was given: `fn(*args, **kwargs)`


class Change(NamedTuple):
    """`path.name += ...` (up) or `-= ...`."""

    name: str
    up: bool
    line: int


@dataclass(slots=True)
class Function:
    """One function of a file, without those written inside it."""

    qualname: str
    first: int
    last: int
    parameters: tuple[str, ...] = ()
    takes_all: bool = False  #: it has `*args, **kwargs`, as what is put around other functions has
    calls: list[Call] = field(default_factory=list)
    blocks: list[Block] = field(default_factory=list)
    loops: list[Loop] = field(default_factory=list)
    splits: list[tuple[Range, ...]] = field(default_factory=list)  #: branches of which only one runs
    guarded: list[Range] = field(default_factory=list)  #: bodies of `try` with a `finally`
    changes: list[Change] = field(default_factory=list)
    again: list[Again] = field(default_factory=list)
    aliases: set[tuple[str, str]] = field(default_factory=set)  #: (name, attribute): cond = entry.condition
    kept: set[tuple[str, str]] = field(default_factory=set)  #: (method, name): x = q.get(), q.put(x)
    #: (method, name) of what is handed on for others to call: `done = permits.release`
    handed: set[tuple[str, str]] = field(default_factory=set)
    awaited: list[tuple[Range, str]] = field(default_factory=list)  #: names that are awaited; '' for what is made there
    #: Last names of what handlers of signals set, or of who is called when a descriptor is ready; 'name()' of those.
    by_signal: set[str] = field(default_factory=set)
    by_descriptor: set[str] = field(default_factory=set)

    @property
    def name(self) -> str:
        return self.qualname.rpartition(".")[2]

    @property
    def cls(self) -> str:
        """Qualified name of the class that it is a method of; '' for a function."""
        return self.qualname.rpartition(".")[0]


class File:
    def __init__(self, functions: Sequence[Function] = ()) -> None:
        self.functions = functions
        self.by_name = {f.qualname: f for f in functions}
        self._at: dict[tuple[str, int], Function | None] = {}

    def function(self, qualname: str, line: int) -> Function | None:
        """Up to 3.10 the bare name may be all that is known; what is no function here ('<listcomp>') is in one."""
        key = (qualname, line)
        if key not in self._at:
            inside = [f for f in self.functions if f.first <= line <= f.last]
            bare = qualname.rpartition(".")[2]
            fits = [f for f in inside if f.qualname == qualname] or [f for f in inside if f.name == bare]
            if not fits and bare.startswith("<"):
                fits = [f for f in inside if f.name != "<module>"]
            self._at[key] = max(fits, key=lambda f: f.first, default=None)
        return self._at[key]


EMPTY = File()

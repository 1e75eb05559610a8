"""What the dashboard needs from the rest of the program. Nothing here is implemented by the dashboard."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

from concview.model import Stack, State
from concview.snapshot import Snapshot, Timeline

if TYPE_CHECKING:
    from concview.analysis.calltree import Entry, Node
    from concview.session.service import ServiceRow


class ViewedSession(Protocol):
    """One target that is looked at, live or recorded."""

    live: bool

    def snapshot(self) -> Snapshot:
        """The latest picture. Never blocks; the same object until there is a new one."""
        ...

    def hurry(self) -> None:
        """A key was pressed: what is done for the next picture leaves the CPU to this one."""
        ...

    def close(self) -> None:
        """Ends the collector and detaches."""
        ...


class Output(Protocol):
    """What a target that we started prints."""

    @property
    def written(self) -> int:
        """Bytes so far: changes whenever there is more to show."""
        ...

    def lines(self, last: int) -> list[str]:
        """The last lines, clean."""
        ...


class ProcessRow(Protocol):
    """One running Python process, as discovery describes it."""

    @property
    def pid(self) -> int: ...
    @property
    def name(self) -> str: ...
    @property
    def command(self) -> Any: ...  #: the command line: a string or its words
    @property
    def python(self) -> str: ...
    @property
    def cpu_percent(self) -> float | None: ...
    @property
    def threads(self) -> int | None: ...
    @property
    def switches_per_s(self) -> float | None: ...
    @property
    def owner(self) -> str: ...
    @property
    def attachable(self) -> bool: ...
    @property
    def why(self) -> str: ...
    @property
    def remedy(self) -> str: ...


class CallTimes(Protocol):
    """A session that can also say where time went, call by call. Asked in a thread of its own."""

    def calls(
        self,
        states: Collection[State] | None = None,
        tids: Collection[int] | None = None,
        by_line: bool = False,
        fold: bool = False,
        holding: bool = False,
        back: tuple[int, int] | None = None,
        tasks: bool = False,
        labels: Sequence[str] = (),
        by_work: bool = False,
    ) -> CallsTaken:
        """`back`: of this interval (end, length; nanoseconds) instead of the last seconds. `tasks`: await chains of
        tasks instead of threads. `labels`: only time spent on requests, jobs, queries and calls of these names (with *
        and ?). `by_work`: a root for each request and job."""
        ...


class Player(Protocol):
    """What plays a recording."""

    @property
    def speed(self) -> float: ...  #: times real time; 0: as fast as it can be read
    def set_speed(self, speed: float) -> None: ...
    def hold(self, held: bool) -> None: ...
    def play_to(self, at_ns: int) -> None: ...
    def seek_finding(self) -> None: ...


@runtime_checkable
class Kept(Protocol):
    """A session that can look back."""

    @property
    def player(self) -> Player | None:
        """None for a live process."""
        ...

    def timeline(self) -> Timeline:
        """What can be looked back at. Never blocks."""
        ...

    def at(self, end_ns: int, span_ns: int) -> Snapshot:
        """The snapshot of an interval. Takes its time: called in a thread of its own. May raise LookupError."""
        ...


@runtime_checkable
class Recordable(Protocol):
    """A session whose last minutes can be saved as a recording."""

    def save(self, path: Path, seconds: float | None = None) -> float:
        """The seconds that it has. Takes its time: called in a thread of its own. OSError; LookupError: there is
        nothing to save."""
        ...


@runtime_checkable
class Paged(Protocol):
    """A session whose pictures can be drawn on a page: (tid, name, from, to, state, stack) of every thread, and where
    they begin, in nanoseconds of the stream and seconds since the first sample."""

    def runs(
        self, back: tuple[int, int] | None = None
    ) -> tuple[list[tuple[int, str, int, int, State, Stack]], int, float]: ...


class CallsTaken(Protocol):
    """The call tree and the own/total table of `seconds` up to `at_ns`."""

    @property
    def root(self) -> Node: ...
    @property
    def entries(self) -> list[Entry]: ...
    @property
    def seconds(self) -> float: ...
    @property
    def at_ns(self) -> int: ...


@dataclass(frozen=True, slots=True)
class DeepLocal:
    name: str
    value: str
    argument: bool = False


@dataclass(frozen=True, slots=True)
class DeepFrame:
    """One frame of a deep look, with the values of its variables. A native one has a library as `file`, no line."""

    function: str
    file: str
    line: int
    native: bool = False
    locals: Sequence[DeepLocal] = ()


class DeepLook(Protocol):
    """Reads one thread anew, innermost frame first. With `native` the target stands still meanwhile.

    Takes its time, so it is called in a thread of its own. May raise; the message is shown, with `.remedy` where the
    exception has one.
    """

    def __call__(self, pid: int, tid: int, native: bool) -> Sequence[DeepFrame]: ...


class StartAgain(Protocol):
    """Ends the target that concview started and starts it anew, a demo perhaps in its other variant.

    Takes its time, so it is called in a thread of its own. May raise; the message is shown, with `.remedy` where the
    exception has one; there is no target then. Returns the new session, what the new target prints, and its variant.
    """

    def __call__(self, other: bool) -> Started: ...


@dataclass(frozen=True, slots=True)
class Started:
    """`variant`: of a demo, 'bad' or 'fixed'; '' for any other program. `output`: where a pane shows it."""

    session: ViewedSession
    output: Output | None = None
    variant: str = ""


def no_demos() -> Sequence[tuple[str, str]]:
    return ()


def no_demo(demo: str) -> ViewedSession:
    raise LookupError("there are no demos")


def no_tree(pid: int) -> Service:
    raise LookupError(f"concview attach --tree {pid} shows it with its workers")


@dataclass(frozen=True, slots=True)
class Picker:
    """What the picker screen calls; each in a thread of its own, so each may take its time.

    `attach`, `watch_tree` and `start_demo` may raise; the message is shown, with `.remedy` where the exception has one.
    """

    list_processes: Callable[[], Sequence[ProcessRow]]
    attach: Callable[[int], ViewedSession]
    list_demos: Callable[[], Sequence[tuple[str, str]]] = no_demos
    start_demo: Callable[[str], ViewedSession] = no_demo
    #: (id, its story) of the demo that is on screen; None where it is none
    demo: Callable[[], tuple[str, str] | None] = lambda: None
    #: None while the target is none that concview started
    again: Callable[[], StartAgain | None] = lambda: None
    #: A process and those below it, watched together. Whoever leaves it closes it.
    watch_tree: Callable[[int], Service] = no_tree


class Service(Protocol):
    """Several processes that are looked at together: a master with its workers, live or recorded."""

    live: bool
    name: str

    def rows(self) -> Sequence[ServiceRow]:
        """Parents before children, ended ones too. Never blocks."""
        ...

    def said(self) -> Sequence[tuple[str, str]]:
        """(tone, words) of what concerns several, worst first: findings that several have, who waits for whom across
        processes. Tones: 'error', 'warn', 'base', 'dim'. Never blocks."""
        ...

    def cost(self) -> tuple[float, float]:
        """Percent of a core that all collectors use together, and what they may."""
        ...

    def session(self, key: tuple[int, int]) -> ViewedSession | None:
        """Of one process, which is looked at closely from now on; None where there is nothing to look at. It is the
        service's own: whoever looks does not close it."""
        ...

    def leave(self) -> None:
        """Nobody looks at one of them closely any more."""
        ...

    def close(self) -> None: ...

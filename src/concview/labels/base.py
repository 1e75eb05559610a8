"""What a kind of label is: which functions tell something, and how to read it out of their variables."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple, Protocol

from concview.labels.access import Ref
from concview.model import WorkKind


class At(NamedTuple):
    """A function: the end of its file's path and its qualified name."""

    file: str
    function: str


@dataclass(slots=True)
class Raw:
    """What was read, as it is: not for anybody's eyes before `policy.label` has seen it.

    `key` tells this piece of work from every other one: addresses of several objects that are made for it alone, and
    what they hold. One address alone is none: frames and objects come back at the same one.
    """

    kind: WorkKind
    key: tuple[object, ...]
    method: str = ""  #: of HTTP
    path: str = ""
    route: str = ""  #: the template of the path, as the program's source has it
    mount: str = ""  #: what stands in front of the templates of all that is inside
    handler: str = ""  #: the class or function of the program's that handles it, where there is no template
    operation: str = ""  #: of a request that asks for several things by one route (GraphQL): 'query user'
    host: str = ""
    statement: str = ""  #: SQL
    command: str = ""  #: of a database that has no statements
    rpc: str = ""  #: '/package.Service/Method'
    name: str = ""  #: of a job: the function's; of a command: what it is about, a collection
    id: str = ""
    partition: int = -1  #: of a job that is a record of one: `name` is the topic, `id` the offset
    #: It asks for the next one: what frames around it still have of the same system is over.
    next: bool = False
    started_s: float = 0.0  #: on CLOCK_MONOTONIC; 0: not known
    wall_s: float = 0.0  #: the same as seconds since the epoch
    local: float | None = None  #: the same as a clock on the wall, in the target's time zone, shows it
    after: bool = False  #: of a request: the response has been sent, what runs now comes after it
    #: The next one may have all of this, at the same addresses: how long this one lasts is known no better than
    #: since its thread or task last ran. So it is of all queries and calls.
    alike: bool = False
    system: str = ""  #: the kind's, set by the reader, where it is not told here
    detail: str = ""  #: with labels = "full" only


class View(Protocol):
    """A frame whose variables can be asked for."""

    def local(self, name: str) -> Ref: ...

    def call(self, types: frozenset[str], methods: frozenset[str]) -> tuple[Ref, Ref] | None:
        """(object, first argument) of the call into C in progress, of a method of one of these types; None: no such."""
        ...

    def function(self) -> str:
        """Its qualified name."""
        ...

    def taking(self) -> frozenset[str]:
        """Libraries in whose frames inside this one something is taken: an iterator's next item, a message."""
        ...


@dataclass(frozen=True, slots=True)
class Kind:
    """One library. `read` gives None where the frame tells nothing (yet). It may raise BadAddress: then nothing is
    known, which is not the same."""

    system: str
    places: tuple[At, ...]
    read: Callable[[View], Raw | None]
    #: Names of methods in C: functions that use one of these names are asked, too.
    methods: frozenset[str] = frozenset()
    #: Functions of any name and place with these arguments, behind `self` or not, are asked, too.
    arguments: tuple[str, ...] = ()
    #: Functions that have a variable of one of these names are asked, too.
    variables: frozenset[str] = frozenset()
    #: Of these, only those outside libraries: there such names are too common to ask about each.
    own: bool = False


@dataclass(frozen=True, slots=True)
class Link:
    """A function that works for somebody else. `read` gives the address of the future that gets the result."""

    places: tuple[At, ...]
    read: Callable[[View], int]

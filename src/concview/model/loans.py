"""What the process of a multiprocessing.Manager does for others: a thread of it serves one connection of a client."""

from __future__ import annotations

import msgspec

from concview.model.events import Event

#: With this bit, a lock of the process of a Manager at the address in the others: as a client's `with` has it. User
#: memory ends below it on every machine.
LENT = 1 << 62
#: What a client's `with` over such a lock is called.
LENT_KIND = "multiprocessing.AcquirerProxy"
#: What begins the kinds of locks that processes have in common: whoever has one may be a thread of another process.
BETWEEN_PROCESSES = "multiprocessing."


class Loan(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """The last request of one client."""

    tid: int  #: of the thread that serves it
    inode: int  #: of this process's end of the connection
    object: int  #: address of what it asked for
    method: str  #: 'acquire'
    answered: bool  #: the next request is waited for
    given: bool = False  #: and the answer was True


class Loans(Event, frozen=True, tag=44):
    """Of every client that has one."""

    at_ns: int
    loans: tuple[Loan, ...]
    complete: bool = True  #: all threads that serve one could be read

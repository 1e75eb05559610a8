"""Where the fields of asyncio's C objects lie (`Modules/_asynciomodule.c`). Bytes.

No version describes all of them. So what `offsets.ASYNCIO` says is proved on the target's own tasks before anything is
said: see `proves`.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

from concview.cpython.features import Features
from concview.cpython.offsets import ASYNCIO

#: A future's `state`.
PENDING, CANCELLED, FINISHED = 0, 1, 2

_WORD = struct.Struct("<Q").unpack_from
_INT = struct.Struct("<i").unpack_from


@dataclass(frozen=True, slots=True)
class TaskLayout:
    state: int
    loop: int
    callback: int  #: the first callback
    callbacks: int  #: the others: a list of (callback, context)
    exception: int
    size: int  #: of a Future
    waiter: int  #: task_fut_waiter
    coroutine: int
    name: int  #: a str, or an int N that stands for 'Task-N'
    when: int  #: of a TimerHandle
    wrapped: int  #: what a FutureIter, a coroutine_wrapper or an asend awaits
    closure: int  #: of a function
    fd: int  #: of a socket
    bases: int  #: tp_mro of a type
    namespace: int  #: tp_dict of a type
    member: int  #: PyMemberDef of a member descriptor
    head: int  #: bytes to read of a task
    #: task_num_cancels_requested, an int: calls of `cancel` that no `uncancel` has taken back. 0: before 3.11.
    cancels: int
    #: The part of a task that changes with every step: from `state`, or from fut_waiter where that lies before it.
    span: tuple[int, int]


def layout(version: tuple[int, int], header: int) -> TaskLayout:
    """`header`: sizeof(PyObject); everything moves with it."""
    state, size, waiter, when, exception, cancels = ASYNCIO[version]
    more = header - 16
    return TaskLayout(
        state=state + more,
        loop=16 + more,
        callback=24 + more,
        callbacks=40 + more,
        exception=exception + more,
        size=size + more,
        waiter=waiter + more,
        coroutine=waiter + 8 + more,
        name=waiter + 16 + more,
        when=when + more,
        wrapped=16 + more,
        closure=(72 if Features(version).function_builtins else 48) + more,
        fd=16 + more,
        bases=344 + more,
        namespace=264 + more,
        member=40 + more,
        head=waiter + 24 + more,
        cancels=cancels + more if cancels else 0,
        span=(state + more, waiter + 16 - state),
    )


class Mismatch(Exception):
    """The target's tasks do not lie as they should. The message is a clause for people."""


def proves(at: TaskLayout, head: bytes, types: list[str]) -> None:
    """Raises Mismatch unless a task's first bytes make sense. `types`: names of the types of what lies where its loop,
    waiter, coroutine and name should be ('' for no object)."""
    state = _INT(head, at.state)[0]
    if state not in (PENDING, CANCELLED, FINISHED):
        raise Mismatch(f"a task's state reads {state}")
    loop, waiter, coroutine, name = types
    if not loop:
        raise Mismatch("a task's loop is no object")
    if state == PENDING and not coroutine:
        raise Mismatch("a task's coroutine is no object")
    if _WORD(head, at.waiter)[0] and not waiter:
        raise Mismatch("what a task waits for is no object")
    if name and name not in ("str", "int") and not name.isidentifier():
        raise Mismatch("a task's name is no string")

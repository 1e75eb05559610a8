"""What happens in a forked child: the agent's thread does not live there, but its socket, its garbage-collector
callback and a profiler's hooks would.

`os.register_at_fork` cannot be undone. So one hook is registered in a process's life, a function that holds nothing
of ours but a list; the list is empty while no agent is there.

Runs inside targets: Python 3.8 and newer, standard library only.
"""

from __future__ import annotations

import os
import sys
import types

TYPE_CHECKING = False  # `typing` is not imported for its names alone: that costs a target milliseconds
if TYPE_CHECKING:
    from typing import Any

#: Attribute of `sys` that keeps the list from one agent to the next.
_KEPT = "_concview_fork"


def _hook(calls: Any = ()) -> None:
    for call in calls:
        call()


def in_child(call: Any) -> Any:
    """Have `call()` run first in every forked child until the returned function is called. `call` must not raise."""
    calls = getattr(sys, _KEPT, None)
    if calls is None:
        calls = []
        setattr(sys, _KEPT, calls)
        # Made anew without this module's globals: the registered function must not keep the agent's code alive.
        os.register_at_fork(after_in_child=types.FunctionType(_hook.__code__, {}, "concview", (calls,)))
    calls.append(call)

    def undo() -> None:
        if call in calls:
            calls.remove(call)

    return undo

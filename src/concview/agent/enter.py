"""How the agent gets in when it was not invited. The text of this file stands at the beginning of the script that the
target runs (engines/inject/boot.py), followed by a call of `enter`. It stands alone: nothing else of the agent is there
yet.

Runs inside targets: Python 3.8 and newer, standard library only.
"""

from __future__ import annotations

TYPE_CHECKING = False  # `typing` is not imported for its names alone: that costs a target milliseconds
if TYPE_CHECKING:
    from typing import Any


PACKAGE = "_concview_agent"
#: Attribute of `sys` with the token of the agent that left last (start.py sets it).
LEFT = "_concview_left"


def enter(sources: Any, settings: Any) -> None:
    """Load the agent's modules (name -> source, in an order that they can be loaded in) and start it.

    Runs in a thread made for it, or under gevent in a greenlet; several times when the request reached several threads.
    """
    import os
    import sys
    import types

    package = types.ModuleType(PACKAGE)
    package.__path__ = []
    package.__dict__.update(token=settings["mine"], pid=os.getpid())
    there = sys.modules.setdefault(PACKAGE, package)
    if there is not package:
        if there.pid == os.getpid():
            if there.token != settings["mine"]:
                sys.modules[PACKAGE + ".start"].occupied(settings)
            return
        sys.modules[PACKAGE] = package  # the parent's, copied by a fork
    if settings["mine"] == getattr(sys, LEFT, ""):
        # A thread that took the request, too, and gets here when the agent has come and gone: the place must be free
        # for the next one.
        sys.modules.pop(PACKAGE, None)
        return

    def load(name: str) -> Any:
        full = PACKAGE + "." + name
        module = types.ModuleType(full)
        module.__package__ = PACKAGE
        module.__file__ = "<concview agent/%s.py>" % name
        sys.modules[full] = module
        setattr(package, name, module)
        exec(compile(sources[name], module.__file__, "exec"), module.__dict__)
        return module

    def rest() -> None:
        try:
            for name in sources:
                if name != "originals":
                    load(name)
            sys.modules[PACKAGE + ".start"].begin(PACKAGE, settings)
        except BaseException:
            for name in [n for n in list(sys.modules) if n == PACKAGE or n.startswith(PACKAGE + ".")]:
                sys.modules.pop(name, None)

    # In a real thread from here on, whatever the program made of `_thread`.
    load("originals").start_thread(rest)

"""How the agent gets in before the program's first line. The text of this file is the beginning of a sitecustomize.py
(engines/inject/early.py), followed by a call of `begin`. It stands alone: nothing else of the agent is there yet.

What the interpreter was told for our sake is taken back first, so that the program and its children see nothing of it.

Runs inside targets: Python 3.8 and newer, standard library only.
"""

from __future__ import annotations

TYPE_CHECKING = False  # `typing` is not imported for its names alone: that costs a target milliseconds
if TYPE_CHECKING:
    from typing import Any

PACKAGE = "_concview_agent"


def begin(sources: Any, settings: Any) -> None:
    """Take our traces back, let the agent in if this is the process that concview started, and give way to the user's
    own sitecustomize. `sources`: name -> source, in an order that they can be loaded in."""
    import os
    import sys
    import types

    folder = settings["folder"]
    if settings["path"] is None:
        os.environ.pop("PYTHONPATH", None)
    else:
        os.environ["PYTHONPATH"] = settings["path"]
    sys.path[:] = [entry for entry in sys.path if entry != folder]
    sys.path_importer_cache.pop(folder, None)

    def load(name: str) -> Any:
        full = PACKAGE + "." + name
        module = types.ModuleType(full)
        module.__package__ = PACKAGE
        module.__file__ = "<concview agent/%s.py>" % name
        sys.modules[full] = module
        setattr(package, name, module)
        exec(compile(sources[name], module.__file__, "exec"), module.__dict__)
        return module

    # A wrapper's children inherit the path, too; only the process that concview itself started is meant.
    if os.getppid() == settings["parent"]:
        package = types.ModuleType(PACKAGE)
        package.__path__ = []
        package.__dict__.update(token="", pid=os.getpid())
        sys.modules[PACKAGE] = package
        try:
            for name in sources:
                load(name)
            sys.modules[PACKAGE + ".early"].hold(PACKAGE, settings)
        except BaseException:
            for name in [n for n in list(sys.modules) if n == PACKAGE or n.startswith(PACKAGE + ".")]:
                sys.modules.pop(name, None)

    # Python asks for this module by name afterwards: the user's, or else this one.
    ours = sys.modules.pop("sitecustomize", None)
    try:
        __import__("sitecustomize")
    except ImportError as error:
        if error.name != "sitecustomize":
            raise
    finally:
        if ours is not None:
            sys.modules.setdefault("sitecustomize", ours)

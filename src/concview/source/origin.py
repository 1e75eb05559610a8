"""Whose file is this, and which module of theirs? The one answer for everybody: engines, analysis, rules and views.

By the name alone, because the file may be another machine's. What an installer put elsewhere is known by its own lists
(`installed`), and stands in the `origin` of a frame.
"""

from __future__ import annotations

import re
import sys
from functools import lru_cache

_NATIVE = re.compile(r"\.(?:so|pyd|dylib)(?:\.\d+)*$|\.(?:c|cc|cpp|cxx|h|hpp|pyx|rs)$")
#: What a library wrote at run time, by the names that they give it: '<attrs generated methods a.B>', '<sqlalchemy
#: generated _go() wrapper for ...>', '<lambdifygenerated-1>' (SymPy), '<makefun-gen-1>', '<decorator-gen-1>',
#: '<boltons.funcutils.FunctionBuilder-0>', '<@beartype(a.f) at 0x7f..>'. What a user's own program is called by,
#: '<stdin>', '<string>' or '<ipython-input-1-..>', is none of these.
_GENERATED = re.compile(
    r"<(?:[^>]*generated\b|[\w.]+-gen-|[\w.]+\.FunctionBuilder-|@\w+\(|__array_function__|werkzeug routing>)"
)
_FROZEN = re.compile(r"<frozen ([\w.]+)>")
#: Folders of libraries, in any of them the last one counts: a virtual environment may lie in another library's folder.
_LIBRARY = re.compile(r".*(?:/(?:site|dist)-packages/|\.(?:egg|whl|pex)/)(.*)", re.DOTALL)
#: 't': free-threaded, 'd': a debug build that is installed beside another; also zipped, as an embedded Python is.
_VERSION = r"(?:pypy|python)\d+(?:\.\d+[td]{0,2}|\.zip|\d+\.zip)"
_STDLIB = re.compile(rf".*/(?:lib|lib64|lib32|Lib)/{_VERSION}(?:/(?:lib-dynload/)?(.*)|$)", re.DOTALL)
#: A Python that runs where it was built has no version in its path.
_BUILT = re.compile(r".*/Lib/(.*)", re.DOTALL)
#: Shown and run as a user's program would be, wherever concview is installed.
_DEMO = re.compile(r"/concview/demos/[^/]+\.py$")


@lru_cache(maxsize=4096)
def place(file: str) -> tuple[str, str]:
    """(origin, path of the file within what it belongs to): ('stdlib', 'concurrent/futures/thread.py').

    Origins: 'user', 'library', 'stdlib', 'frozen', 'native'. Of a user's file the path is the whole name.
    """
    if not file or _NATIVE.search(file):
        return "native", file
    frozen = _FROZEN.match(file)
    if frozen:
        return "frozen", frozen[1].replace(".", "/") + ".py"
    if file.startswith("<frozen "):
        return "frozen", file
    if _GENERATED.match(file):
        return "library", file
    if _DEMO.search(file):
        return "user", file
    library = _LIBRARY.match(file)
    if library:
        return "library", library[1]
    stdlib = _STDLIB.match(file)
    if stdlib:
        return "stdlib", stdlib[1] or ""
    built = _BUILT.match(file)
    if built and _is_standard(built[1]):
        return "stdlib", built[1]
    if not file.startswith(("/", "<")) and _is_standard(file):
        return "stdlib", file  # a frozen program (PyInstaller, py2exe) keeps no more of the name than this
    return "user", file


def origin(file: str) -> str:
    """Whose code a file is, by its name alone: 'user', 'library', 'stdlib', 'frozen' or 'native'."""
    return place(file)[0]


def is_demo(file: str) -> bool:
    """A demo of an installed concview is the user's code, whatever an installer's list says."""
    return _DEMO.search(file) is not None


def is_module(file: str, module: str, told: str = "") -> bool:
    """Whether a file is this one of the standard library ('queue.py') or of a library ('waitress/task.py').

    Never by its last part alone: a user's own queue.py is none. `told` is the frame's origin, which knows of libraries
    in folders whose name does not tell.
    """
    kind, path = place(file)
    if kind in ("stdlib", "frozen"):
        return path == module and _is_standard(module)
    if kind == "library":
        return path == module and not _is_standard(module)
    return told in ("library", "stdlib") and (told == "stdlib") == _is_standard(module) and file.endswith("/" + module)


@lru_cache(maxsize=1024)
def _is_standard(module: str) -> bool:
    return module.partition("/")[0].removesuffix(".py") in sys.stdlib_module_names

"""Which Python versions can be looked at, and by which engine. Facts about the engines, not the engines."""

from __future__ import annotations

from concview.cpython.versions import DIRECT
from concview.process.pythons import Python

#: Minors that work through py-spy: what its 0.4 releases read.
PYSPY = ((2, 7), (3, 14))


def engines_for(python: Python) -> list[str]:
    """Names of the engines that can read this Python, best first. An unknown version is left to them to find out."""
    minor = python.minor
    if minor is None:
        return ["direct", "pyspy"]
    found = []
    if DIRECT[0] <= minor <= DIRECT[1]:
        found.append("direct")
    if PYSPY[0] <= minor <= PYSPY[1] and not python.free_threaded:
        found.append("pyspy")
    return found


def unsupported(python: Python) -> tuple[str, str]:
    """(why, remedy) when no engine can read this Python; ('', '') when one can."""
    minor = python.minor
    if engines_for(python) or minor is None:
        return "", ""
    if minor > DIRECT[1]:
        return (
            f"Python {python.version} is newer than this concview knows (up to 3.{DIRECT[1][1]})",
            "pip install --upgrade concview",
        )
    oldest, better = (".".join(map(str, each[0])) for each in (PYSPY, DIRECT))
    return f"Python {python.version} is older than {oldest}", f"run the program with Python {better} or newer"

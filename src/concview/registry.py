"""The one registry: a package whose modules each contribute one thing under a known attribute.

A rule, an engine, a command, a view, an exporter, a demo is one file; adding one is adding the file.
"""

from __future__ import annotations

import importlib
import pkgutil
from functools import cache
from typing import Any


@cache
def names(package: str) -> tuple[str, ...]:
    """Module names in `package` in alphabetical order, without `base` and private ones; nothing is imported."""
    path = importlib.import_module(package).__path__
    found = (info.name for info in pkgutil.iter_modules(path))
    return tuple(sorted(n for n in found if n != "base" and not n.startswith("_")))


def load(package: str, name: str, attribute: str) -> Any:
    """`attribute` of one module of the package. LookupError when there is no such module or attribute."""
    if name not in names(package):
        raise LookupError(name)
    module = importlib.import_module(f"{package}.{name}")
    if not hasattr(module, attribute):
        raise LookupError(f"{package}.{name} has no {attribute}")
    return getattr(module, attribute)


@cache
def everything(package: str, attribute: str) -> dict[str, Any]:
    """`{module name: its attribute}` for every module of the package that has it."""
    modules = ((n, importlib.import_module(f"{package}.{n}")) for n in names(package))
    return {n: getattr(m, attribute) for n, m in modules if hasattr(m, attribute)}

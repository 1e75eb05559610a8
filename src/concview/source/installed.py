"""Packages that were installed beside their metadata in a folder of any name: `pip install --target`, a layer of AWS
Lambda, a bundle that is unpacked next to the program.

What lies in `site-packages` is known by that name. Elsewhere the installer's own list tells: the `RECORD` in a folder
`*.dist-info` names every file, and so the packages at the top. The program's own files stand in none.
"""

# ruff: noqa: PTH116, PTH118, PTH120 - the target's paths stay text: pathlib would tidy them up

from __future__ import annotations

import os
import stat
from collections.abc import Callable
from itertools import islice

#: Folders above the outermost package that are looked at: a namespace package has no `__init__.py`.
_ABOVE = 3
#: Packages in packages followed, entries of one folder and lists of files looked at, folders kept.
_DEPTH, _ENTRIES, _LISTS, _FOLDERS = 16, 5_000, 500, 2_000


class Installed:
    """`place` says where the target's path is for us (OSError: nowhere), `read` reads a regular file of ours or ''."""

    def __init__(self, place: Callable[[str], str], read: Callable[[str], str]) -> None:
        self._place, self._read = place, read
        self._names: dict[str, frozenset[str]] = {}  #: folder -> what was installed into it
        self._packages: dict[str, bool] = {}  #: folder -> it is a package

    def holds(self, file: str) -> bool:
        """Whether an installer put the file where it is. Never raises."""
        folder = os.path.dirname(file)
        for _ in range(_DEPTH):
            if not self._is_package(folder):
                break
            folder = os.path.dirname(folder)
        for _ in range(_ABOVE):
            inside = file[len(folder) :].lstrip("/")
            if inside.partition("/")[0] in self._installed(folder):
                return True
            if folder in ("", "/"):
                break
            folder = os.path.dirname(folder)
        return False

    def _is_package(self, folder: str) -> bool:
        known = self._packages.get(folder)
        if known is None:
            if len(self._packages) >= _FOLDERS:
                self._packages.clear()
            try:
                known = stat.S_ISREG(os.stat(self._place(os.path.join(folder, "__init__.py"))).st_mode)
            except (OSError, ValueError):
                known = False
            self._packages[folder] = known
        return known

    def _installed(self, folder: str) -> frozenset[str]:
        known = self._names.get(folder)
        if known is None:
            if len(self._names) >= _FOLDERS:
                self._names.clear()
            known = self._names[folder] = frozenset(self._look(folder))
        return known

    def _look(self, folder: str) -> set[str]:
        try:
            with os.scandir(self._place(folder or ".")) as entries:
                lists = [e.name for e in islice(entries, _ENTRIES) if e.name.endswith(".dist-info")]
        except (OSError, ValueError):
            return set()
        found: set[str] = set()
        for name in lists[:_LISTS]:
            try:
                record = self._place(os.path.join(folder, name, "RECORD"))
            except (OSError, ValueError):
                continue
            tops = (line.partition(",")[0].partition("/")[0].strip('"') for line in self._read(record).splitlines())
            found.update(top for top in tops if not top.startswith((".", "__pycache__")))
        return found

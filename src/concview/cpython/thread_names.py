"""Thread names: `threading._active` maps `get_ident()` to Thread objects. Read only when the threads changed."""

from __future__ import annotations

import contextlib
from collections.abc import Collection

from concview.cpython.memory import BadAddress, Memory
from concview.cpython.objects import Objects
from concview.cpython.offsets import Offsets
from concview.cpython.threads import MAX_THREADS, Interpreter


class Modules:
    """Module dicts by name, looked up once per interpreter."""

    def __init__(self, memory: Memory, offsets: Offsets, objects: Objects) -> None:
        self._memory, self._o, self._objects = memory, offsets, objects
        self._known: dict[tuple[int, str], int] = {}

    def dict_of(self, interpreter: int, name: str) -> int:
        """Address of the module's `__dict__`; 0 when it is not imported (yet)."""
        known = self._known.get((interpreter, name), 0)
        if known:
            return known
        modules = self._memory.word(interpreter + self._o["is.imports_modules"])
        module = self._objects.lookup(modules, name) if modules else 0
        if not module or self._objects.type_name(module) != "module":
            return 0
        found = self._memory.word(module + self._o["module.md_dict"])
        self._known[interpreter, name] = found
        return found

    def forget(self) -> None:
        self._known.clear()


class Names:
    """`ident -> name` of the threads that `threading` knows. Threads made in C have none."""

    def __init__(self, memory: Memory, offsets: Offsets, objects: Objects) -> None:
        self._modules = Modules(memory, offsets, objects)
        self._objects = objects
        self._active: dict[int, int] = {}

    def forget(self) -> None:
        """Look modules up again: one may have been reloaded."""
        self._active.clear()
        self._modules.forget()

    def read(self, interpreters: list[Interpreter], idents: Collection[int]) -> dict[int, str]:
        """Names of the threads asked for, as far as they can be read: a dict that changes meanwhile gives fewer.

        Nothing is kept from last time: a new thread often gets the ident and the address of one that ended.
        Costs two calls for the dict and about six for each name.
        """
        names: dict[int, str] = {}
        for interpreter in interpreters:
            with contextlib.suppress(BadAddress):
                self._read(interpreter.address, idents, names)
        return names

    def _read(self, interpreter: int, idents: Collection[int], names: dict[int, str]) -> None:
        objects = self._objects
        active = self._active.get(interpreter, 0)
        if not active:
            namespace = self._modules.dict_of(interpreter, "threading")
            active = objects.lookup(namespace, "_active") if namespace else 0
            if not active:
                return
            self._active[interpreter] = active
        items = objects.items(active)[:MAX_THREADS]
        for ident, (_, thread) in zip(objects.integers([key for key, _ in items]), items, strict=True):
            if ident in idents:
                with contextlib.suppress(BadAddress):
                    value = objects.attribute(thread, "_name")
                    name = objects.string(value) if value else ""
                    if name:
                        names[ident] = name

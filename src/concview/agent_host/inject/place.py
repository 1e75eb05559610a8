"""A place for a few hundred bytes in a target's memory, without asking it for any.

The zero-initialised data of a module ends somewhere inside a page; the rest of that page is mapped, writable, zero and
used by nobody: the loader does not know it is there. Not of the loader itself, whose own small allocator hands out the
end of its last page, and not with musl, which gives such ends to malloc.
"""

from __future__ import annotations

import struct

from concview.agent_host.inject.writable import WritableMemory
from concview.cpython.elf import header_ok
from concview.cpython.memory import BadAddress, Mapping

_PAGE = 4096
_PT_LOAD, _PF_W = 1, 2
_LOADERS = ("ld-linux", "ld-musl", "/ld-2.", "ld.so")


class NoPlace(Exception):
    """No module has that much room."""


def uses_musl(maps: list[Mapping]) -> bool:
    return any("ld-musl" in m.path or "libc.musl" in m.path for m in maps)


def find(memory: WritableMemory, maps: list[Mapping], size: int, known: bytes) -> int:
    """Address of `size` bytes that nobody uses: zero, or beginning with `known` (a request of ours left there)."""
    modules: dict[str, int] = {}
    for mapping in maps:
        if mapping.offset == 0 and mapping.path.startswith("/") and not any(name in mapping.path for name in _LOADERS):
            modules.setdefault(mapping.path, mapping.start)
    # libpython first: it is never unloaded. Other libraries could be, but only with the program's own help.
    for path in sorted(modules, key=lambda p: ("libpython" not in p, "python" not in p, "libc.so" not in p)):
        try:
            address = (_end(memory, modules[path]) + 15) & ~15
            if -address % _PAGE < size:
                continue
            there = memory.read(address, size)
        except (BadAddress, struct.error):
            continue
        if not any(there) or there.startswith(known):
            return address
    raise NoPlace(f"no {size} unused bytes were found in the target's memory")


def _end(memory: WritableMemory, base: int) -> int:
    """Where the last writable segment of the ELF module at `base` ends. A page boundary when it has none."""
    header = memory.read(base, 64)
    if not header_ok(header):
        raise BadAddress("no ELF module")
    kind = struct.unpack_from("<H", header, 16)[0]
    offset = struct.unpack_from("<Q", header, 32)[0]
    entry, count = struct.unpack_from("<HH", header, 54)
    if entry < 56 or count > 512:
        raise BadAddress("impossible program headers")
    table = memory.read(base + offset, entry * count)
    lowest, end = None, 0
    for i in range(count):
        segment, flags, _, address, _, _, size, _ = struct.unpack_from("<IIQQQQQQ", table, i * entry)
        if segment != _PT_LOAD:
            continue
        lowest = address if lowest is None else min(lowest, address)
        if flags & _PF_W:
            end = max(end, address + size)
    bias = 0 if kind == 2 else base - ((lowest or 0) & ~(_PAGE - 1))  # ET_EXEC is where it says it is
    return int(bias + end) if end else 0

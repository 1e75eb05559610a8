"""Finding CPython's `_PyRuntime` and its version in another process (3.8 and newer; any binary that carries CPython).

Tried in order: the exported symbol, read from the module's dynamic tables in the target's memory; the section
`.PyRuntime` or a symbol table of the file on disk; a scan of the writable mappings for what the struct looks like.
"""

from __future__ import annotations

import contextlib
import re
import struct
from dataclasses import dataclass
from pathlib import Path

from concview.cpython import elf
from concview.cpython.heap.layout import FIXED, PTHREAD_TID
from concview.cpython.memory import BadAddress, Mapping, Memory, mappings
from concview.cpython.offsets import COOKIE, Offsets, check_version, describe
from concview.errors import Unsupported
from concview.linux.namespaces import tasks
from concview.linux.process_facts import ProcessFacts

_VERSIONED = re.compile(r"python([23])\.(\d+)")
#: A scan looks at writable mappings up to this size (bytes); the runtime's own is far smaller.
_SCAN_LIMIT = 64 << 20


@dataclass(frozen=True, slots=True)
class Runtime:
    address: int  #: of `_PyRuntime`
    hexversion: int  #: PY_VERSION_HEX; only major and minor are known before 3.11
    path: str  #: the module it lies in, as the target names it
    how: str  #: 'symbol', 'file' or 'scan'

    @property
    def version(self) -> tuple[int, int]:
        return self.hexversion >> 24 & 0xFF, self.hexversion >> 16 & 0xFF

    @property
    def python(self) -> str:
        """'3.13.0', or '3.8' where the patch release cannot be told."""
        major, minor = self.version
        micro = self.hexversion >> 8 & 0xFF
        return f"{major}.{minor}" if self.version < (3, 11) else f"{major}.{minor}.{micro}"


def find(memory: Memory) -> Runtime:
    """Raises Unsupported when there is no CPython in the process, TargetGone or NotPermitted."""
    maps = list(mappings(memory.facts))
    modules = _modules(maps)
    for search in (_by_symbol, _by_file):
        for path, base in modules:
            try:
                found = search(memory, path, base)
            except (BadAddress, struct.error):
                continue
            if found is not None:
                address, hexversion, how = found
                return Runtime(address, _version(memory, address, hexversion, path, maps), path, how)
    scanned = _by_scan(memory, maps)
    if scanned is not None:
        return scanned
    raise Unsupported(_what_instead(maps))


def _base(path: str) -> str:
    return path.rpartition("/")[2]


def _what_instead(maps: list[Mapping]) -> str:
    names = {_base(m.path) for m in maps if m.path.startswith("/")}
    if any("pypy" in n for n in names):
        return "this is PyPy: only CPython can be read from outside"
    for name in names:
        if match := _VERSIONED.search(name):
            check_version((int(match[1]), int(match[2])))
    return "there is no CPython runtime in this process: is it a Python program?"


def _modules(maps: list[Mapping]) -> list[tuple[str, int]]:
    """ELF modules (path, address of the first page), likely ones first: libpython, then python, then the rest."""
    first: dict[str, int] = {}
    for mapping in maps:
        if mapping.offset == 0 and mapping.path.startswith("/"):
            first.setdefault(mapping.path, mapping.start)

    def order(item: tuple[str, int]) -> tuple[bool, bool]:
        name = _base(item[0])
        return "libpython" not in name, "python" not in name

    return sorted(first.items(), key=order)


def _by_symbol(memory: Memory, path: str, base: int) -> tuple[int, int, str] | None:
    module = elf.Module(memory, base)
    address = module.symbol("_PyRuntime")
    if not address:
        return None
    version = module.symbol("Py_Version")
    return address, memory.word(version) & 0xFFFFFFFF if version else 0, "symbol"


def _by_file(memory: Memory, path: str, base: int) -> tuple[int, int, str] | None:
    """From the file's sections: for interpreters that export nothing."""
    if "python" not in _base(path) and not _is_program(memory.facts, path):
        return None  # looking through the tables of every library would take seconds
    from elftools.common.exceptions import ELFError
    from elftools.elf.elffile import ELFFile
    from elftools.elf.sections import SymbolTableSection

    for name in (memory.facts.file(path), f"{memory.facts.folder}/exe"):
        with contextlib.suppress(OSError, ELFError), open(name, "rb") as stream:
            file = ELFFile(stream)
            bias = elf.Module(memory, base).bias
            address = version = 0
            section = file.get_section_by_name(".PyRuntime")
            if section is not None:
                address = bias + int(section["sh_addr"])
            for table in filter(None, map(file.get_section_by_name, (".dynsym", ".symtab"))):
                if not isinstance(table, SymbolTableSection):
                    continue
                for symbol in table.iter_symbols():
                    if symbol.name == "_PyRuntime" and not address:
                        address = bias + int(symbol["st_value"])
                    elif symbol.name == "Py_Version" and not version:
                        version = memory.word(bias + int(symbol["st_value"])) & 0xFFFFFFFF
            if address:
                return address, version, "file"
    return None


def _is_program(process: ProcessFacts, path: str) -> bool:
    try:
        return path == (process.program or str(Path(f"{process.folder}/exe").readlink()))
    except OSError:
        return False


def _version(memory: Memory, address: int, hexversion: int, path: str, maps: list[Mapping]) -> int:
    """PY_VERSION_HEX: from the debug offsets, `Py_Version`, or the names of files (before 3.11)."""
    with contextlib.suppress(BadAddress):
        head = memory.read(address, 16)
        if head[:8] == COOKIE:
            return int(struct.unpack_from("<Q", head, 8)[0]) & 0xFFFFFFFF
    if hexversion:
        return hexversion
    if named := _named(path, maps):
        return named
    raise Unsupported("this is CPython older than 3.11, and no file name tells which version")


def _named(path: str, maps: list[Mapping]) -> int:
    """The version that the names of files tell; 0 when they do not."""
    for name in (_base(path), *(m.path for m in maps)):
        if match := _VERSIONED.search(name):
            return int(match[1]) << 24 | int(match[2]) << 16
    return 0


def _by_scan(memory: Memory, maps: list[Mapping]) -> Runtime | None:
    """Look for the struct itself. Takes about a second; only for interpreters stripped of every symbol."""
    for mapping in maps:
        size = mapping.end - mapping.start
        if "w" not in mapping.permissions or size > _SCAN_LIMIT or mapping.path.startswith("[stack"):
            continue
        data = memory.read_some(mapping.start, size)
        place = data.find(COOKIE)
        while place >= 0:
            if place % 8 == 0 and len(data) - place >= 16:
                hexversion = struct.unpack_from("<Q", data, place + 8)[0]
                if 0x030D0000 <= hexversion < 0x04000000:
                    return Runtime(mapping.start + place, hexversion, mapping.path, "scan")
            place = data.find(COOKIE, place + 1)
        found = _scan_old(memory, mapping, data, _named(mapping.path, maps))
        if found is not None:
            return found
    return None


def _scan_old(memory: Memory, mapping: Mapping, data: bytes, named: int) -> Runtime | None:
    """3.8 to 3.12: interpreters.head == interpreters.main, right behind each other, and that interpreter's newest
    thread points back at it, is first of its list and is a thread that the kernel knows. `named`: the version that
    files' names tell, for those that do not say it themselves.

    The last is what makes it sure: linked lists of other programs (Python 3.6 among them) can look like the rest."""
    try:
        alive = tasks(memory.facts)
    except OSError:
        return None  # it exits: whoever reads it next sees that
    versions = [0x030B0000, 0x030C0000]
    if (named >> 24, named >> 16 & 0xFF) in FIXED:
        versions = [named]
    layouts = {version: describe(version, b"") for version in versions}
    words = struct.unpack(f"<{len(data) // 8}Q", data[: len(data) & ~7])
    low, high = mapping.start, mapping.end + (1 << 20)
    if named in layouts:
        low, high = 4096, 1 << 47  # before 3.11 the interpreter is no part of the runtime
    for i in range(4, len(words) - 1):
        interpreter = words[i]
        if interpreter != words[i + 1] or not low <= interpreter < high or interpreter % 8:
            continue
        for version, layout in layouts.items():
            with contextlib.suppress(BadAddress):
                thread = memory.word(interpreter + layout["is.threads_head"])
                if (
                    thread > 4096
                    and thread % 8 == 0
                    and memory.word(thread + layout["ts.interp"]) == interpreter
                    and memory.word(thread) == 0
                    and _is_task(memory, thread, layout, alive)
                ):
                    address = mapping.start + 8 * i - layout["rt.interpreters_head"]
                    return Runtime(address, version, mapping.path, "scan")
    return None


def _is_task(memory: Memory, thread: int, o: Offsets, alive: dict[int, int]) -> bool:
    """Whether a thread state is that of a thread which the kernel knows."""
    if not o.features.heap_frames:
        return memory.word(thread + o["ts.native_thread_id"]) in alive
    handle = memory.word(thread + o["ts.thread_id"])
    return any(memory.int32(handle + at) in alive for at in PTHREAD_TID)


def layout(memory: Memory, runtime: Runtime) -> Offsets:
    """The struct layout of a found runtime. Raises Unsupported."""
    return describe(runtime.hexversion, memory.read_some(runtime.address, 2048))


class Identity:
    """Tells whether the process is still the program it was: the start time shows a reused pid, the auxiliary vector
    (full of randomised addresses) an exec."""

    def __init__(self, pid: int) -> None:
        self._pid = pid
        self._start = self._ticks()
        self._vector = self._auxv()

    def _ticks(self) -> int:
        """Field 22 of /proc/PID/stat; -1 when the process is gone or a zombie."""
        try:
            fields = Path(f"/proc/{self._pid}/stat").read_bytes().rpartition(b")")[2].split()
        except OSError:
            return -1
        return -1 if fields[0] in (b"Z", b"X", b"x") else int(fields[19])

    def _auxv(self) -> bytes:
        try:
            return Path(f"/proc/{self._pid}/auxv").read_bytes()
        except OSError:
            return b""

    def changed(self) -> str:
        """'' while it is the same, else 'exited' or 'exec'."""
        ticks = self._ticks()
        if ticks < 0 or ticks != self._start:
            return "exited"
        vector = self._auxv()
        if vector != self._vector:
            # Empty: it is just exiting, or just inside exec.
            return "exec" if vector else "exited" if self._ticks() < 0 else ""
        return ""


__all__ = ["Identity", "Runtime", "find", "layout"]

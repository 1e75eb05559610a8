"""A core file of Linux: what memory it has, which threads with their registers, and which files were mapped.

Written by the kernel, or by gdb (`gcore`). Everything in it is somebody else's: every number is checked against the
file's size before it is used, and nothing is read into memory as a whole. Of machines whose registers are known
(`core_registers`), wherever it is read.

    program headers --> PT_LOAD: memory, in order of address --> `read`
                    --> PT_NOTE: threads (NT_PRSTATUS), the process (NT_PRPSINFO), auxiliary vector, mapped files
"""

from __future__ import annotations

import mmap
import os
import stat
import struct
from bisect import bisect_right
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

from concview.errors import Code, TargetError
from concview.linux import syscalls
from concview.linux.core_registers import AT_REGISTERS, MACHINES, Machine
from concview.text import clean, plural

_ET_CORE = 4
_PT_LOAD, _PT_NOTE = 1, 4
_NT_PRSTATUS, _NT_PRPSINFO, _NT_AUXV, _NT_FILE, _NT_ARM_TLS = 1, 3, 6, 0x46494C45, 0x401
_PN_XNUM = 0xFFFF  #: the number of segments is in sh_info of section 0
_AT_PHDR = 3
_WRITABLE = 2
#: What is looked at: of notes bytes, of threads and mapped files how many.
_MAX_NOTES, _MAX_THREADS, _MAX_FILES = 256 << 20, 200_000, 200_000
_OTHER_MACHINES = {3: "i386", 40: "32-bit ARM", 243: "RISC-V", 21: "PowerPC", 22: "s390"}
#: What else is taken for a core: first bytes, what it is, what to do.
_OTHERS = (
    (b"\x28\xb5\x2f\xfd", "packed with zstd", "unpack it first: zstd -d {}"),
    (b"\x1f\x8b", "packed with gzip", "unpack it first: gunzip -k {}"),
    (b"\xfd7zXZ", "packed with xz", "unpack it first: xz -dk {}"),
    (b"\x04\x22\x4d\x18", "packed with lz4", "unpack it first: lz4 -d {}"),
    (b"BZh", "packed with bzip2", "unpack it first: bunzip2 -k {}"),
    (b"ProblemType:", "a report of apport", "take the core out of it: apport-unpack {} FOLDER, then FOLDER/CoreDump"),
    (b"MDMP", "a minidump, which has no memory of the interpreter's", "let the kernel or gcore write a core"),
)
#: Bytes of a mapped file by which it is known again.
_BEGINNING = 1 << 16
#: Bytes at the stack pointer by which a stack that was not written is told.
_PROBED = 256
#: `struct pthread` of glibc lies below the thread pointer on aarch64, and ends there: its size at most, what it is a
#: multiple of, and where in it the kernel's number of the thread is (`cpython.heap.layout.PTHREAD_TID`); and musl's.
_PTHREAD_SIZE, _PTHREAD_ALIGNED, _GLIBC_TID, _MUSL_TID = 4096, 8, 208, 48


class BadCore(TargetError):
    """The file is no core file that can be read, or lacks what is needed. Its remedy says what would help."""

    code = Code.BAD_FILE


class CoreThread(NamedTuple):
    tid: int  #: as whoever wrote the core numbers it: the kernel as the process does, gdb as its own host does
    signal: int  #: what ended the process, 0 where nothing did
    registers: tuple[int, ...]  #: as NT_PRSTATUS has them
    stack_pointer: int
    base: int  #: of the thread's own data; 0 not told


class MappedFile(NamedTuple):
    start: int
    end: int
    offset: int  #: in the file, bytes
    path: str


class _Load(NamedTuple):
    address: int
    in_file: int  #: bytes that are there
    size: int
    offset: int
    flags: int
    cut: bool


class CoreFile:
    """Raises BadCore, OSError. `sysroot`: where the process's file system is seen; `program`: its program, when that
    is somewhere else."""

    def __init__(self, path: Path, sysroot: str = "", program: str = "") -> None:
        self.path = path
        self._map, self.size, self.written, self.machine = _opened(path)
        self.threads: list[CoreThread] = []
        self.files: list[MappedFile] = []
        self.auxv = b""
        self.pid, self.command, self.name = 0, "", ""
        self.missing: dict[str, str] = {}  #: files that were needed -> why they could not be used
        self.absent = 0  #: reads of memory that is neither in the core nor in a file
        self._sysroot, self._program_here = sysroot.rstrip("/"), program
        self._loads: list[_Load] = []
        self._backing: dict[str, mmap.mmap | None] = {}
        self._parse()
        self._loads.sort()
        self.files.sort()
        self._starts = [load.address for load in self._loads]
        self._file_starts = [file.start for file in self.files]
        self.cut = sum(load.cut for load in self._loads)  #: segments of which the end is missing
        self.program = self._find_program()
        if not self.threads:
            raise BadCore("this core file has no threads in it", _WRITE_ANEW)
        if not self.pid:
            self.pid = self.threads[0].tid
        if self._program_here and not Path(self._program_here).is_file():
            raise BadCore(f"--exe {self._program_here}: no such file")

    @property
    def segments(self) -> int:
        return len(self._loads)

    def syscall_line(self, thread: CoreThread) -> str:
        """What a thread waited for, as /proc/PID/task/TID/syscall says it here: with our machine's numbers. 'running'
        outside of calls, and in one that was not interrupted; '' where that cannot be told."""
        try:
            call = self.machine.call(thread.registers, self.read)
            if call is None:
                return "running\n"
            number = _here(self.machine.name, call[0])
        except LookupError:
            return ""
        arguments = " ".join(f"{word:#x}" for word in call[1])
        return f"{number} {arguments} {thread.stack_pointer:#x} {thread.registers[self.machine.instruction]:#x}\n"

    @cached_property
    def handles(self) -> dict[int, int]:
        """tid -> the pthread handle, `threading.get_ident()`; without those that cannot be told."""
        if self.machine.base >= 0:
            return {t.tid: t.base for t in self.threads}
        below = self._below_base()
        return {t.tid: t.base - below for t in self.threads} if below else {}

    def _below_base(self) -> int:
        """How far below the thread pointer `struct pthread` begins: where all threads' own numbers are. 0: unknown."""
        tid_at = _MUSL_TID if any("musl" in file.path for file in self.files) else _GLIBC_TID
        asked = [t for t in self.threads if t.base > _PTHREAD_SIZE and t.tid > 0]
        areas = [self.read(t.base - _PTHREAD_SIZE, _PTHREAD_SIZE) for t in asked]
        for below in range(_PTHREAD_ALIGNED, _PTHREAD_SIZE + 1, _PTHREAD_ALIGNED):
            at = _PTHREAD_SIZE - below + tid_at
            if (
                at < _PTHREAD_SIZE
                and asked
                and all(a[at : at + 4] == t.tid.to_bytes(4, "little") for a, t in zip(areas, asked, strict=True))
            ):
                return below
        return 0

    @property
    def signal(self) -> int:
        return self.threads[0].signal

    def close(self) -> None:
        for backing in self._backing.values():
            if backing is not None:
                backing.close()
        self._map.close()

    def here(self, path: str) -> str:
        """Where a file of the process's is for us."""
        return self._program_here if self._program_here and path and path == self.program else self._sysroot + path

    @property
    def lacking_stacks(self) -> list[int]:
        """tids of threads whose C stack reads as zeros, or not at all: gdb gives up on a mapping at the first page
        that it may not read, and such pages lie between the stacks where the C library marks guards in the mapping."""
        return [t.tid for t in self.threads if not any(self.read(t.stack_pointer, _PROBED))]

    # ------------------------------------------------------------ memory

    def read(self, address: int, size: int) -> bytes:
        """Up to `size` bytes: what there is before something is not known."""
        parts: list[bytes] = []
        while size > 0:
            part = self._piece(address, size)
            if not part:
                self.absent += 1
                break
            parts.append(part)
            address += len(part)
            size -= len(part)
        return parts[0] if len(parts) == 1 else b"".join(parts)

    def start_of(self, address: int) -> int:
        """Where the segment begins that it lies in; the address itself, where there is none."""
        i = bisect_right(self._starts, address) - 1
        load = self._loads[i] if i >= 0 else None
        return load.address if load is not None and address < load.address + load.size else address

    def _piece(self, address: int, size: int) -> bytes:
        i = bisect_right(self._starts, address) - 1
        if i >= 0:
            load = self._loads[i]
            inside = address - load.address
            if inside < load.in_file:
                at = load.offset + inside
                return self._map[at : at + min(size, load.in_file - inside)]
            if inside < load.size:
                # Of a writable page the file has what stood there before the program wrote, which is worse than
                # nothing: an interpreter that has no threads yet.
                if load.flags & _WRITABLE:
                    return b""
                return self._of_file(address, min(size, load.size - inside))
        if i + 1 < len(self._starts):
            size = min(size, self._starts[i + 1] - address)
        return self._of_file(address, size)  # gdb leaves out mappings of files as a whole

    def _of_file(self, address: int, size: int) -> bytes:
        i = bisect_right(self._file_starts, address) - 1
        if i < 0 or address >= self.files[i].end:
            return b""
        file = self.files[i]
        if file.path not in self._backing:
            self._backing[file.path] = self._open(file.path)
        data = self._backing[file.path]
        if data is None:
            return b""
        at = file.offset + address - file.start
        size = min(size, file.end - address)
        found = data[at : at + size]
        # Behind the file's end its last page is zeros.
        return found.ljust(min(size, -len(data) % mmap.PAGESIZE + len(found)), b"\0") if at < len(data) else b""

    def _open(self, path: str) -> mmap.mmap | None:
        """A mapped file, if it is the one that the process ran."""
        here = self.here(path)
        try:
            descriptor = os.open(here, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOCTTY)
            try:
                if not stat.S_ISREG(os.fstat(descriptor).st_mode):
                    raise ValueError
                data = mmap.mmap(descriptor, 0, prot=mmap.PROT_READ)
            finally:
                os.close(descriptor)
        except (OSError, ValueError):
            self.missing[path] = "is not here"
            return None
        if not _same(self._beginning(path), data):
            self.missing[path] = "is not the file that the process ran"
            data.close()
            return None
        return data

    def _beginning(self, path: str) -> bytes:
        """The first bytes of a mapped file as the core has them (bit 4 of coredump_filter); b'' where it does not."""
        for file in self.files:
            if file.path == path and not file.offset:
                i = bisect_right(self._starts, file.start) - 1
                load = self._loads[i] if i >= 0 else None
                if load is not None and load.address == file.start:
                    return self._map[load.offset : load.offset + min(load.in_file, _BEGINNING)]
        return b""

    # ------------------------------------------------------------ as /proc tells it

    def maps(self) -> str:
        """Its mappings, in the form of /proc/PID/maps."""
        rows: list[tuple[int, str]] = []
        ends = [load.address + load.size for load in self._loads]
        for load in self._loads:
            file = self._file_at(load.address)
            path, offset = (file.path, file.offset + load.address - file.start) if file is not None else ("", 0)
            rights = "".join(c if load.flags & bit else "-" for c, bit in (("r", 4), ("w", 2), ("x", 1)))
            rows.append((load.address, _row(load.address, load.address + load.size, rights, offset, path)))
        for file in self.files:
            i = bisect_right(self._starts, file.start) - 1
            if i < 0 or file.start >= ends[i]:
                rows.append((file.start, _row(file.start, file.end, "r-x", file.offset, file.path)))
        return "".join(row for _, row in sorted(rows))

    def _file_at(self, address: int) -> MappedFile | None:
        i = bisect_right(self._file_starts, address) - 1
        return self.files[i] if i >= 0 and address < self.files[i].end else None

    def _find_program(self) -> str:
        """The file in whose mapping the program's own headers lie."""
        pairs = struct.iter_unpack("<QQ", self.auxv[: len(self.auxv) & ~15])
        headers = next((value for kind, value in pairs if kind == _AT_PHDR), 0)
        file = self._file_at(headers)
        return file.path if file is not None else ""

    # ------------------------------------------------------------ parsing

    def _parse(self) -> None:
        table, sections = struct.unpack_from("<QQ", self._map, 32)
        entry, count = struct.unpack_from("<HH", self._map, 54)
        if count == _PN_XNUM and 0 < sections <= self.size - 64:
            count = struct.unpack_from("<I", self._map, sections + 44)[0]
        if entry < 56 or not 64 <= table <= self.size - entry * count:
            raise BadCore(f"the core file is cut off within its table of {plural(count, 'segment')}", _WRITE_ANEW)
        for i in range(count):
            kind, flags, offset, address, _, in_file, size, _ = struct.unpack_from(
                "<IIQQQQQQ", self._map, table + i * entry
            )
            there = max(0, min(in_file, self.size - offset))
            if kind == _PT_LOAD and size and address + size < 1 << 64:
                self._loads.append(_Load(address, min(there, size), size, offset, flags, there < in_file))
            elif kind == _PT_NOTE:
                if there < in_file:
                    raise BadCore("the core file is cut off within its notes, where the threads are", _WRITE_ANEW)
                self._notes(offset, offset + min(there, _MAX_NOTES))

    def _notes(self, at: int, end: int) -> None:
        while at + 12 <= end:
            name_size, size, kind = struct.unpack_from("<III", self._map, at)
            name_at, at = at + 12, at + 12 + (name_size + 3 & ~3)
            data_at, at = at, at + (size + 3 & ~3)
            if data_at + size > end:
                return
            name = self._map[name_at : name_at + min(name_size, 8)].rstrip(b"\0")
            if name == b"CORE":
                self._note(kind, data_at, size)
            elif name == b"LINUX" and kind == _NT_ARM_TLS and size >= 8 and self.threads:
                # It comes behind the registers of its thread.
                base = struct.unpack_from("<Q", self._map, data_at)[0]
                self.threads[-1] = self.threads[-1]._replace(base=base)

    def _note(self, kind: int, at: int, size: int) -> None:
        machine = self.machine
        if kind == _NT_PRSTATUS and size >= AT_REGISTERS + machine.registers.size and len(self.threads) < _MAX_THREADS:
            signal = struct.unpack_from("<h", self._map, at + 12)[0]
            tid = struct.unpack_from("<i", self._map, at + 32)[0]
            registers = machine.registers.unpack_from(self._map, at + AT_REGISTERS)
            base = registers[machine.base] if machine.base >= 0 else 0
            self.threads.append(CoreThread(tid, signal, registers, registers[machine.stack_pointer], base))
        elif kind == _NT_PRPSINFO and size >= 136:
            self.pid = struct.unpack_from("<i", self._map, at + 24)[0]
            self.name = _text(self._map[at + 40 : at + 56])
            self.command = _text(self._map[at + 56 : at + 136])
        elif kind == _NT_AUXV:
            self.auxv = self._map[at : at + min(size, 1 << 16)]
        elif kind == _NT_FILE and size >= 16:
            count, page = struct.unpack_from("<QQ", self._map, at)
            if count > _MAX_FILES or 16 + 24 * count > size or page > 1 << 30:
                return
            names = self._map[at + 16 + 24 * count : at + size].split(b"\0")
            for i in range(min(count, len(names))):
                start, end, offset = struct.unpack_from("<QQQ", self._map, at + 16 + 24 * i)
                if start < end < 1 << 63 and offset * page < 1 << 63:
                    path = names[i].decode("utf-8", "surrogateescape").replace("\n", "?")
                    self.files.append(MappedFile(start, end, offset * page, path))


_WRITE_ANEW = "write it anew, with room on the disk and without a limit: ulimit -c unlimited, or gcore PID"


def _here(machine: str, number: int) -> int:
    """What a machine's number of a system call is on ours. LookupError where that is not known."""
    own = os.uname().machine
    if machine == own:
        return number
    name = syscalls.table(machine)[number][0]
    for here, (known, _) in syscalls.table(own).items():
        if known == name:
            return here
    raise LookupError(f"{own} has no {name}")


def _opened(path: Path) -> tuple[mmap.mmap, int, float, Machine]:
    """(its bytes, their number, when it was written, of which machine). Raises BadCore for what is none of ours."""
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOCTTY)
    try:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            raise BadCore("not a regular file", "a core that comes through a pipe must be written to a file first")
        head = os.pread(descriptor, 64, 0)
        for begin, what, remedy in _OTHERS:
            if head.startswith(begin):
                raise BadCore(f"not a core file as it is: {what}", remedy.format(clean(str(path), 500)))
        if not head.startswith(b"\x7fELF"):
            what = "it is empty" if not head else "no ELF file"
            raise BadCore(f"not a core file: {what}", "systemd keeps them: coredumpctl dump PID -o FILE")
        if len(head) < 64:
            raise BadCore("the core file is cut off within its header", _WRITE_ANEW)
        kind, machine = struct.unpack_from("<HH", head, 16)
        if head[4:6] != b"\x02\x01" or machine not in MACHINES:
            name = MACHINES[machine].name if machine in MACHINES else _OTHER_MACHINES.get(machine, f"machine {machine}")
            bits, order = ("", "32-bit ")[head[4:5] == b"\x01"], ("", "big-endian ")[head[5:6] == b"\x02"]
            raise BadCore(
                f"a core file of {bits * (machine in MACHINES)}{order}{name}: only those of 64-bit x86 and of aarch64, "
                "little-endian, can be read",
                "look at it with gdb on such a machine",
            )
        if kind != _ET_CORE:
            raise BadCore("an ELF file, but no core file: a program or a library", "gcore PID writes a core file")
        return mmap.mmap(descriptor, 0, prot=mmap.PROT_READ), status.st_size, status.st_mtime, MACHINES[machine]
    finally:
        os.close(descriptor)


def _same(was: bytes, now: mmap.mmap) -> bool:
    """Whether a file is the one that begins so: by its headers and by its notes, of which one is the id of the build.
    What lies beside these the program may have changed. True where the core does not have it: nothing tells then."""
    if len(was) < 64 or was[:4] != b"\x7fELF":
        return True
    table, entry, count = struct.unpack_from("<Q", was, 32)[0], *struct.unpack_from("<HH", was, 54)
    end = table + entry * count
    if entry < 56 or end > len(was):
        return now[:64] == was[:64]
    if now[:64] != was[:64] or now[table:end] != was[table:end]:
        return False
    for i in range(count):
        kind, _, offset, _, _, size, _, _ = struct.unpack_from("<IIQQQQQQ", was, table + i * entry)
        if (
            kind == _PT_NOTE
            and offset + size <= len(was)
            and now[offset : offset + size] != was[offset : offset + size]
        ):
            return False
    return True


def _row(start: int, end: int, rights: str, offset: int, path: str) -> str:
    return f"{start:x}-{end:x} {rights}p {offset:08x} 00:00 0 {path}\n"


def _text(data: bytes) -> str:
    return clean(data.split(b"\0")[0].decode("utf-8", "replace").strip(), 200)

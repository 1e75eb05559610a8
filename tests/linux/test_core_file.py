"""The reader of core files, against files that are made up."""

from __future__ import annotations

import struct
from pathlib import Path

import pytest
from core_builder import PAGE, Segment, core, files, note, prstatus, prstatus_aarch64, psinfo
from hypothesis import given
from hypothesis import strategies as st

from concview.linux.core_command import command_of
from concview.linux.core_facts import lay_out
from concview.linux.core_file import BadCore, CoreFile
from concview.linux.syscall_line import read as read_syscall

NOTES = prstatus(7, rsp=0x10000, fs_base=0x500) + psinfo(7, b"python", b"python app.py")


def _write(folder: Path, data: bytes) -> Path:
    path = folder / "core"
    path.write_bytes(data)
    return path


def _open(folder: Path, segments: list[Segment], notes: bytes = NOTES, **more: str) -> CoreFile:
    return CoreFile(_write(folder, core(segments, notes)), **more)


@given(
    st.lists(st.tuples(st.integers(0, 40), st.binary(max_size=300), st.integers(0, 200)), max_size=6),
    st.lists(st.tuples(st.integers(0x1000, 0x12000), st.integers(0, 700)), min_size=1, max_size=12),
)
def test_what_is_read_is_what_was_written(
    tmp_path_factory: pytest.TempPathFactory, places: list[tuple[int, bytes, int]], asked: list[tuple[int, int]]
) -> None:
    folder = tmp_path_factory.mktemp("core")
    segments: list[Segment] = []
    known: dict[int, int] = {}
    for slot, data, more in places:
        address = 0x2000 + slot * 0x200
        if all(address + len(data) + more <= s.address or s.address + s.size <= address for s in segments):
            segments.append(Segment(address, data, len(data) + more))
            known.update((address + i, byte) for i, byte in enumerate(data))
    opened = _open(folder, segments)
    for address, size in asked:
        wanted = bytearray()
        while len(wanted) < size and address + len(wanted) in known:
            wanted.append(known[address + len(wanted)])
        assert opened.read(address, size) == bytes(wanted)
    opened.close()


@given(st.data())
def test_a_damaged_core_is_refused_or_read_but_never_fails(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    folder = tmp_path_factory.mktemp("core")
    auxv = struct.pack("<6Q", 3, 0x400040, 31, 0x10080, 0, 0)
    notes = NOTES + note(6, auxv) + files([(0x400000, 0x402000, 0, "/usr/bin/python3"), (0x500000, 0x501000, 2, "/x")])
    whole = bytearray(core([Segment(0x10000, b"abc" * 100, 4096), Segment(0x400000, b"", 8192, 5)], notes))
    for _ in range(data.draw(st.integers(0, 6))):
        at = data.draw(st.integers(0, len(whole) - 1))
        whole[at] = data.draw(st.integers(0, 255))
    path = _write(folder, bytes(whole[: data.draw(st.integers(0, len(whole)))]))
    try:
        opened = CoreFile(path)
    except BadCore as error:
        assert str(error)
        return
    for address in (0, 0x10000, 0x10050, 0x400000, 1 << 47, (1 << 64) - 8):
        assert len(opened.read(address, 600)) <= 600
    assert isinstance(opened.maps(), str)
    assert command_of(opened)
    assert set(opened.lacking_stacks) <= {t.tid for t in opened.threads}
    opened.close()


def test_a_writable_page_is_never_taken_from_the_file(tmp_path: Path) -> None:
    """There stands what it was before the program wrote: an interpreter without threads."""
    library = tmp_path / "lib.so"
    library.write_bytes(b"before" + bytes(PAGE))
    mapped = files([(0x20000, 0x21000, 0, str(library)), (0x30000, 0x31000, 0, str(library))])
    opened = _open(tmp_path, [Segment(0x20000, b"", PAGE, 6), Segment(0x30000, b"", PAGE, 5)], NOTES + mapped)
    assert opened.read(0x20000, 6) == b""
    assert opened.absent == 1
    assert opened.read(0x30000, 6) == b"before"


def test_a_file_that_was_replaced_is_refused(tmp_path: Path) -> None:
    """By its headers, which the kernel writes along (coredump_filter bit 4)."""
    head = core([], NOTES, kind=3)
    library = tmp_path / "lib.so"
    library.write_bytes(head + b"other build".ljust(2 * PAGE, b"."))
    mapped = files([(0x30000, 0x33000, 0, str(library))])
    same = _open(tmp_path, [Segment(0x30000, head, PAGE, 4), Segment(0x31000, b"", PAGE, 4)], NOTES + mapped)
    assert same.read(0x31000, 3) == b"..."
    other = head[:70] + bytes([head[70] ^ 1]) + head[71:]
    replaced = _open(tmp_path, [Segment(0x30000, other, PAGE, 4), Segment(0x31000, b"", PAGE, 4)], NOTES + mapped)
    assert replaced.read(0x31000, 3) == b""
    assert replaced.missing == {str(library): "is not the file that the process ran"}


def test_files_are_looked_for_where_one_says(tmp_path: Path) -> None:
    (tmp_path / "root/usr/bin").mkdir(parents=True)
    (tmp_path / "root/usr/bin/python3").write_bytes(b"inside".ljust(PAGE))
    (tmp_path / "mine").write_bytes(b"chosen".ljust(PAGE))
    auxv = note(6, struct.pack("<4Q", 3, 0x40040, 0, 0))
    mapped = files([(0x40000, 0x41000, 0, "/usr/bin/python3")])
    notes = NOTES + auxv + mapped
    inside = _open(tmp_path, [], notes, sysroot=str(tmp_path / "root"))
    assert inside.program == "/usr/bin/python3"
    assert inside.read(0x40000, 6) == b"inside"
    assert _open(tmp_path, [], notes, program=str(tmp_path / "mine")).read(0x40000, 6) == b"chosen"
    missing = _open(tmp_path, [], notes, sysroot=str(tmp_path / "nowhere"))
    assert missing.read(0x40000, 6) == b""
    assert missing.missing == {"/usr/bin/python3": "is not here"}


@pytest.mark.parametrize(
    ("registers", "line"),
    [
        (
            {"orig_rax": 202, "rax": -512, "rdi": 0x10, "rsi": 0x189, "r10": 5},
            "202 0x10 0x189 0x0 0x5 0x0 0x0 0x9000 0x77",
        ),
        ({"orig_rax": 232, "rax": -4, "rdi": 3}, "232 0x3 0x0 0x0 0x0 0x0 0x0 0x9000 0x77"),
        ({"orig_rax": 234, "rax": 0}, "running"),  # it kills itself: abort()
        ({"orig_rax": -1, "rax": -512}, "running"),  # in its own code
    ],
)
def test_what_a_thread_waits_for_is_in_its_registers(tmp_path: Path, registers: dict[str, int], line: str) -> None:
    opened = _open(tmp_path, [], prstatus(7, rsp=0x9000, rip=0x77, **registers))
    assert opened.syscall_line(opened.threads[0]) == line + "\n"


SVC, OTHER = 0xD4000001, 0xD503201F


@pytest.mark.parametrize(
    ("code", "registers", "call"),
    [
        ((OTHER, SVC), {"x8": 98, "x0": 0x10, "x1": 0x189, "x3": 5}, ("futex", (0x10, 0x189, 0, 5, 0, 0))),
        ((SVC, OTHER), {"x8": 22, "x0": -4, "x1": 7}, ("epoll_pwait", ((1 << 64) - 1, 7, 0, 0, 0, 0))),
        ((SVC, OTHER), {"x8": 98, "x0": 0}, None),  # it has come back
        ((OTHER, OTHER), {"x8": 98, "x0": -4}, None),
    ],
)
def test_what_a_thread_waits_for_on_aarch64_is_in_its_code_and_registers(
    tmp_path: Path, code: tuple[int, int], registers: dict[str, int], call: tuple[str, tuple[int, ...]] | None
) -> None:
    """With our machine's number of it, whichever that is."""
    notes = prstatus_aarch64(7, sp=0x9000, pc=0x50004, tls=0x7000, **registers) + psinfo(7, b"python", b"")
    text = Segment(0x50000, struct.pack("<II", *code), PAGE, 5)
    stack = Segment(0x6000, bytes(0xD0) + struct.pack("<I", 7) + bytes(0xF2C), 0x1000)
    opened = CoreFile(_write(tmp_path, core([stack, text], notes, machine=183)))
    (tmp_path / "proc").mkdir()
    line = read_syscall(lay_out(opened, tmp_path / "proc", {}), 7)
    assert opened.machine.name == "aarch64" and opened.threads[0].stack_pointer == 0x9000
    assert (None if line is None else (line.name, line.arguments)) == call
    assert opened.handles == {7: 0x6000}, "where struct pthread of glibc begins"


def test_of_code_that_is_not_there_nobody_knows_whether_it_is_in_a_call(tmp_path: Path) -> None:
    opened = CoreFile(_write(tmp_path, core([], prstatus_aarch64(7, pc=0x50004, x8=98), machine=183)))
    assert opened.syscall_line(opened.threads[0]) == ""
    assert opened.handles == {}


def test_it_is_laid_out_as_proc_tells_it(tmp_path: Path) -> None:
    """With the numbers of the process's own namespace, where those are others."""
    notes = prstatus(70, orig_rax=202, rax=-512, rdi=0x10, rsp=0x9000) + prstatus(71) + psinfo(70, b"python", b"")
    mapped = files([(0x20000, 0x21000, 1, "/lib/a b.so")])
    opened = _open(tmp_path, [Segment(0x20000, b"", PAGE, 5), Segment(0x50000, b"x", PAGE)], notes + mapped)
    folder = tmp_path / "proc"
    folder.mkdir()
    facts = lay_out(opened, folder, {70: 1, 71: 9})
    assert (folder / "maps").read_text() == (
        "20000-21000 r-xp 00001000 00:00 0 /lib/a b.so\n50000-51000 rw-p 00000000 00:00 0 \n"
    )
    line = read_syscall(facts, 70)
    assert line is not None and line.name == "futex" and line.arguments[0] == 0x10 and line.stack_pointer == 0x9000
    assert read_syscall(facts, 71) is None
    assert (folder / "task/71/status").read_text() == "NSpid:\t71\t9\n"
    assert not facts.live and facts.pid == 70


def test_the_command_line_lies_on_the_main_stack(tmp_path: Path) -> None:
    """The note has 80 bytes of it, gdb's the program's path only."""
    top = 0x7F0000
    strings = b"/usr/bin/python3\0app.py\0--name=\xff\0A=1\0/usr/bin/python3\0"
    at = top - len(strings)
    words = [at + strings.index(w) for w in (b"/usr", b"app", b"--name")]
    auxv = struct.pack("<10Q", 3, 0x400040, 6, 4096, 31, at + strings.rindex(b"/usr"), 23, 0, 0, 0)
    stack = struct.pack("<Q3QQQQ", 3, *words, 0, at + strings.index(b"A=1"), 0) + auxv
    start = (at - len(stack) - 64) & ~7
    data = bytes(32) + stack
    data = data.ljust(at - start, b"\0") + strings
    opened = _open(tmp_path, [Segment(start, data, len(data))], NOTES + note(6, auxv))
    assert command_of(opened) == ("/usr/bin/python3", "app.py", "--name=\ufffd")
    assert command_of(_open(tmp_path, [], NOTES)) == ("python", "app.py")


@pytest.mark.parametrize(
    ("data", "what", "remedy"),
    [
        (b"", "it is empty", "coredumpctl"),
        (b"hello", "no ELF file", "coredumpctl"),
        (b"\x28\xb5\x2f\xfd....", "packed with zstd", "zstd -d"),
        (b"\x1f\x8b....", "packed with gzip", "gunzip"),
        (core([], NOTES)[:40], "cut off within its header", "ulimit"),
        (core([], NOTES)[:90], "cut off within its table", "ulimit"),
        (core([], NOTES)[:200], "cut off within its notes", "ulimit"),
        (core([], NOTES, machine=183)[:5] + b"\x02" + core([], NOTES, machine=183)[6:], "big-endian aarch64", "gdb"),
        (core([], NOTES, machine=3), "i386", "gdb"),
        (core([], NOTES, kind=3), "no core file: a program or a library", "gcore"),
        (core([], b""), "no threads", "ulimit"),
    ],
)
def test_what_is_no_core_is_told_with_what_to_do(tmp_path: Path, data: bytes, what: str, remedy: str) -> None:
    with pytest.raises(BadCore, match=what) as refused:
        CoreFile(_write(tmp_path, data))
    assert remedy in refused.value.remedy
    assert refused.value.exit_code == 5


def test_stacks_of_zeros_are_noticed(tmp_path: Path) -> None:
    """What gdb leaves of a mapping in which it met a page that it may not read."""
    stacks = [Segment(0x10000, bytes(PAGE), PAGE), Segment(0x20000, b"\1" * PAGE, PAGE)]
    notes = prstatus(1, rsp=0x10100) + prstatus(2, rsp=0x20100) + prstatus(3, rsp=0x90000)
    assert _open(tmp_path, stacks, notes).lacking_stacks == [1, 3]


def test_cut_segments_are_counted(tmp_path: Path) -> None:
    whole = core([Segment(0x10000, b"a" * 100, 100), Segment(0x20000, b"b" * 100, 100)], NOTES)
    opened = CoreFile(_write(tmp_path, whole[:-40]))
    assert (opened.cut, opened.segments) == (1, 2)
    assert opened.read(0x20000, 100) == b"b" * 60

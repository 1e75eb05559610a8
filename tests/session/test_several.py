"""Several processes in one file: each one's stream comes out as it went in, and what breaks off is read up to there."""

from __future__ import annotations

import io
import sys
from collections import Counter
from pathlib import Path

import msgspec
import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "exporters"))

import made

from concview import codec, registry
from concview.analysis.samples import Selection
from concview.exporters.base import Exporter, Request
from concview.model import Event, Hello, Of, Role, Target
from concview.process.tree import Member
from concview.session.recording import Recording
from concview.session.several import SeveralFile, cast_of, read_all

PIDS = (4242, 4250)


def member(pid: int, parent: int = 0, ticks: int = 7) -> Member:
    role = Role.WORKER if parent else Role.PROGRAM
    return Member(pid, ticks, parent, role, f"worker {pid}" if parent else "service.py", ("service.py",))


def several(path: Path, *, end: bool = True, unreadable: bool = False) -> list[bytes]:
    """A recording of two processes, block by block in turn; the payloads of each one, joined."""
    single = made.write(path.with_suffix(".single")).read_bytes()
    blocks: list[bytes] = []
    for events in codec.read_blocks(io.BytesIO(single)):
        blocks.append(codec.encode_events(list(events)))
    out: list[bytes] = []
    file = SeveralFile(out.append, Target(PIDS[0], "3.13.0", ("service.py",), 0.0), 100, 5)
    numbers = [file.process(member(PIDS[1], PIDS[0])), file.process(member(PIDS[0]))]
    for payload in blocks:
        for number in numbers:
            file.add(number, payload)
    if unreadable:
        file.process(member(9, PIDS[0]), why="not permitted")
    if end:
        file.end()
    path.write_bytes(b"".join(out))
    return blocks


def test_each_stream_comes_out_as_it_went_in(tmp_path: Path) -> None:
    path = tmp_path / "two"
    blocks = several(path)
    cast = cast_of(path)
    assert [(p.pid, p.parent, p.role) for p in cast.processes] == [
        (4242, 0, Role.PROGRAM),
        (4250, 4242, Role.WORKER),
    ]
    for process in cast.processes:
        with path.open("rb") as file:
            got = [codec.encode_events(list(e)) for e in codec.read_blocks(file, of=process.number)]
        assert got == blocks
    # Whoever chooses none is told so, and nothing is taken for one process's.
    with pytest.raises(codec.Several), path.open("rb") as file:
        list(codec.read_blocks(file))


@pytest.mark.parametrize("count", [1, 14, 15, 16, 200, 65_534, 65_535, 65_536])
def test_a_payload_of_any_length_is_one_process_s(count: int) -> None:
    """The head of a MessagePack array has three forms."""
    events: list[Event] = [Of(number) for number in range(count)]
    payload = codec.encode_events(events)
    assert codec.decode_events(codec.of_process(70_000, payload)) == [Of(70_000), *events]


def test_an_older_reader_is_told_by_the_version(tmp_path: Path) -> None:
    path = tmp_path / "two"
    several(path)
    first = next(iter(codec._payloads(io.BytesIO(path.read_bytes()))))
    (hello,) = codec.decode_events(first)  # alone: what an older reader does not know comes behind it
    assert isinstance(hello, Hello) and hello.version > codec.STREAM_VERSION


def test_what_breaks_off_is_read_to_there(tmp_path: Path) -> None:
    path = tmp_path / "two"
    several(path, end=False, unreadable=True)
    cast = cast_of(path)
    assert cast.broken and [p.pid for p in cast.watched] == [4242, 4250] and cast.processes[-1].why == "not permitted"
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    broken = cast_of(path)
    assert broken.broken and len(broken.processes) == 2
    seen, _ = read_all(path, broken, None)
    # What went in first is there, of the other one nothing, and that is said.
    assert [(s.process.pid, bool(s.snapshot.threads), bool(s.why)) for s in seen] == [
        (4242, False, True),
        (4250, True, False),
    ]


def test_all_are_judged(tmp_path: Path) -> None:
    path = tmp_path / "two"
    several(path)
    seen, across = read_all(path, cast_of(path), None)
    assert [s.snapshot.samples for s in seen] == [60, 60] and not across.edges


def time_by_process(recording: Recording, selection: Selection | None = None) -> Counter[int]:
    found: Counter[int] = Counter()
    for pieces in recording.samples(selection):
        for thread, start, end, *_ in pieces:
            found[thread.pid] += end - start
    return found


def test_samples_of_all_are_the_sum_of_each(tmp_path: Path) -> None:
    path = tmp_path / "two"
    several(path)
    cast = cast_of(path)
    together = time_by_process(Recording(path, cast=cast))
    alone = {p.pid: sum(time_by_process(Recording(path, p.number)).values()) for p in cast.processes}
    assert together == alone and set(together) == set(PIDS)
    # A thread is chosen by its own name, or by that of its process.
    one = time_by_process(Recording(path, cast=cast), Selection(("worker 4250*",)))
    main = time_by_process(Recording(path, cast=cast), Selection(("MainThread",)))
    assert set(one) == {4250} and set(main) == set(PIDS)


@pytest.mark.parametrize(
    "name", [n for n, e in registry.everything("concview.exporters", "EXPORTER").items() if e.together]
)
def test_formats_that_hold_several(name: str, tmp_path: Path) -> None:
    path = tmp_path / "two"
    several(path)
    exporter: Exporter = registry.load("concview.exporters", name, "EXPORTER")
    out = io.BytesIO()
    assert exporter.write is not None
    exporter.write(Recording(path, cast=cast_of(path)), out, Request(group_by=(*exporter.groups, "")[0]))
    data = out.getvalue()
    if name == "pprof":
        import gzip

        data = gzip.decompress(data)
    assert b"worker 4250 (4250)" in data and b"service.py (4242)" in data


def test_numbers_stay_apart(tmp_path: Path) -> None:
    """A pid that belonged to two processes, one after the other."""
    out: list[bytes] = []
    file = SeveralFile(out.append, Target(1, "3.13.0", (), 0.0), 100, 5)
    for ticks in (7, 8):
        file.process(member(4300, ticks=ticks))
    file.end()
    path = tmp_path / "again"
    path.write_bytes(b"".join(out))
    assert [p.start_ticks for p in cast_of(path).processes] == [7, 8]
    assert msgspec.structs.astuple(cast_of(path).processes[0])[0] == 1

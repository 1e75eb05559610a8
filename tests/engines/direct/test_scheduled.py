"""Who is looked at next where a tick has no room for everybody, and the files that this may keep open."""

from __future__ import annotations

import os
import resource
from collections.abc import Iterator

import pytest

from concview.engines.direct.scheduled import ScheduledThreads
from concview.engines.direct.thread_table import ThreadRow
from concview.linux import switches
from concview.linux.waits import Slot, descriptor_budget

MS = 1_000_000
ROOM_NS = 2 * MS


class Files:
    """Stands in for the reader of wait states: the times of thread 7 change, those of all others do not; the answers
    are final."""

    def __init__(self) -> None:
        self._files = [os.memfd_create("schedstat") for _ in range(2)]
        self._slots: dict[int, Slot] = {}

    def ran(self, times: int) -> None:
        os.pwrite(self._files[1], b"%d 0 1\n" % times, 0)

    def slot(self, tid: int) -> Slot:
        slot = self._slots.get(tid)
        if slot is None:
            slot = self._slots[tid] = Slot()
            slot.schedule_fd, slot.left = self._files[tid == 7], -1
        return slot

    def close(self) -> None:
        for file in self._files:
            os.close(file)


@pytest.fixture
def files() -> Iterator[Files]:
    files = Files()
    yield files
    files.close()


def test_threads_that_stand_still_leave_the_room_to_those_that_run(files: Files) -> None:
    """What nothing has happened to is looked at again now and then: for a part of what there is room for."""
    rows = {tid: ThreadRow(tid, 0) for tid in range(1, 3001)}
    for row in rows.values():
        row.wait = 5
    scheduled = ScheduledThreads(files)  # type: ignore[arg-type]
    scheduled.missed(len(rows), ROOM_NS)
    assert scheduled.in_parts
    now, looked = 0, dict.fromkeys(rows, 0)
    for turn in range(400):
        now += 50 * MS
        files.ran(turn)
        for row in scheduled.ask(now, rows, ROOM_NS) or ():
            looked[row.tid] += 1
    active = looked.pop(7)
    assert active > 100, "it ran before each tick, and is seen whenever its turn comes"
    # 20 s: with no bound everybody would be looked at four times, which takes nearly all of the room.
    assert sum(looked.values()) <= 400 * (1 + 0.2 * scheduled.fits(ROOM_NS))
    assert max(looked.values()) <= min(looked.values()) + 1, "in turn"


@pytest.mark.parametrize(("threads", "room_ns", "parts"), [(200, ROOM_NS, True), (10, ROOM_NS, False), (200, 0, False)])
def test_lists_that_change_faster_than_they_are_copied_are_read_in_parts(
    threads: int, room_ns: int, parts: bool, files: Files
) -> None:
    scheduled = ScheduledThreads(files)  # type: ignore[arg-type]
    scheduled.missed(threads, room_ns)
    assert scheduled.in_parts == parts


@pytest.mark.parametrize("soft", [256, 1024, 4096, 20_000, 65_536])
def test_files_that_are_kept_open_fit_together(soft: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resource, "getrlimit", lambda _: (soft, soft))
    events, waits, counters = switches.room(soft), descriptor_budget(), descriptor_budget(0.35)
    assert events + waits + counters <= 0.92 * soft
    if soft == 20_000:
        # Threads of a large program on two CPUs: records of all their switches, and two files each.
        assert events >= 3001 * 2 and waits >= 3000 * 2

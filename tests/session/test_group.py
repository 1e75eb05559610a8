"""Several processes at once where not all is well: one that cannot be read, more than are watched, all of them gone."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from concview.control import Command
from concview.errors import Code
from concview.process.tree import Member
from concview.session import AttachError
from concview.session.group import Family, Part
from concview.session.launcher import Launcher
from concview.snapshot import Snapshot, Status
from workers import master


class Fake:
    """Watches nothing; `refused`: pids that cannot be read."""

    refused: frozenset[int] = frozenset()

    def __init__(self, pid: int) -> None:
        self.pid, self.closed = pid, False

    def start(self) -> None:
        if self.pid in self.refused:
            raise AttachError("the kernel does not let us read it", "ask for more rights", Code.NOT_PERMITTED)

    def snapshot(self) -> Snapshot:
        return Snapshot(Status.LIVE)

    @property
    def ended(self) -> bool:
        try:
            os.kill(self.pid, 0)
        except ProcessLookupError:
            return True
        return False

    def order(self, command: Command) -> bool:
        return True

    def request_end(self) -> None:
        pass

    def finish(self, timeout_s: float) -> Snapshot:
        return self.snapshot()

    def close(self) -> None:
        self.closed = True


@contextmanager
def family(
    root: int, refused: frozenset[int] = frozenset(), most: int = 48
) -> Iterator[tuple[Family[Fake], list[str]]]:
    class Some(Fake):
        pass

    Some.refused = refused
    said: list[str] = []

    def make(member: Member, budget: float, launcher: Launcher) -> Fake:
        return Some(member.pid)

    made: Family[Fake] = Family([root], True, 5.0, make, said.append, most)
    try:
        yield made, said
    finally:
        made.close()


def _wait_for(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_one_that_cannot_be_read_among_others_that_can() -> None:
    with master(3, "fork") as (process, (first, second, third)):
        with family(process.pid, frozenset({second})) as (made, said):
            made.start()
            parts: dict[int, Part[Fake]] = {p.member.pid: p for p in made.parts()}
            assert {pid for pid, p in parts.items() if p.session is not None} == {process.pid, first, third}
            assert (parts[second].why, parts[second].code) == ("the kernel does not let us read it", Code.NOT_PERMITTED)
            assert said == [f"worker 2 ({second}) cannot be watched: the kernel does not let us read it"]
            # One ends: the rest goes on, its last picture stays.
            os.kill(first, signal.SIGKILL)
            process.popen.kill()  # it would leave the first one to be collected by nobody
            process.popen.wait()
            _wait_for(lambda: {p.member.pid for p in made.parts() if p.ended} >= {first, process.pid})
            assert made.orphaned and not made.ended
            _wait_for(lambda: f"worker 1 ({first}) has ended" in said)
        os.kill(third, signal.SIGKILL)
        os.kill(second, signal.SIGKILL)


def test_where_none_can_be_read_that_is_the_reason() -> None:
    with master(3, "fork") as (process, workers):
        with (
            family(process.pid, frozenset({process.pid, *workers})) as (made, _),
            pytest.raises(AttachError, match="does not let us") as refused,
        ):
            made.start()
        assert refused.value.remedy == "ask for more rights"


def test_a_tree_that_outgrows_the_limit() -> None:
    with master(3, "fork") as (process, (first, *_rest)), family(process.pid, most=2) as (made, _):
        made.start()
        assert [p.member.pid for p in made.parts()] == [process.pid, first] and made.more == 2

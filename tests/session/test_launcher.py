"""Collectors that are forked by one that has everything imported behave like those that are started alone."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from concview.errors import Code
from concview.model import Bye, Hello
from concview.session import AttachError, LiveSource, Session
from concview.session.launcher import Alone, Launcher, Nursery, Running
from interpreters import current, target

SLEEPS = 'print("ready", flush=True)\nimport time; time.sleep(1000)'


class _Keeps:
    """Knows what was started."""

    def __init__(self, inner: Launcher) -> None:
        self.inner, self.all = inner, list[Running]()

    def launch(self, arguments: list[str]) -> Running:
        self.all.append(self.inner.launch(arguments))
        return self.all[-1]


def _parent(pid: int) -> int:
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])


def _alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def _wait_for(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)


@pytest.mark.parametrize("kind", [Alone, Nursery])
def test_a_collector_of_either_kind(kind: Callable[[], Launcher]) -> None:
    launcher = _Keeps(kind())
    try:
        with target(current(), SLEEPS) as process:
            sources = [LiveSource(process.pid, launcher=launcher) for _ in range(2)]
            for source in sources:
                source.open()
            first, second = (source.blocks() for source in sources)
            assert isinstance(next(first)[0], Hello) and isinstance(next(second)[0], Hello)
            assert os.getsid(sources[0].collector_pid) == sources[0].collector_pid
            assert os.getsid(sources[1].collector_pid) == sources[1].collector_pid
            # Asked to end, it says so, and has ended.
            sources[0].request_end()
            assert isinstance(list(first)[-1][-1], Bye)
            assert launcher.all[0].wait(60) == 0 == launcher.all[0].wait(60)
            # One that is killed is gone for whoever reads it; nobody else is.
            with pytest.raises(subprocess.TimeoutExpired):
                launcher.all[1].wait(0.0)
            launcher.all[1].kill()
            assert launcher.all[1].wait(60) == -signal.SIGKILL
            list(second)
            for source in sources:
                source.close()
            # Why it cannot begin comes with its code.
            session = Session(LiveSource(2**22 + 7, launcher=launcher))
            with pytest.raises(AttachError) as refused:
                session.start()
            assert refused.value.code is Code.NO_SUCH_PROCESS and launcher.all[2].wait(60) == 4
    finally:
        if isinstance(launcher.inner, Nursery):
            launcher.inner.close()


def test_a_nursery_that_is_killed() -> None:
    """Those it has forked end with it, in an orderly way; whoever comes next is started alone."""
    nursery = Nursery()
    launcher = _Keeps(nursery)
    with target(current(), SLEEPS) as process:
        try:
            first = LiveSource(process.pid, launcher=launcher)
            first.open()
            blocks = first.blocks()
            next(blocks)
            os.kill(_parent(first.collector_pid), signal.SIGKILL)
            assert isinstance(list(blocks)[-1][-1], Bye)
            assert launcher.all[0].wait(60) != 0
            first.close()
            second = LiveSource(process.pid, launcher=launcher)
            second.open()
            assert isinstance(next(second.blocks())[0], Hello) and _parent(second.collector_pid) == os.getpid()
            second.close()
        finally:
            nursery.close()


def test_closing_it_ends_all() -> None:
    nursery = Nursery()
    with target(current(), SLEEPS) as process:
        source = LiveSource(process.pid, launcher=nursery)
        source.open()
        pid = source.collector_pid
        parent = _parent(pid)
        nursery.close()
        _wait_for(lambda: not _alive(pid) and not _alive(parent))
        source.close()

"""A process whose cgroup is frozen: told as such, and its threads wait for no disk."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import pytest
from kernel_sink import Sink, eventually

from concview.linux import WaitReader, freezer, limits
from concview.model import WaitKind
from concview.sink import Sink as SinkProtocol
from interpreters import current, target

SPINS = """
import threading
def spin():
    while True: sum(range(1000))
threading.Thread(target=spin, daemon=True).start()
print("ready", flush=True)
threading.Event().wait()
"""


@pytest.mark.parametrize(
    ("controller", "name", "before", "after"),
    [("freezer", "freezer.state", "THAWED", "FROZEN"), ("", "cgroup.events", "populated 1\nfrozen 0", "frozen 1")],
)
def test_both_versions(
    controller: str, name: str, before: str, after: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / name
    file.write_text(before + "\n")
    monkeypatch.setattr(freezer, "cgroup_folders", lambda pid, of: [tmp_path] if of == controller else [])
    watched = freezer.Freezer(1)
    assert not watched.frozen()
    file.write_text(after + "\n")
    assert watched.frozen()
    file.unlink()
    assert not watched.frozen()


def test_where_there_is_no_such_file(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(freezer, "cgroup_folders", lambda pid, of: [])
    assert not freezer.Freezer(1).frozen()


@contextlib.contextmanager
def group(pid: int, controller: str, control: str) -> Iterator[Path]:
    """A cgroup of this process's own, with `pid` in it; what freezes it."""
    root = limits.cgroup_folders(os.getpid(), controller)
    if os.geteuid() or not root:
        pytest.skip(f"NOT TESTED: needs root and a cgroup of {controller or 'version 2'}")
    folder = root[-1] / f"concview-test-{pid}"
    try:
        folder.mkdir()
        (folder / "cgroup.procs").write_text(str(pid))
    except OSError as error:
        with contextlib.suppress(OSError):
            folder.rmdir()
        pytest.skip(f"NOT TESTED: no cgroup can be made here ({error.strerror})")
    try:
        yield folder / control
    finally:
        (folder / control).write_text("0" if control == "cgroup.freeze" else "THAWED")
        (root[-1] / "cgroup.procs").write_text(str(pid))
        eventually(lambda: not (folder / "cgroup.procs").read_text())
        folder.rmdir()


@pytest.mark.parametrize(
    ("controller", "control", "word"), [("freezer", "freezer.state", "FROZEN"), ("", "cgroup.freeze", "1")]
)
def test_a_frozen_thread_is_stopped_and_waits_for_no_disk(controller: str, control: str, word: str) -> None:
    with target(current(), SPINS) as process, group(process.pid, controller, control) as file:
        watched = freezer.Freezer(process.pid)
        assert not watched.frozen()
        sink = Sink()
        reader = WaitReader(process.pid, cast(SinkProtocol, sink))
        tids = {int(tid.name) for tid in Path(f"/proc/{process.pid}/task").iterdir()}
        (spins,) = tids - {process.pid}  # not the larger one: numbers begin anew
        file.write_text(word)

        def kind() -> Any:
            reader.invalidate(spins)
            wait = sink.waits[reader.read(spins)]
            return wait and wait.kind

        eventually(lambda: watched.frozen())
        # One that was frozen while it waited for the GIL stays in that wait, which nobody here knows from others.
        eventually(lambda: kind() in (WaitKind.STOPPED, WaitKind.GIL, WaitKind.FUTEX))
        assert kind() is not WaitKind.DISK

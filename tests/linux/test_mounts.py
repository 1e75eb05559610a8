"""Remote file systems: by the target's own list of mounts, and never asked twice where one does not answer."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from concview.linux import mounts
from concview.linux.mounts import Mount, Mounts, parse

LIST = r"""
22 1 254:0 / / rw,relatime shared:1 - ext4 /dev/vda rw
30 22 0:39 / /mnt/data rw,relatime shared:9 master:2 - nfs4 nas:/export\040of\040all rw,vers=4.2
31 30 0:40 / /mnt/data/local rw - tmpfs tmpfs rw
32 22 0:41 / /srv/my\040files rw - fuse.sshfs me@host:/ rw
33 22 0:42 / /covered rw - nfs old:/ rw
34 22 0:43 / /covered rw - ext4 /dev/vdb rw
broken line
"""


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Mounts, Clock]:
    monkeypatch.setattr(mounts, "_read", lambda path: LIST)
    clock = Clock()
    return Mounts(1, clock), clock


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("/mnt/data", "nfs4 nas:/export of all"),
        ("/mnt/data/a/b.py", "nfs4 nas:/export of all"),
        ("/mnt/data/local/a.py", ""),
        ("/mnt/database/a.py", ""),
        ("/srv/my files/app.py", "fuse.sshfs me@host:/"),
        ("/covered/a.py", ""),
        ("/srv/app.py", ""),
        ("relative.py", ""),
    ],
)
def test_of_a_path(told: tuple[Mounts, Clock], path: str, name: str) -> None:
    mount = told[0].remote(path)
    assert (mount.name if mount is not None else "") == name


def test_the_later_one_at_a_place_comes_first() -> None:
    assert [m.source for m in parse(LIST) if m.folder == "/covered"] == ["/dev/vdb", "old:/"]
    assert parse("") == []
    assert "\x1b" not in Mount("/", "nfs", "a\x1b[31mb").name


def test_what_does_not_answer_is_left_alone_for_a_while(
    told: tuple[Mounts, Clock], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mounts, "_PATIENCE_S", 0.05)
    found, clock = told
    released, asked = threading.Event(), []

    def hangs() -> str:
        asked.append(1)
        released.wait()
        return "text"

    try:
        assert found.ask("/mnt/data/a.py", hangs) is None
        assert found.ask("/mnt/data/b.py", hangs) is None
        assert len(asked) == 1
        assert found.ask("/srv/app.py", threading.get_ident) == threading.get_ident()  # not remote: no thread for it
        assert found.ask("/srv/my files/a.py", lambda: "text") == "text"  # another server
        clock.now += 61
        assert found.ask("/mnt/data/a.py", lambda: "text") == "text"
    finally:
        released.set()


def test_of_this_process() -> None:
    assert Mounts("self").remote("/proc/self/stat") is None

"""What is wrong, taken away: to tmux, to a desktop's clipboard, to the terminal, to a file; and it says which."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import fake
import pytest
from textual.pilot import Pilot

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "exporters"))

import made

from concview.session import FileSource, Session
from concview.tui import clipboard
from concview.tui.app import ConcviewApp

TEXT = "**▲ held up**\n```text\nzwölf\n```\n"


def _program(folder: Path, name: str, code: int = 0) -> Path:
    """Keeps its arguments and what it is given."""
    folder.mkdir(exist_ok=True)
    path = folder / name
    path.write_text(f'#!/bin/sh\nprintf "%s " "$@" > "{folder}/{name}.args"\ncat > "{folder}/{name}.in"\nexit {code}\n')
    path.chmod(0o755)
    return path


def _take(tmp_path: Path, **environment: str) -> tuple[str, list[str]]:
    asked: list[str] = []
    known = {"TERM": "xterm-256color", "PATH": f"{tmp_path / 'bin'}:/usr/bin:/bin", **environment}
    return clipboard.take(TEXT, "x", asked.append, known, tmp_path), asked


def test_a_terminal_does_not_say_what_it_took(tmp_path: Path) -> None:
    said, asked = _take(tmp_path)
    assert asked == [TEXT] and "does not say whether it took it" in said and "copied" not in said
    assert str(tmp_path / "x-1.md") in said and (tmp_path / "x-1.md").read_text() == TEXT
    assert "x-2.md" in _take(tmp_path)[0], "never over an older one"


@pytest.mark.parametrize("environment", [{"TERM": "linux"}, {"TERM": "dumb"}, {"STY": "1.x"}], ids=str)
def test_where_no_sequence_gets_through_it_is_a_file(tmp_path: Path, environment: dict[str, str]) -> None:
    said, asked = _take(tmp_path, **environment)
    assert not asked and said.startswith("this terminal takes no copies: saved as") and (tmp_path / "x-1.md").exists()


def test_nothing_took_it_and_nothing_could_be_written(tmp_path: Path) -> None:
    gone = tmp_path / "gone"
    said = clipboard.take(TEXT, "x", lambda text: None, {"TERM": "linux", "PATH": ""}, gone)
    assert said == "this terminal takes no copies: no file could be written here either"


def test_a_desktop_says_so(tmp_path: Path) -> None:
    _program(tmp_path / "bin", "wl-copy")
    said, asked = _take(tmp_path, WAYLAND_DISPLAY="wayland-0", TMUX="/tmp/x,1,0")
    assert said == "copied, by wl-copy" and not asked and (tmp_path / "bin" / "wl-copy.in").read_text() == TEXT
    _program(tmp_path / "bin", "wl-copy", code=1)
    assert "copied" not in _take(tmp_path, WAYLAND_DISPLAY="wayland-0")[0]


def test_an_older_tmux_knows_no_passing_on(tmp_path: Path) -> None:
    path = _program(tmp_path / "bin", "tmux")
    path.write_text(path.read_text().replace("cat >", '[ "$2" = -w ] && exit 1\ncat >'))
    said, asked = _take(tmp_path, TMUX="/tmp/x,1,0")
    assert said == "in tmux's paste buffer (prefix ] pastes it)" and not asked
    assert (tmp_path / "bin" / "tmux.in").read_text() == TEXT


@pytest.fixture
def tmux(tmp_path: Path) -> Iterator[dict[str, str]]:
    """A tmux server of our own."""
    if shutil.which("tmux") is None:
        pytest.skip("no tmux")
    socket = tmp_path / "socket"
    run = ["tmux", "-S", str(socket), "-f", "/dev/null"]
    subprocess.run([*run, "new-session", "-d", "sleep 100"], check=True, timeout=30)
    try:
        yield {**os.environ, "TMUX": f"{socket},1,0"}
    finally:
        subprocess.run([*run, "kill-server"], timeout=30)


def test_the_real_tmux_has_it(tmux: dict[str, str], tmp_path: Path) -> None:
    said = clipboard.take(TEXT, "x", lambda text: pytest.fail("not asked"), tmux, tmp_path)
    assert said.startswith("in tmux's paste buffer")
    shown = subprocess.run(["tmux", "show-buffer"], env=tmux, capture_output=True, text=True, timeout=30)
    assert shown.stdout == TEXT and not list(tmp_path.glob("x-*"))


async def _press(pilot: Pilot[Any], key: str, said: str) -> str:
    await pilot.press(key)
    await fake.until(pilot, lambda: any(said in n.message for n in pilot.app._notifications), 30)
    return next(n.message for n in pilot.app._notifications if said in n.message)


async def test_the_page_of_a_session(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    session = Session(FileSource(made.write(tmp_path / "recording"), 0.0))
    session.start()
    session.wait(1e9)
    app = ConcviewApp(session)
    async with app.run_test(size=(120, 40)) as pilot:
        await fake.drawn(pilot)
        await _press(pilot, "W", "saved")
        page = (tmp_path / "concview-4242-report-1.html").read_text()
        assert "PID 4242" in page and "Class.function_0" in page and 'id="flame"' in page
        await pilot.press("space")
        await _press(pilot, "W", "report-2.html")
        await _press(pilot, "y", "report-1.md")
    assert "PID 4242" in (tmp_path / "concview-4242-report-1.md").read_text()

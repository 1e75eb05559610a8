"""The dashboard as a user starts it, under a pseudo-terminal."""

from __future__ import annotations

import contextlib
import gc
import io
import os
import pty
import re
import sys
import termios
import time
from pathlib import Path

import pytest
from running import Terminal, alive, children, gone

from concview.tui import first
from interpreters import current, target
from waiting import passes

SLEEPER = "import time\nprint('ready', flush=True)\ntime.sleep(600)\n"


def test_a_demo_names_its_anti_pattern() -> None:
    with Terminal("demo", "lock-held-across-io", columns=120, rows=40) as terminal:
        terminal.wait_for("LIVE")
        terminal.wait_for("(?i)lock-held-across-io.*(held|across)|held across")
        before = set(children(terminal.pid))
        terminal.press("V")  # the other variant, beside this one
        terminal.wait_for("lock_held_across_io.py fixed")
        terminal.wait_for("Against the baseline")

        def ended() -> None:
            assert before.isdisjoint(children(terminal.pid)), "the bad variant and its collector"

        passes(ended, step=lambda: terminal.read(0.1))
        terminal.press("q")
        assert terminal.end() == 0


def test_a_program_is_started_again(tmp_path: Path) -> None:
    script, log = tmp_path / "greeter.py", tmp_path / "log"
    script.write_text(f"import os, time\nprint(os.getpid(), file=open({str(log)!r}, 'a'))\ntime.sleep(600)\n")
    with Terminal("run", str(script), columns=120, rows=40) as terminal:
        terminal.wait_for("LIVE")

        def runs(number: int) -> list[str]:
            """The pids that it has written so far: it is shown before its first line has run."""
            pids = log.read_text().split() if log.exists() else []
            assert len(pids) == number
            return pids

        (first,) = passes(lambda: runs(1), step=lambda: terminal.read(0.1))
        terminal.press("R")
        terminal.wait_for(f"greeter.py.*pid +(?!{first})[0-9]+")
        again = passes(lambda: runs(2), step=lambda: terminal.read(0.1))
        assert again[0] == first and gone(int(first)) and alive(int(again[1]))
        terminal.press("q")
        terminal.end()
        assert gone(int(again[1]))


def test_the_picker_finds_a_process_and_attaches(tmp_path: Path) -> None:
    script = tmp_path / "zebra_crossing.py"
    script.write_text(SLEEPER)
    with target(current(), script) as watched, Terminal(columns=140, rows=40) as terminal:
        terminal.wait_for("PYTHON")
        terminal.press("/")
        terminal.wait_for("zebra_crossing")
        terminal.press("zebra")
        terminal.wait_for("zebra.*1 of|1 of")
        deadline = time.monotonic() + 60
        while "LIVE" not in terminal.text:
            # The first Enter leaves the filter, the second one opens; one that comes before it is left, leaves it, too.
            assert time.monotonic() < deadline
            terminal.press("\r")
            with contextlib.suppress(AssertionError):
                terminal.wait_for("LIVE", 5)
        assert str(watched.pid) in terminal.text
        ours = children(terminal.pid)
        terminal.press("q")
        assert terminal.end() == 0
        assert all(gone(pid) for pid in ours)
        assert alive(watched.pid)


def test_a_terminal_that_is_behind_is_sent_no_more() -> None:
    """A slow line: each frame ends with a question, and the next one waits for the answer."""
    question, answer = b"\x1b[5n", "\x1b[0n"
    with Terminal("demo", "lock-held-across-io", columns=120, rows=40) as terminal:
        answered = 0

        def answer_all() -> None:
            nonlocal answered
            while answered < terminal.raw.count(question):
                terminal.press(answer)
                answered += 1

        while not re.search("own work", terminal.shown):
            terminal.read(0.1)
            answer_all()

        def nothing_more() -> None:
            before = len(terminal.raw)
            terminal.read(2)
            assert terminal.raw.count(question) > answered and len(terminal.raw) == before

        passes(nothing_more)  # nothing is answered: what is on its way comes, and then nothing
        sent = len(terminal.raw)
        terminal.press("4")  # a view that has not been drawn
        terminal.read(1)
        assert len(terminal.raw) == sent
        answer_all()
        terminal.wait_for("HOLDER NOW")
        answer_all()
        terminal.press("q")
        while terminal.popen.poll() is None:
            terminal.read(0.1)
            answer_all()
        assert terminal.end() == 0


def test_the_terminal_is_left_as_it_was() -> None:
    with target(current(), SLEEPER) as watched, Terminal(watched.pid) as terminal:
        terminal.wait_for("LIVE")
        terminal.press("q")
        assert terminal.end() == 0
        # alternate screen left, cursor shown, mouse reporting off
        for last, other in ((b"[?1049l", b"[?1049h"), (b"[?25h", b"[?25l"), (b"[?1000l", b"[?1000h")):
            assert terminal.raw.rfind(last) > terminal.raw.rfind(other)
        assert alive(watched.pid)


def test_a_target_that_exits_is_shown_as_such() -> None:
    with target(current(), SLEEPER) as watched, Terminal(watched.pid) as terminal:
        terminal.wait_for("LIVE")
        watched.kill()
        terminal.wait_for("EXITED")
        terminal.press("q")
        assert terminal.end() == 0


def test_something_is_to_be_seen_before_textual_is_imported() -> None:
    """What is opened is told first; the dashboard is drawn over it, and then its own codes end the other screen."""
    with target(current(), SLEEPER) as watched, Terminal(watched.pid) as terminal:
        terminal.wait_for("LIVE")
        first = terminal.raw.index(f"attaching to {watched.pid}".encode())
        assert terminal.raw.startswith(b"\x1b[?1049h")
        assert first < terminal.raw.index(b"\x1b[?1000h"), "Textual asks for the mouse when it begins"
        terminal.press("q")
        assert terminal.end() == 0


def test_the_first_picture_is_taken_back_when_it_comes_to_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    written = io.StringIO()
    monkeypatch.setattr(sys, "__stderr__", written)
    with pytest.raises(KeyboardInterrupt), first.screen("attaching to 7: x.py …"):
        raise KeyboardInterrupt
    first.begun()  # garbage is collected again
    said = written.getvalue()
    assert gc.isenabled() and "attaching to 7" in said
    assert said.rfind("\x1b[?1049l") > said.rfind("\x1b[?1049h") >= 0
    assert said.rfind("\x1b[?25h") > said.rfind("\x1b[?25l") >= 0


def test_keys_that_come_too_early_are_not_written_over_the_picture(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "__stderr__", io.StringIO())
    ours, theirs = pty.openpty()

    def echoes() -> bool:
        return bool(termios.tcgetattr(theirs)[3] & termios.ECHO)

    try:
        with os.fdopen(theirs, "r", closefd=False) as terminal:
            monkeypatch.setattr(sys, "stdin", terminal)
            assert echoes()
            with first.screen("attaching"):
                assert not echoes()
                first.echo()
                assert echoes()  # Textual keeps what it finds for its own end
            with pytest.raises(KeyError), first.screen("attaching"):
                raise KeyError
            assert echoes()
    finally:
        first.begun()
        os.close(ours)
        os.close(theirs)

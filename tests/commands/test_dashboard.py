"""The dashboard as a user starts it, under a pseudo-terminal."""

from __future__ import annotations

from pathlib import Path

from running import Terminal, alive, children, gone

from interpreters import current, target

SLEEPER = "import time\nprint('ready', flush=True)\ntime.sleep(600)\n"


def test_a_demo_names_its_anti_pattern() -> None:
    with Terminal("demo", "lock-held-across-io", columns=120, rows=40) as terminal:
        terminal.wait_for("LIVE")
        terminal.wait_for("(?i)lock-held-across-io.*(held|across)|held across")
        terminal.press("q")
        assert terminal.end() == 0


def test_the_picker_finds_a_process_and_attaches(tmp_path: Path) -> None:
    script = tmp_path / "zebra_crossing.py"
    script.write_text(SLEEPER)
    with target(current(), script) as watched, Terminal(columns=140, rows=40) as terminal:
        terminal.wait_for("PYTHON")
        terminal.press("/")
        terminal.wait_for("zebra_crossing")
        terminal.press("zebra")
        terminal.wait_for("zebra.*1 of|1 of")
        terminal.press("\r")
        terminal.read(1)
        if "LIVE" not in terminal.text:  # the first Enter leaves the filter, the second one opens
            terminal.press("\r")
        terminal.wait_for("LIVE")
        assert str(watched.pid) in terminal.text
        ours = children(terminal.pid)
        terminal.press("q")
        assert terminal.end() == 0
        assert all(gone(pid) for pid in ours)
        assert alive(watched.pid)


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
    source = "import time\nprint('ready', flush=True)\ntime.sleep(3)\n"
    with target(current(), source) as short, Terminal(short.pid) as terminal:
        terminal.wait_for("EXITED")
        terminal.press("q")
        assert terminal.end() == 0

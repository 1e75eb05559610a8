"""Names made to do harm, readers that leave, disks that are full, signals: nothing raw, nothing lost, no traceback."""

from __future__ import annotations

import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from running import CONCVIEW, Terminal, alive, children, eventually, run, told

from interpreters import current, target

SLEEPER = "import time\nprint('ready', flush=True)\ntime.sleep(600)\n"

# ---------------------------------------------------------------- hostile names

HOSTILE = r"""
import threading, time
gate = threading.Lock()
gate.acquire()
def work(): gate.acquire()
names = ["[/red]", "[bold red]x[/]", "\x1b[31m\x1b]0;owned\x07", "\x9b31m", "\u202eevil", "n" * 10000, "a\nb\rc\x08"]
for name in names:
    threading.Thread(target=work, name=name, daemon=True).start()
exec("def [F](): gate.acquire()".replace("[F]", "f" * 10000))
threading.Thread(target=globals()["f" * 10000], name="long", daemon=True).start()
print("ready", flush=True)
time.sleep(600)
"""


@pytest.fixture(scope="module")
def hostile() -> Iterator[int]:
    with target(current(), HOSTILE) as process:
        yield process.pid


@pytest.mark.parametrize("command", ["check", "dump"])
@pytest.mark.parametrize("form", ["text", "json"])
def test_hostile_names_do_not_reach_the_output(hostile: int, command: str, form: str) -> None:
    more = ["--duration", "1"] if command == "check" else []
    result = run(command, hostile, "--format", form, *more)
    assert result.returncode in (0, 1), result.stderr  # that all wait for one lock may be a finding
    assert "[/red]" in result.stdout
    for raw in ("\x1b", "\x07", "\x9b", "\u202e", "\x08", "\r"):
        assert raw not in result.stdout
    assert "n" * 1000 not in result.stdout
    assert "f" * 1000 not in result.stdout


def test_hostile_names_do_not_reach_the_screen(hostile: int) -> None:
    with Terminal(hostile, columns=120, rows=40) as terminal:
        terminal.wait_for("Threads")
        for key in "2345621":
            terminal.press(key)
            terminal.read(0.4)
        terminal.press("q")
        assert terminal.end() == 0, terminal.text[-2000:]
        assert b"owned" not in terminal.raw or b"\x1b]0;owned" not in terminal.raw
        assert "\x9b" not in terminal.text
        assert "\u202e" not in terminal.text


def test_hostile_command_lines(tmp_path: Path) -> None:
    folder = tmp_path / "\x1b[31m[/red]"
    folder.mkdir(parents=True)
    (folder / "x.py").write_text(SLEEPER)
    with target(current(), folder / "x.py") as watched:
        result = run("dump", watched.pid)
        assert result.returncode == 0, result.stderr
        assert "\x1b" not in result.stdout


# ---------------------------------------------------------------- signals and pipes


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_interrupted(number: int, code: int) -> None:
    with target(current(), SLEEPER) as watched:
        popen = subprocess.Popen(
            [*CONCVIEW, "check", str(watched.pid), "--duration", "60"],
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd="/",
        )  # fmt: skip
        eventually(lambda: children(popen.pid))  # the collector: it watches
        popen.send_signal(number)
        out, errors = popen.communicate(timeout=40)
        assert (popen.returncode, out, told(errors)) == (code, "", "")
        assert alive(watched.pid)


def test_a_reader_that_leaves_early() -> None:
    with target(current(), HOSTILE) as watched:
        popen = subprocess.Popen(
            [*CONCVIEW, "dump", str(watched.pid)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd="/"
        )
        assert popen.stdout is not None and popen.stderr is not None
        popen.stdout.close()
        assert told(popen.stderr.read().decode()) == ""
        assert popen.wait(40) == 0


def test_a_full_disk_is_told() -> None:
    with open("/dev/full", "w") as full:
        result = subprocess.run(
            [*CONCVIEW, "catalogue"], stdout=full, stderr=subprocess.PIPE, text=True, cwd="/", timeout=30
        )
    assert result.returncode == 74
    assert result.stderr.startswith("concview: ") and "No space left" in result.stderr
    assert "Traceback" not in result.stderr and "Exception" not in result.stderr


def test_an_internal_error_is_one_line(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    from concview.commands import base

    def broken(*_: object) -> None:
        raise RuntimeError("boom")

    monkeypatch.setattr(base, "parse", broken)
    monkeypatch.delenv("CONCVIEW_DEBUG", raising=False)
    assert base.run(["check"]) == 70
    errors = capsys.readouterr().err
    assert errors.startswith("concview: internal error: RuntimeError: boom\n")
    assert "CONCVIEW_DEBUG=1" in errors
    monkeypatch.setenv("CONCVIEW_DEBUG", "1")
    with pytest.raises(RuntimeError):
        base.run(["check"])

"""The keyboard: an Esc is answered soon, and an escape sequence that comes in parts is still one key."""

from __future__ import annotations

import os
import selectors
from threading import Event
from typing import Any

import pytest
import textual._parser
from rich.cells import cell_len
from textual import events
from textual.drivers.linux_driver import LinuxDriver

from concview.tui.app import ConcviewApp
from concview.tui.textual_private import driver
from concview.tui.textual_private.encoding import carried


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    made = Clock()
    monkeypatch.setattr(textual._parser, "get_time", made)
    monkeypatch.setattr(driver, "get_time", made)
    monkeypatch.setattr(driver, "ESCAPE_S", 0.03)
    return made


def _keys(found: Any) -> list[str]:
    return [event.key for event in found if isinstance(event, events.Key)]


def test_an_escape_is_one_when_nothing_follows(clock: Clock) -> None:
    parser = driver.Parser()
    assert parser.patience() == driver.IDLE_S
    assert not _keys(parser.feed("\x1b"))
    assert parser.patience() == pytest.approx(0.03)
    clock.now = 0.02
    assert not _keys(parser.tick())
    assert parser.patience() == pytest.approx(0.01)
    clock.now = 0.031
    assert parser.patience() == 0
    assert _keys(parser.tick()) == ["escape"]
    assert parser.patience() == driver.IDLE_S


@pytest.mark.parametrize(
    ("parts", "key"), [(["\x1b[A"], "up"), (["\x1b", "[A"], "up"), (["\x1b[1", ";2C"], "shift+right")]
)
def test_a_sequence_is_one_key_also_in_parts(clock: Clock, parts: list[str], key: str) -> None:
    parser, found = driver.Parser(), []
    for part in parts:
        found += _keys(parser.feed(part))
        clock.now += 0.02
        found += _keys(parser.tick())
    assert found == [key]
    assert parser.patience() == driver.IDLE_S


@pytest.mark.parametrize("parts", [["\x1b[0n"], ["j\x1b[0", "nk"], ["\x1b[3n"]])
def test_the_terminal_s_answer_is_no_key(clock: Clock, parts: list[str]) -> None:
    answers: list[int] = []
    parser, found = driver.Parser(answered=lambda: answers.append(1)), []
    for part in parts:
        found += _keys(parser.feed(part))
    assert answers == [1] and found == [c for c in "".join(parts) if c in "jk"]


class Selector:
    """Says what is there to be read, after the time that passes in the meantime."""

    def __init__(self, clock: Clock, script: list[bytes], pipe: int, ended: Event) -> None:
        self.clock, self.script, self.pipe, self.ended = clock, script, pipe, ended
        self.waits: list[float] = []

    def __enter__(self) -> Selector:
        return self

    def __exit__(self, *_: object) -> None: ...

    def register(self, *_: object) -> None: ...

    def select(self, timeout: float) -> list[int]:
        self.waits.append(timeout)
        if not self.script:
            self.ended.set()
            return []
        data = self.script.pop(0)
        if data:
            os.write(self.pipe, data)
            return [1]
        self.clock.now += timeout
        return []


class Person:
    def __init__(self) -> None:
        self.hurried = 0

    def hurry(self) -> None:
        self.hurried += 1


def test_waits_are_short_only_while_an_escape_is_open(clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    """An idle keyboard costs as little as before."""
    read, write = os.pipe()
    mine: Any = object.__new__(driver.Driver)
    got: list[Any] = []
    mine.fileno, mine.exit_event, mine._debug = read, Event(), False
    mine.process_message = got.append
    mine._app = app = Person()
    selector = Selector(clock, [b"", b"j", b"\x1b", b"", b"\x1b[A", b"\xff\xc3", b"\xa9"], write, mine.exit_event)
    monkeypatch.setattr(selectors, "SelectSelector", lambda: selector)
    mine.run_input_thread()
    os.close(read)
    os.close(write)
    idle = driver.IDLE_S
    assert selector.waits == [idle, idle, idle, pytest.approx(0.03), idle, idle, idle, idle]
    assert app.hurried == 5, "whoever answers is told of everything that was typed"
    named = ("escape", "up")
    assert [e.key if e.key in named else e.character for e in got] == ["j", "escape", "up", "\ufffd", "é"]


def test_the_end_of_the_input_ends_the_thread() -> None:
    read, write = os.pipe()
    os.close(write)
    mine: Any = object.__new__(driver.Driver)
    mine.fileno, mine.exit_event, mine._debug = read, Event(), False
    mine.run_input_thread()
    os.close(read)


def test_the_app_takes_it_instead_of_the_one_for_terminals(monkeypatch: pytest.MonkeyPatch) -> None:
    import fake

    app = ConcviewApp(fake.FakeSession([fake.empty()]))
    assert app.driver_class is driver.Driver
    assert issubclass(driver.Driver, LinuxDriver)
    monkeypatch.setattr("textual.constants.DRIVER", "textual.drivers.headless_driver:HeadlessDriver")
    assert ConcviewApp(fake.FakeSession([fake.empty()])).driver_class.__name__ == "HeadlessDriver"


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "cp1252", "koi8-r", "utf-8"])
def test_a_terminal_without_our_signs_keeps_its_columns(encoding: str) -> None:
    """Everything that a picture is drawn with, and what a target may be called."""
    for words in ("● LIVE ▲ WARN × lock ≈ I/O █▓░ ▁▂▃▄▅▆▇ │─┌└├ … ← → ✓ ≤9 s 5 µs", "工作线程-3", "naïve \N{SNOWMAN}"):
        shown = carried(words, encoding)
        shown.encode(encoding)
        assert cell_len(shown) == cell_len(words)
        assert "\\" not in shown
    assert carried("× lock ← ▲ …", "ascii") == "x lock < ^ ~"

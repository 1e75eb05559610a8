"""How long a session waits for a collector that says nothing."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from concview.session import stream_source
from concview.session.stream_source import LiveSource, Patience

SLEEPS = "import sys; print('ready', flush=True); sys.stdin.read()"
WORKS = "print('ready', flush=True)\nwhile True: pass"


@contextmanager
def waits_for(program: str) -> Iterator[LiveSource]:
    """A source whose collector is this program."""
    with subprocess.Popen(
        [sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        process.stdout.readline()
        source = LiveSource(1)
        source._process = process  # type: ignore[assignment]
        try:
            yield source
        finally:
            process.kill()


def at(patience: Patience, seconds: float) -> Patience:
    patience._began -= seconds
    return patience


def test_one_that_does_nothing_is_given_up_in_time() -> None:
    with waits_for(SLEEPS) as source:
        patience = Patience(source, 20.0)
        assert not at(patience, 19.0).over()
        assert at(patience, 2.0).over()
        assert str(patience.error()) == "nothing arrived from the collector within 21 s"


def test_one_that_gets_no_cpu_is_waited_for_and_it_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    with waits_for(WORKS) as source:
        patience = Patience(source, 20.0)
        monkeypatch.setattr(Patience, "_share", lambda _: 0.9)  # of 21 s, of which it has not seen any
        assert not at(patience, 21.0).over()
        assert "it waited for a CPU for 90 % of the time" in str(patience.error())
        assert at(patience, stream_source.STARVED_TIMEOUT_S).over(), "not for ever"


def test_what_it_wanted_is_read_of_the_kernel() -> None:
    with waits_for(WORKS) as source:
        patience = Patience(source, 20.0)
        while not patience._share() > 0.5:  # it runs or waits all the time since then
            pass
    with waits_for(SLEEPS) as source:
        patience = at(Patience(source, 20.0), 1000.0)
        assert patience._share() < 0.5
    assert Patience(LiveSource(1), 20.0)._share() == 0


def test_a_short_patience_stays_short(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Patience, "_share", lambda _: 1.0)
    assert at(Patience(LiveSource(1), 0.5), 0.6).over()

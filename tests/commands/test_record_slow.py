"""A collector that has hardly a CPU: its first look comes long after its first words."""

from __future__ import annotations

import os
import threading
from pathlib import Path
from typing import Any

import pytest

from concview import codec
from concview.commands import _open
from concview.commands.record import record_stream
from concview.model import Bye


class Slow:
    """As LiveSource, as far as it is recorded from: `stream` begins at once, the first block comes half a second later,
    whether or not it was asked to end."""

    def __init__(self) -> None:
        reads, self._writes = os.pipe()
        self.stream = os.fdopen(reads, "rb", buffering=0)
        self._late = threading.Timer(0.5, self._first)
        self.asked = threading.Event()

    def open(self) -> None:
        os.write(self._writes, codec.MAGIC)
        self._late.start()

    def _first(self) -> None:
        os.write(self._writes, codec.encode_block([Bye(1, "ended")]))
        self.asked.wait(60)
        os.close(self._writes)

    def request_end(self) -> None:
        self.asked.set()

    def failure(self) -> Exception:
        return AssertionError("something came")


def test_the_time_to_record_begins_with_the_first_look(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_open, "END_S", 0.2)
    file = tmp_path / "r"
    source: Any = Slow()
    with source.stream, file.open("wb", buffering=0) as out:
        written = record_stream(source, out, file, 0.05, agent=False, calls="")
    data = file.read_bytes()
    assert len(data) == written > len(codec.MAGIC)
    assert data.startswith(codec.MAGIC)

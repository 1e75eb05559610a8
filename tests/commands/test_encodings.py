"""Output where the terminal or pipe cannot write every character."""

from __future__ import annotations

import io
import os

import msgspec
import pytest
from running import together

from capacity import WAITS
from concview.commands import _output
from concview.commands._output import GLYPHS, write_anything
from interpreters import current, target
from waiting import given_time

pytestmark = pytest.mark.units(WAITS)

STUCK = """
import threading, time
lock = threading.Lock()
def wait():
    with lock:
        with lock: ...
threading.Thread(target=wait, name="wörker-π-😀", daemon=True).start()
print("ready", flush=True)
time.sleep(600)
"""


@pytest.mark.parametrize("encoding", ["ascii", "latin-1"])
def test_check_and_dump_write_what_the_stream_can(encoding: str) -> None:
    environment = {**os.environ, "PYTHONIOENCODING": encoding}
    with target(current(), STUCK, settled=True) as stuck:

        def written(seconds: float) -> None:
            dump, check, as_json = (
                ("dump", stuck.pid),
                ("check", stuck.pid, "--duration", seconds),
                ("--format", "json"),
            )
            commands = (dump, (*dump, *as_json), check, (*check, *as_json))
            done = together(*commands, env=environment, encoding=encoding)
            for command, (text, told) in (("dump", done[:2]), ("check", done[2:])):
                assert text.returncode == (command == "check"), text.stderr
                assert ("w?rker-?-?" if encoding == "ascii" else "wörker-?-?") in text.stdout
                assert ("^ DEADLOCK" if command == "dump" else "^ WARN") in text.stdout
                assert told.returncode == text.returncode, told.stderr
                assert "wörker-π-😀" in {t["name"] for t in msgspec.json.decode(told.stdout.encode())["threads"]}

        given_time(written, 2.5, 5, 10, 20)


def test_what_the_user_chose_for_a_stream_stays() -> None:
    chosen = io.TextIOWrapper(io.BytesIO(), "ascii", "backslashreplace")
    other = io.TextIOWrapper(io.BytesIO(), "ascii", "surrogateescape")
    write_anything(chosen, other, io.StringIO())
    assert (chosen.errors, other.errors) == ("backslashreplace", _output.HANDLER)
    other.write("".join(GLYPHS) + "ж\udcff")
    other.flush()
    assert other.buffer.getvalue().decode() == "".join(GLYPHS.values()) + "??"

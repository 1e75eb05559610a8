"""`record --calls` and `export`: from a running program to the files of other tools."""

from __future__ import annotations

import pstats
from pathlib import Path

import pytest
from running import one_line, run

from concview import codec, registry
from concview.model import Bye, Calls, Hello, Target
from interpreters import current, target
from waiting import given_time

PROGRAM = """
import threading, time
def leaf():
    pass
def work():
    for _ in range(100):
        leaf()
def worker():
    while True:
        work(); time.sleep(0.005)
for _ in range(2):
    threading.Thread(target=worker, daemon=True).start()
print("ready", flush=True)
while True:
    time.sleep(0.05)
"""
FORMATS = registry.names("concview.exporters")


@pytest.fixture(scope="module")
def recording(tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("export") / "x.concview"
    with target(current(), PROGRAM) as process:

        def recorded(seconds: float) -> None:
            """With a whole window of calls in it."""
            more = ("--force", "--agent", "--yes", "--calls", "wall:2")
            done = run("record", process.pid, "-o", file, "--duration", seconds, *more)
            assert done.returncode == 0, done
            with file.open("rb") as stream:
                events = [event for block in codec.read_blocks(stream) for event in block]
            assert any(isinstance(event, Calls) and not event.running for event in events)

        given_time(recorded, 5, 10, 20, 40)
    return file


def test_pstat(recording: Path, tmp_path: Path) -> None:
    out = tmp_path / "x.pstat"
    done = run("export", recording, "-o", out, "--format", "pstat")
    assert (done.returncode, done.stdout) == (0, "") and done.stderr.startswith("wrote "), done
    stats = {key[2]: value for key, value in pstats.Stats(str(out)).stats.items()}  # type: ignore[attr-defined]
    assert stats["leaf"][1] == pytest.approx(100 * stats["work"][1], rel=0.02)
    assert [caller[2] for caller in stats["leaf"][4]] == ["work"]


def test_callgrind(recording: Path, tmp_path: Path) -> None:
    out = tmp_path / "x.callgrind"
    assert run("export", recording, "-o", out, "--format", "callgrind").returncode == 0
    text = out.read_text()
    assert text.startswith("version: 1\ncreator: concview\n") and "calls=" in text and "events: Microseconds" in text


@pytest.mark.parametrize("name", FORMATS)
def test_nothing_is_overwritten(recording: Path, tmp_path: Path, name: str) -> None:
    out = tmp_path / "x"
    out.write_text("mine")
    one_line(run("export", recording, "-o", out, "--format", name), 2, "exists already", "--force")
    assert out.read_text() == "mine"
    if registry.load("concview.exporters", name, "EXPORTER").write_folder is not None:
        one_line(run("export", recording, "-o", out, "--format", name, "--force"), 2, "is a folder")
        assert out.read_text() == "mine"
        return
    assert run("export", recording, "-o", out, "--format", name, "--force").returncode == 0
    assert out.read_text(errors="replace") != "mine"


def _stream(*events: object) -> bytes:
    greeting = Hello(codec.STREAM_VERSION, "0", Target(1, "3.13.0", ("x",), 0.0), "direct", 1, 1, 0, 0.0, {})
    return codec.MAGIC + codec.encode_block([greeting, *events, Bye(1, "exited")])  # type: ignore[list-item]


def _calls(running: bool, clock: str) -> Calls:
    return Calls(1, "yappi", clock, 1.0, running, True, 0, 0, 0.0, ())


@pytest.mark.parametrize(
    ("events", "said"),
    [
        ((), "no calls were counted"),
        ((_calls(True, "wall"),), "ends before its window"),
        ((_calls(False, "none"),), "without times"),
    ],
)
@pytest.mark.parametrize("name", ["pstat", "callgrind"])
def test_recordings_without_such_calls(tmp_path: Path, name: str, events: tuple[Calls, ...], said: str) -> None:
    file = tmp_path / "x.concview"
    file.write_bytes(_stream(*events))
    one_line(run("export", file, "-o", tmp_path / "out", "--format", name), 5, said, "--calls wall")
    assert not (tmp_path / "out").exists()


def test_bad_input(tmp_path: Path) -> None:
    file = tmp_path / "x"
    file.write_bytes(b"no recording")
    out = tmp_path / "out"
    one_line(run("export", file, "-o", out, "--format", "moon"), 2, "no such format", "pstat")
    one_line(run("export", file, "-o", out, "--format", "pstat"), 5, "not a readable recording")
    one_line(run("export", tmp_path / "none", "-o", out, "--format", "pstat"), 5, "no such file")
    for calls in ("moon", "wall:0", "wall:61", "wall:x"):
        one_line(run("record", 1, "-o", out, "--agent", "--yes", "--calls", calls), 2, "--calls")
    one_line(run("record", 1, "-o", out, "--calls", "wall"), 2, "--calls goes with --agent")
    assert not out.exists()

"""`report`: twenty lines for a channel, JSON for scripts, a page; what is missing is said."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path

import pytest
from running import one_line, run

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "exporters"))

import made

from concview import codec
from concview.model import (
    CAPABILITIES,
    Bye,
    Confidence,
    Frame,
    FrameDef,
    Hold,
    HoldsDef,
    Site,
    StackDef,
    ThreadDef,
    Tick,
    Wait,
    WaitDef,
    WaitKind,
)

MS = made.MS
EVIL = Site("self._lock", "/srv/app/cache.py", 41, "Cache.<locals>.get", "cache.py::Cache")


def _held_up(seconds: float, calm: float = 0.0) -> list[object]:
    """Three workers wait for a lock whose holder waits for a database; then everybody is asleep."""
    events: list[object] = [
        FrameDef(1, Frame("Cache.<locals>.get", "/srv/app/cache.py", 41, "with self._lock: # ```@here", acquires=EVIL)),
        FrameDef(2, Frame("Cache.<locals>.get", "/srv/app/cache.py", 42, "db.recv()", holds=(EVIL,))),
        FrameDef(3, Frame("work", "/srv/app/main.py", 7, "get(key)")),
        StackDef(1, (1, 3)),
        StackDef(2, (2, 3)),
        StackDef(3, (3,)),
        WaitDef(1, Wait(WaitKind.FUTEX, lock=0xA, lock_kind="Lock")),
        WaitDef(2, Wait(WaitKind.IO, "recvfrom", 5)),
        WaitDef(3, Wait(WaitKind.SLEEP)),
        HoldsDef(1, (Hold(0xA, "Lock", EVIL, Confidence.EXACT),)),
        *(ThreadDef(t, f"web-{t}\n@channel <b>```") for t in (1, 2, 3, 4)),
    ]
    at = 1_000 * MS
    for i in range(int(seconds * 100)):
        at += 10 * MS
        holder = 1 + i // 5 % 4
        rows: list[int] = []
        for t in (1, 2, 3, 4):
            rows += (t, 2, 2, 1) if t == holder else (t, 1, 1, 0)
        events.append(Tick(at, 10 * MS, 0, False, tuple(rows)))
    for i in range(int(calm * 100)):
        at += 10 * MS
        events.append(Tick(at, 10 * MS, 0, False, () if i else tuple(x for t in (1, 2, 3, 4) for x in (t, 3, 3, 0))))
    return events


def _recorded(path: Path, events: list[object]) -> Path:
    sees = [name for name in CAPABILITIES if name not in ("agent", "calls")]
    greeting = made.hello(("/usr/bin/python3", "service.py"), *sees)
    return made.write(path, events, greeting=greeting)  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def held_up(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return _recorded(tmp_path_factory.mktemp("report") / "x.concview", _held_up(12))


def test_short_form(held_up: Path) -> None:
    done = run("report", held_up)
    assert done.returncode == 0, done
    lines = done.stdout.splitlines()
    assert len(lines) <= 20 and all(len(line) <= 500 for line in lines)
    # The verdict first: no name of the target is markup in it or calls anybody; the rest is a block that nothing ends.
    assert lines[0].startswith("**▲ ") and lines[0].endswith("**")
    assert not set("@<>`#*[") & set(re.sub(r"\\.", "", lines[0][2:-2])), "all that acts is escaped"
    assert lines[1].startswith("````text") and lines[-1] == lines[1].removesuffix("text")
    labels = [line.split()[0] for line in lines[2:-1] if not line.startswith(" ")]
    assert labels[:5] == ["service", "command", "versions", "time", "blame"]
    assert {"finding", "measured", "holder", "waiter", "fix", "not"} <= set(labels)
    assert "PID 4242" in done.stdout and "lock-held-across-io" in done.stdout and "3 of " in lines[-2]


def test_json_has_the_check_and_the_text(held_up: Path, tmp_path: Path) -> None:
    out = tmp_path / "x.json"
    done = run("report", held_up, "-o", out)
    assert done.returncode == 0 and done.stderr.startswith("concview: wrote "), done
    content = json.loads(out.read_text())
    assert content["service"] == "service" and content["check"]["findings"][0]["id"] == "lock-held-across-io"
    assert content["text"] == run("report", held_up, "--format", "md").stdout
    assert content["marks"][0]["id"] == "lock-held-across-io" and not content["over"]


def test_what_is_over_is_still_reported(tmp_path: Path) -> None:
    """A recording that ends well tells of the worst it had, and that it was over."""
    path = _recorded(tmp_path / "x", _held_up(12, calm=90))
    done = run("report", path, "--format", "json")
    assert done.returncode == 0, done
    content = json.loads(done.stdout)
    assert content["over"] and content["at_s"] < 40 and content["check"]["findings"][0]["id"] == "lock-held-across-io"
    assert "over at the end" in content["text"].splitlines()[0]


def test_page(held_up: Path, tmp_path: Path) -> None:
    out = tmp_path / "x.html"
    assert run("report", held_up, "-o", out, "--from", "2", "--to", "0:08").returncode == 0
    page = out.read_text()
    assert "lock-held-across-io" in page and "Who is to blame" in page and "<b>```" not in page
    one_line(run("report", held_up, "-o", out), 2, "exists already", "--force")
    one_line(run("report", held_up, "--format", "html"), 2, "needs an output file", "-o")


def test_bad_input(held_up: Path, tmp_path: Path) -> None:
    empty = made.write(tmp_path / "empty", [])
    one_line(run("report", empty), 5, "holds no samples")
    (tmp_path / "none").write_bytes(b"no recording")
    one_line(run("report", tmp_path / "none"), 5, "not a readable recording")
    one_line(run("report", tmp_path / "missing"), 5, "no such file")
    one_line(run("report", held_up, "--from", "5", "--to", "4"), 2, "later than --from")
    whole = held_up.read_bytes()
    cut = tmp_path / "cut"
    cut.write_bytes(whole[: len(whole) - 40])
    done = run("report", cut)
    assert done.returncode == 0 and "breaks off" in done.stdout and "breaks off" in done.stderr


def test_the_farewell_is_no_ending_to_tell_of(held_up: Path) -> None:
    assert isinstance(list(codec.read_blocks(held_up.open("rb")))[-1][-1], Bye)
    assert "breaks off" not in run("report", held_up).stdout


def test_a_check_of_the_same_file_tells_the_same(tmp_path: Path) -> None:
    """Waits are followed at the end, by both: what was followed before is remembered, and would change the gain."""
    events = _held_up(4)
    events += [Tick((5_010 + 10 * n) * MS, 10 * MS, 0, False, _turns(n)) for n in range(900)]
    file = _recorded(tmp_path / "x", events)
    checked = json.loads(run("check", file, "--format", "json").stdout)
    reported = json.loads(run("report", file, "--format", "json").stdout)["check"]
    assert checked["blame"] == reported["blame"] and checked["blame"]["causes"]
    assert [f["gain"] for f in checked["findings"]] == [f["gain"] for f in reported["findings"]]


def _turns(n: int) -> tuple[int, ...]:
    """Turns of 30 to 130 ms; between them all are asleep for a while."""
    if n % 13 == 0:
        return tuple(x for t in (1, 2, 3, 4) for x in ((t, 2, 2, 1) if t == n // 13 % 4 + 1 else (t, 1, 1, 0)))
    return tuple(x for t in (1, 2, 3, 4) for x in (t, 3, 3, 0)) if n % 13 == 3 + n // 13 % 10 else ()

"""`check`, `dump`, `record`, `catalogue`: what they print, against the contract, on real targets."""

from __future__ import annotations

import json
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import jsonschema  # type: ignore[import-untyped]
import msgspec
import pytest
from contract import STATES, Check, Dump
from running import CONCVIEW, ROOT, Terminal, children, gone, grown, run

from capacity import WAITS
from concview import __version__, codec
from concview.model import Bye, Hello, Tick
from interpreters import Interpreter, current, target
from waiting import given_time

pytestmark = pytest.mark.units(WAITS)


@pytest.fixture
def not_the_machine(tmp_path: Path) -> list[str | Path]:
    """Options for `check`: whether the machine is busy is not what is asked here."""
    path = tmp_path / "settings.toml"
    path.write_text('rules.disable = ["cpu-starvation"]\n')
    return ["--config", path]


@pytest.fixture(scope="module")
def demo_pid() -> Iterator[int]:
    """The workload of lock-held-across-io, as a user would run it."""
    popen = subprocess.Popen([*CONCVIEW, "demo", "--headless"], stdout=subprocess.PIPE, text=True, cwd="/")
    assert popen.stdout is not None
    pid = int(popen.stdout.readline())
    yield pid
    popen.terminate()
    popen.wait(40)
    assert gone(pid)


def follows(name: str, text: str) -> None:
    """What was printed is what docs/schema says."""
    schema = json.loads((ROOT / "docs" / "schema" / f"{name}-1.json").read_text())
    jsonschema.validate(json.loads(text), schema, cls=jsonschema.Draft202012Validator)


def test_check_of_a_bad_workload(demo_pid: int, not_the_machine: list[str]) -> None:

    def judged(seconds: float) -> None:
        result = run("check", demo_pid, "--format", "json", "--duration", seconds, *not_the_machine)
        assert (result.returncode, result.stderr) == (1, "")
        follows("check", result.stdout)
        check = msgspec.json.decode(result.stdout, type=Check)
        assert (check.schema, check.concview, check.target.pid) == (1, __version__, demo_pid)
        assert check.sampling.seconds == pytest.approx(seconds, abs=4)
        assert check.sampling.samples == pytest.approx(check.sampling.achieved_hz * check.sampling.seconds, rel=0.02)
        for thread in check.threads:
            assert set(thread.shares) == STATES
            assert sum(thread.shares.values()) == pytest.approx(1, abs=0.01), thread
        assert sum(t.name.startswith("web-") for t in check.threads) == 8
        assert any(lock.expression == "self._lock" and lock.waiters_max >= 3 for lock in check.locks)
        assert check.findings, result.stdout
        for finding in check.findings:
            assert finding.severity in ("info", "warn")
            assert 0 <= finding.score <= 100
            assert finding.title and finding.summary and finding.why and finding.fix and finding.where

    given_time(judged, 8, 16, 32)


def test_fail_on_decides_the_exit_code_only(demo_pid: int) -> None:
    def warned(seconds: float) -> None:
        result = run("check", demo_pid, "--duration", seconds, "--fail-on", "never")
        assert result.returncode == 0
        assert "WARN" in result.stdout

    given_time(warned, 8, 16, 32)


def test_check_of_a_good_workload(not_the_machine: list[str]) -> None:
    popen = subprocess.Popen(
        [*CONCVIEW, "demo", "lock-held-across-io", "--fixed", "--headless"], stdout=subprocess.PIPE, text=True, cwd="/"
    )
    assert popen.stdout is not None
    pid = int(popen.stdout.readline())
    try:
        result = run("check", pid, "--duration", "5", "--fail-on", "info", *not_the_machine)
        assert result.returncode == 0, result.stdout
        assert "No findings" in result.stdout
    finally:
        popen.terminate()
        popen.wait(40)


def test_a_recording_is_judged_like_the_process(demo_pid: int, tmp_path: Path) -> None:
    path = tmp_path / "r.concview"

    def judged(seconds: float) -> None:
        recorded = run("record", demo_pid, "-o", path, "--duration", seconds, "--force")
        assert (recorded.returncode, recorded.stdout) == (0, "")
        assert recorded.stderr.startswith("concview: recorded ")
        check = msgspec.json.decode(run("check", path, "--format", "json").stdout, type=Check)
        assert check.target.pid == demo_pid
        assert check.findings

    given_time(judged, 8, 16, 32)
    again = run("record", demo_pid, "-o", path)
    assert again.returncode == 2 and "--force" in again.stderr
    with Terminal("replay", path) as terminal:
        terminal.wait_for("REPLAY|FINISHED")
        terminal.press("q")
        assert terminal.end() == 0


def test_ctrl_c_ends_a_recording_cleanly(demo_pid: int, tmp_path: Path) -> None:
    path = tmp_path / "r.concview"
    command = [*CONCVIEW, "record", str(demo_pid), "-o", str(path)]
    popen = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, cwd="/")
    grown(path, 10_000)
    popen.send_signal(signal.SIGINT)
    _, errors = popen.communicate(timeout=40)
    assert (popen.returncode, errors.startswith("concview: recorded ")) == (0, True), errors
    with path.open("rb") as file:
        events = [event for block in codec.read_blocks(file) for event in block]
    assert isinstance(events[0], Hello)
    assert isinstance(events[-1], Bye) and events[-1].reason == "stopped"
    assert any(isinstance(e, Tick) for e in events)


def test_a_recording_survives_sigkill(demo_pid: int, tmp_path: Path) -> None:
    path = tmp_path / "r.concview"
    popen = subprocess.Popen([*CONCVIEW, "record", str(demo_pid), "-o", path], stderr=subprocess.DEVNULL, cwd="/")
    grown(path, 10_000)
    collector = children(popen.pid)
    popen.kill()
    popen.wait()
    assert collector and all(gone(pid) for pid in collector)
    assert run("check", path).returncode in (0, 1)


def test_a_failed_recording_leaves_no_file(tmp_path: Path) -> None:
    path = tmp_path / "r.concview"
    assert run("record", 2**22 + 1, "-o", path).returncode == 4
    assert not path.exists()


def test_a_full_disk_ends_a_recording_with_a_word(demo_pid: int) -> None:
    result = run("record", demo_pid, "-o", "/dev/full", "--duration", "2", "--force")
    assert result.returncode == 74
    assert result.stderr.startswith("concview: /dev/full: No space left on device\n")


# ---------------------------------------------------------------- dump

CIRCLE = """
import threading, time
first, second = threading.Lock(), threading.Lock()
both = threading.Barrier(2)
def forward():
    with first:
        both.wait()
        with second:
            pass
def backward():
    with second:
        both.wait()
        with first:
            pass
secret = "swordfish"
threading.Thread(target=forward, name="forward", daemon=True).start()
threading.Thread(target=backward, name="backward", daemon=True).start()
def rest(number):
    word = "swordfish" * number
    time.sleep(600)
print("ready", flush=True)
rest(2)
"""


@pytest.mark.few
def test_dump_shows_states_waits_and_stacks(direct_python: Interpreter) -> None:
    with target(direct_python, CIRCLE, settled=True) as stuck:
        result = run("dump", stuck.pid, "--format", "json")
        assert (result.returncode, result.stderr) == (0, "")
        follows("dump", result.stdout)
        dump = msgspec.json.decode(result.stdout, type=Dump)
        threads = {t.name: t for t in dump.threads}
        assert set(threads) == {"MainThread", "forward", "backward"}
        assert dump.threads[0].name == "MainThread"
        assert threads["MainThread"].state == "sleep"
        assert threads["MainThread"].frames[0].function == "rest"
        for name in ("forward", "backward"):
            waiting = threads[name].waiting_for
            assert threads[name].state == "lock" and waiting is not None and waiting.kind == "lock"
            assert threads[name].frames[0].function == name
        text = run("dump", stuck.pid).stdout
        assert '"forward"' in text and "waits for second" in text


CROWD = """
import threading, time
lock = threading.Lock()
def wants():
    with lock: pass
def holds():
    with lock: time.sleep(600)
threading.Thread(target=holds, name="holder", daemon=True).start()
while not lock.locked(): time.sleep(0.01)
for i in range(5): threading.Thread(target=wants, name=f"crowd-{i}", daemon=True).start()
print("ready", flush=True)
time.sleep(600)
"""


def test_dump_shows_equal_stacks_once_and_who_is_in_the_way_first() -> None:
    with target(current(), CROWD, settled=True) as stuck:
        text = run("dump", stuck.pid).stdout
        assert text.count("5 threads at one place: lock") == 1 and text.count(" wants (") == 1
        assert all(f'"crowd-{i}" (tid ' in " ".join(text.split()) for i in range(5))
        heads = [text.index('\n"holder" tid'), text.index("\n5 threads at one"), text.index('\n"MainThread" tid')]
        assert heads == sorted(heads)


def test_dump_finds_the_circle() -> None:
    with target(current(), CIRCLE, settled=True) as stuck:
        dump = msgspec.json.decode(run("dump", stuck.pid, "--format", "json").stdout, type=Dump)
        assert [[(e.holds, e.waits_for) for e in circle] for circle in dump.deadlocks] == [
            [("first", "second"), ("second", "first")]
        ]
        assert "DEADLOCK" in run("dump", stuck.pid).stdout


PERMIT = """
import threading, time
permits = threading.BoundedSemaphore(1)
def use():
    with permits: time.sleep(600)
for name in ("has", "wants"):
    threading.Thread(target=use, name=name, daemon=True).start()
    while permits._value: time.sleep(0.01)
print("ready", flush=True)
time.sleep(600)
"""


def test_dump_names_who_has_what_is_no_lock_of_pythons_own() -> None:
    with target(current(), PERMIT, settled=True) as stuck:
        dump = msgspec.json.decode(run("dump", stuck.pid, "--format", "json").stdout, type=Dump)
    tids = {t.name: t.tid for t in dump.threads}
    waiting = next(t.waiting_for for t in dump.threads if t.name == "wants")
    assert waiting is not None and waiting.holder == tids["has"]
    assert waiting.confidence in ("exact", "inferred")


ALIKE = """
import threading, time
class Account:
    def __init__(self):
        self.lock = threading.Lock()
gate, other = threading.Barrier(2), threading.Barrier(2)
def transfer(source, destination):
    with source.lock:
        gate.wait()
        with destination.lock:
            pass
one, two, a, b = Account(), Account(), threading.Lock(), threading.Lock()
for pair in ((one, two), (two, one)):
    threading.Thread(target=transfer, args=pair, daemon=True).start()
def first():
    with a: other.wait(); b.acquire()
def second():
    with b: other.wait(); a.acquire()
for each in (first, second):
    threading.Thread(target=each, daemon=True).start()
print("ready", flush=True)
time.sleep(600)
"""


@pytest.mark.few
def test_locks_of_one_name_are_told_apart_by_their_addresses(direct_python: Interpreter) -> None:
    with target(direct_python, ALIKE, settled=True) as stuck:
        dump = msgspec.json.decode(run("dump", stuck.pid, "--format", "json").stdout, type=Dump)
        (accounts,) = (c for c in dump.deadlocks if any("lock" in e.waits_for for e in c))
        (plain,) = (c for c in dump.deadlocks if c != accounts)
        where = {}
        for edge in accounts:
            assert edge.holds is not None
            (held, own), (wanted, other) = edge.holds.split(" at "), edge.waits_for.split(" at ")
            assert (held, wanted) == ("source.lock", "destination.lock") and own != other
            where[own] = other
        assert len(where) == 2 and set(where) == set(where.values())
        # One line takes both: its name for the one is not that of the other.
        assert sorted((e.holds, e.waits_for) for e in plain) == [("a", "b"), ("b", "a")]

        def found(seconds: float) -> None:
            done = run("check", stuck.pid, "--duration", seconds, "--format", "json", "--fail-on", "never")
            said = [f["summary"] for f in json.loads(done.stdout)["findings"] if f["id"] == "deadlock"]
            assert any(all(f"destination.lock at {address}" in text for address in where) for text in said), said
            assert any("waits for b (" in text and "waits for a (" in text for text in said), said

        given_time(found, 3, 6, 12)


LINKED = """
import threading, time
lock, own = threading.Lock(), threading.Lock()
def wants():
    with lock:
        pass
def holds():
    with lock:
        other.start()
        other.join()
def itself():
    with own:
        with own:
            pass
other = threading.Thread(target=wants, name="wants", daemon=True)
threading.Thread(target=holds, name="holds", daemon=True).start()
threading.Thread(target=itself, name="itself", daemon=True).start()
print("ready", flush=True)
time.sleep(600)
"""


@pytest.mark.few
def test_dump_tells_a_join_in_a_circle_and_a_circle_of_one(direct_python: Interpreter) -> None:
    with target(direct_python, LINKED, settled=True) as stuck:
        dump = msgspec.json.decode(run("dump", stuck.pid, "--format", "json").stdout, type=Dump)
        names = {t.tid: t.name for t in dump.threads}
        told = sorted(sorted((names[e.tid], e.holds, e.waits_for, e.via) for e in c) for c in dump.deadlocks)
        assert told == [
            [("holds", "lock", 'the end of "wants"', "Thread.join"), ("wants", None, "lock", "")],
            [("itself", "own", "own", "")],
        ]
        (alone,) = (t for t in dump.threads if t.name == "itself")
        assert alone.waiting_for is not None
        assert (alone.waiting_for.holder, alone.waiting_for.confidence) == (alone.tid, "exact")
        assert alone.waiting_for.lock == alone.holds[0].lock
        text = run("dump", stuck.pid).stdout
        assert "DEADLOCK: a thread waits for itself" in text
        assert '"wants"' in text and 'holds lock and waits for the end of "wants"' in text

        def both(seconds: float) -> None:
            check = run("check", stuck.pid, "--duration", seconds, "--format", "json")
            found = msgspec.json.decode(check.stdout)["findings"]
            assert sum(f["id"] == "deadlock" for f in found) == 2

        given_time(both, 3, 6, 12)


def test_dump_with_locals_and_native_frames() -> None:
    with target(current(), CIRCLE, settled=True) as stuck:
        text = run("dump", stuck.pid, "--locals").stdout
        assert "swordfishswordfish" in text
        native = run("dump", stuck.pid, "--native")
        assert native.returncode == 0, native.stderr
        assert "stopped the process for" in native.stderr  # it says what it did to the process
        assert "sleep" in native.stdout


# ---------------------------------------------------------------- catalogue


def test_catalogue() -> None:
    listed = run("catalogue")
    rules = json.loads(run("catalogue", "--format", "json").stdout)["rules"]
    assert listed.returncode == 0 and len(rules) >= 6
    for rule in rules:
        assert rule["id"] in listed.stdout
        assert rule["info"] <= rule["warn"]
    one = run("catalogue", "deadlock").stdout
    for heading in ("What it sees", "Why it hurts", "How it is measured", "Fix", "When it is fine"):
        assert heading in one
        assert f"### {heading}" in run("catalogue", "deadlock", "--format", "md").stdout
    assert json.loads(run("catalogue", "deadlock", "--format", "json").stdout)["id"] == "deadlock"


def test_demos_are_listed_under_the_headings_of_the_catalogue() -> None:
    def listed(*command: str) -> dict[str, list[str]]:
        groups: dict[str, list[str]] = {}
        under: list[str] = []
        for line in filter(None, run(*command).stdout.splitlines()):
            if line.startswith("  "):
                under.append(line.split()[0])
            elif not line.startswith("'"):
                under = groups[line] = []
        return groups

    shown = listed("demo", "--list")
    assert "lock-held-across-io" in shown["Locks"]
    del shown["Lessons"]  # they show what things cost, and have no rule
    assert shown == listed("catalogue")


def test_help_is_quick_and_loads_nothing_heavy() -> None:
    code = (
        "import sys\nfrom concview.commands import run\nrun(['--help'])\n"
        "heavy = {'textual', 'rich', 'psutil', 'elftools', 'concview.session', 'concview.analysis.window'}\n"
        "sys.exit(f'loaded: {heavy & set(sys.modules)}' if heavy & set(sys.modules) else 0)"
    )
    result = subprocess.run([CONCVIEW[0], "-c", code], capture_output=True, text=True)
    assert (result.returncode, result.stderr) == (0, "")

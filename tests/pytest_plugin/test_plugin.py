"""`pytest --concview` on real sessions: each has tests that must fail for one reason, and one that must not."""

from __future__ import annotations

import importlib.metadata
import re
import subprocess
import sys
from pathlib import Path

import pytest

from concview.model import WATCHER_THREAD
from concview.pytest_plugin import _client
from concview.pytest_plugin._leaks import Threads

HEAD = "import asyncio, threading, time, pytest\n"
CLEAN = """
def test_clean():
    thread = threading.Thread(target=time.sleep, args=(0.05,))
    thread.start()
    thread.join()
"""


def session(path: Path, source: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    (path / "test_it.py").write_text(HEAD + source + CLEAN)
    (path / "pytest.ini").write_text("[pytest]\nasyncio_default_fixture_loop_scope = function\n")
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "--concview", *arguments, "test_it.py"]
    return subprocess.run(command, cwd=path, capture_output=True, text=True, timeout=170)


def outcomes(done: subprocess.CompletedProcess[str]) -> dict[str, int]:
    last = done.stdout.strip().splitlines()[-1]
    return {word.rstrip("s"): int(number) for number, word in re.findall(r"(\d+) (passed|failed|errors?)", last)}


def test_it_is_offered_and_off_unless_asked() -> None:
    (entry,) = importlib.metadata.entry_points(group="pytest11", name="concview")
    assert entry.value == "concview.pytest_plugin"
    code = "import sys, concview.pytest_plugin; sys.exit('concview.session' in sys.modules or 'msgspec' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)


DEADLOCKS = """
def cross(first, second, gate):
    with first:
        gate.wait()
        with second:
            pass

def test_main_thread_in_the_circle():
    a, b, gate = threading.Lock(), threading.Lock(), threading.Barrier(2)
    threading.Thread(target=cross, args=(b, a, gate), name="other", daemon=True).start()
    cross(a, b, gate)

def test_main_thread_waits_for_the_circle():
    a, b, gate = threading.Lock(), threading.Lock(), threading.Barrier(2)
    threads = [threading.Thread(target=cross, args=(a, b, gate), name="one")]
    threads += [threading.Thread(target=cross, args=(b, a, gate), name="two")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
"""


def test_a_deadlock_fails_its_test_and_the_session_goes_on(tmp_path: Path) -> None:
    done = session(tmp_path, DEADLOCKS)
    assert done.returncode == 1, done
    assert outcomes(done) == {"passed": 1, "failed": 2, "error": 1}, done.stdout
    assert done.stdout.count("this test is deadlocked") >= 2
    assert re.search(r'"MainThread" \(tid \d+\) holds \S+ and waits for \S+', done.stdout), done.stdout
    assert re.search(r'"two" \(tid \d+\) holds \S+ and waits for \S+', done.stdout), done.stdout
    # The interpreter would wait for "one" and "two" for ever.
    assert "leaving without waiting" in done.stderr


LEAKS = """
stop = threading.Event()

@pytest.fixture(scope="module")
def service():
    thread = threading.Thread(target=stop.wait, name="service", daemon=True)
    thread.start()
    yield
    stop.set()
    thread.join()

def test_of_a_service(service):
    pass

def test_thread():
    threading.Thread(target=time.sleep, args=(600,), name="left", daemon=True).start()

@pytest.mark.concview(leaks=False)
def test_excepted():
    threading.Thread(target=time.sleep, args=(600,), name="excepted", daemon=True).start()

def test_allowed():
    threading.Thread(target=time.sleep, args=(600,), name="pydevd.x", daemon=True).start()

async def rest():
    await asyncio.sleep(600)

async def main(cancel):
    task = asyncio.create_task(rest(), name="background")
    await asyncio.sleep(0)
    if cancel:
        task.cancel()

def test_task():
    asyncio.run(main(False))

def test_cancelled_task():
    asyncio.run(main(True))
"""


def test_what_is_left_behind_fails_the_test_that_left_it(tmp_path: Path) -> None:
    done = session(tmp_path, LEAKS, "-rE")
    assert outcomes(done) == {"passed": 7, "error": 2}, done.stdout
    assert set(re.findall(r"ERROR test_it.py::(\w+)", done.stdout)) == {"test_thread", "test_task"}
    assert re.search(r"left \(daemon\) runs sleep", done.stdout)
    assert re.search(r"background: rest at .*tasks.py:\d+", done.stdout)
    assert outcomes(session(tmp_path, LEAKS, "--concview-leaks", "none")) == {"passed": 7}


HELD = """
@pytest.mark.timeout(4)
def test_hangs():
    lock, held = threading.Lock(), threading.Event()
    def keep():
        with lock:
            held.set()
            time.sleep(600)
    threading.Thread(target=keep, name="keeper", daemon=True).start()
    held.wait()
    with lock:
        pass
"""


def test_a_timeout_is_explained(tmp_path: Path) -> None:
    done = session(tmp_path, HELD, "--concview-leaks", "none", "--concview-fail-on", "never")
    assert outcomes(done) == {"passed": 1, "failed": 1}, done.stdout
    section = done.stdout.partition("who waited for whom when the time was over")[2]
    assert "waits for lock, held by keeper" in section and "holds lock" in section
    assert WATCHER_THREAD not in section  # a thread of ours is nobody's to explain


def test_our_thread_is_called_as_the_rest_of_us_knows_it() -> None:
    assert f'name="{WATCHER_THREAD}"' in Path(_client.__file__).read_text()


def test_a_process_that_is_ended_in_a_test_is_explained(tmp_path: Path) -> None:
    done = session(tmp_path, HELD, "--timeout-method", "thread")
    assert done.returncode == 1
    told = done.stderr.partition("concview: the target exited with code 1 during test_it.py::test_hangs")[2]
    # The chain of that moment, or the verdict where enough was seen for one.
    assert re.search(r"waits for lock( \(test_it.py:\d+\))?,\s+held\s+by\s+keeper", told), done


CONTENTION = """
def test_contention():
    lock, stop = threading.Lock(), time.monotonic() + 12
    def work():
        while time.monotonic() < stop:
            with lock:
                time.sleep(0.02)
    threads = [threading.Thread(target=work, name=f"worker-{i}") for i in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
"""


def test_findings_fail_at_their_level_and_workers_report_to_the_controller(tmp_path: Path) -> None:
    done = session(tmp_path, CONTENTION, "-n", "2", "--concview-fail-on", "never,lock-held-across-io=warn")
    assert done.returncode == 1, done
    assert outcomes(done) == {"passed": 2, "error": 1}, done.stdout
    assert "concview: lock-held-across-io: lock is held while sleeping" in done.stdout
    assert "concview gw0" in done.stdout and "concview gw1" in done.stdout


@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        (["--concview-fail-on", "bad"], "no level"),
        (["--concview-leaks", "bad"], "not bad"),
        (["--concview-config", "/none"], "cannot be watched"),
    ],
)
def test_what_is_wrong_is_told_and_nothing_runs(tmp_path: Path, arguments: list[str], word: str) -> None:
    done = session(tmp_path, "", *arguments)
    assert done.returncode == 4 and word in done.stderr + done.stdout and "passed" not in done.stdout, done


def test_threads_that_end_in_time_are_not_left() -> None:
    import threading

    threads = Threads((), 30.0)
    threads.begin()
    release = threading.Event()
    thread = threading.Thread(target=release.wait)
    thread.start()
    threading.Timer(0.1, release.set).start()
    assert threads.left() == []
    allowed = Threads(("ours-*",), 0.0)
    allowed.begin()
    release.clear()
    for name in ("ours-1", "theirs"):
        threading.Thread(target=release.wait, name=name).start()
    assert [t.name for t in allowed.left()] == ["theirs"]
    with allowed.kept():
        threading.Thread(target=release.wait, name="of a fixture").start()
    assert [t.name for t in allowed.left()] == ["theirs"]
    release.set()

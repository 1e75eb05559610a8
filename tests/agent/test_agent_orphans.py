"""When the dashboard dies or freezes, the agent leaves by itself, with everything, and the program never notices."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import agent_helpers as h
import pytest

from capacity import WAITS
from concview.agent_host.attachment import own_yappi
from interpreters import Interpreter, Process, current, target

#: It promises to be gone within 5 s; a machine that is busy with other tests gets three times as long.
PROMISE_S, PATIENCE_S = 5.0, 15.0
#: Works in five threads until SIGTERM, which ends it with 42. On request it says what it finds in itself, and how much
#: longer an empty call takes than before anybody came.
PROGRAM = """
import gc, json, select, signal, sys, threading, time
def ended(*_):
    sys.exit(42)
signal.signal(signal.SIGTERM, ended)
done = [0] * 4
def work(n):
    while True:
        done[n] += 1
        time.sleep(0.002)
def leaf():
    pass
def cost():
    best = 1e9
    for _ in range(20):
        began = time.thread_time()
        for _ in range(2000): leaf()
        best = min(best, time.thread_time() - began)
    return best
alone = cost()
for n in range(4):
    threading.Thread(target=work, args=(n,), daemon=True).start()
def tell():
    yappi, monitoring = sys.modules.get("_yappi"), getattr(sys, "monitoring", None)
    return {
        "done": sum(done),
        "counting": bool(yappi and yappi.is_running() or monitoring and monitoring.get_tool(3)),
        "left": [m for m in sys.modules if "concview" in m] + [repr(c) for c in gc.callbacks]
                + [repr(h) for h in (threading._profile_hook, sys.getprofile()) if h is not None],
        "slower": cost() / alone,
    }
print("ready", flush=True)
while True:
    while not select.select([0], [], [], 0.005)[0]:
        pass
    sys.stdin.readline()
    print(json.dumps(tell()), flush=True)
"""


@dataclass
class Case:
    """A dashboard, its collector and a target of their own."""

    name: str
    fate: signal.Signals
    also_the_collector: bool
    process: Process
    dashboard: subprocess.Popen[bytes]
    folder: Path  #: for temporary files; the dashboard's only

    def tell(self) -> dict[str, object]:
        self.process.send("tell")
        said = self.process.json()
        assert isinstance(said, dict)
        return said

    @property
    def inside(self) -> bool:
        return h.inside(self.process.pid)

    def strike(self) -> None:
        """As `kill` does it, or as Ctrl-Z of a shell: to the whole process group."""
        (os.killpg if self.also_the_collector else os.kill)(self.dashboard.pid, self.fate)


@contextlib.contextmanager
def case(
    python: Interpreter,
    folder: Path,
    fate: signal.Signals,
    clock: str,
    also_the_collector: bool,
    program: str = PROGRAM,
) -> Iterator[Case]:
    name = f"{fate.name}{' of both' * also_the_collector}{clock and ', counting ' + clock}"
    with target(python, program, "asleep") as process:
        output = folder / f"{process.pid}.concview"
        folder = folder / str(process.pid)
        folder.mkdir()
        dashboard = subprocess.Popen(
            [sys.executable, "-m", "concview", "record", str(process.pid), "-o", str(output),
             "--agent", "--yes", *(["--calls", f"{clock}:60"] if clock else [])],
            env={**os.environ, "PYTHONPATH": h.SOURCE, "TMPDIR": str(folder), "XDG_RUNTIME_DIR": ""},
            stderr=subprocess.DEVNULL, start_new_session=True,
        )  # fmt: skip
        try:
            yield Case(name, fate, also_the_collector, process, dashboard, folder)
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(dashboard.pid, signal.SIGKILL)
            dashboard.wait()


def profiler(python: Interpreter) -> str:
    """How calls can be counted under it: the clock of a window, 'none' for counts without times, '' not at all."""
    ask = "import importlib.machinery as m\ntry: import _yappi\nexcept ImportError: print(m.EXTENSION_SUFFIXES[0])"
    suffix = subprocess.run([python.path, "-c", ask], capture_output=True, text=True, timeout=60).stdout.strip()
    if not python.free_threaded and (
        not suffix or any(Path(folder, f"_yappi{suffix}").exists() for folder in own_yappi())
    ):
        return "wall"
    return "none" if python.version >= (3, 12) else ""


@pytest.mark.units(WAITS)
@pytest.mark.few
def test_leaves_when_the_dashboard_does(any_python: Interpreter, tmp_path: Path) -> None:
    leaves(any_python, tmp_path)


def test_leaves_with_yappi_when_the_dashboard_does(tmp_path: Path) -> None:
    """There is a build of yappi for the Python that runs concview, whichever others are missing."""
    assert profiler(current()) == "wall"
    leaves(current(), tmp_path)


def leaves(python: Interpreter, folder: Path) -> None:
    h.skip_unless_askable(python)
    clock = profiler(python)
    with contextlib.ExitStack() as stack:
        cases = [
            stack.enter_context(case(python, folder, fate, counting, both))
            for fate, counting, both in dict.fromkeys(
                (  # without a profiler, two of them are the same
                    (signal.SIGKILL, "", False),
                    (signal.SIGKILL, clock, False),
                    (signal.SIGSTOP, "", False),
                    (signal.SIGSTOP, clock, False),
                    (signal.SIGSTOP, clock, True),
                )
            )
        ]
        for one in cases:
            h.eventually(lambda one=one: one.inside)  # type: ignore[misc]
            # Who is stopped himself can remove nothing: they have met by now.
            h.eventually(lambda one=one: not list(one.folder.iterdir()))  # type: ignore[misc]
        for one in cases:
            if "counting" in one.name:
                h.eventually(lambda one=one: one.tell()["counting"])  # type: ignore[misc]
        struck = {}
        for one in cases:
            one.strike()
            struck[one.name] = time.monotonic()
        took: dict[str, float] = {}
        h.eventually(lambda: went(cases, struck, took), 60.0)
        late = {name: f"{seconds:.1f} s" for name, seconds in took.items() if seconds > PATIENCE_S}
        assert not late, f"gone within {PROMISE_S:.0f} s, it says; {late}"
        for one in cases:
            untouched(one)


def went(cases: list[Case], struck: dict[str, float], took: dict[str, float]) -> bool:
    """Whether all agents have gone; `took` learns how long each one was there without its dashboard."""
    for one in cases:
        if one.name not in took and not one.inside:
            took[one.name] = time.monotonic() - struck[one.name]
    return len(took) == len(cases)


def untouched(one: Case) -> None:
    after = one.tell()
    assert not after["counting"] and after["left"] == [], (one.name, after)
    h.eventually(lambda: float(str(one.tell()["slower"])) < 3)  # a hook makes it 5 to 10
    h.eventually(lambda: int(str(one.tell()["done"])) > int(str(after["done"])))
    h.eventually(lambda: (h.threads(one.process.pid), h.sockets(one.process.pid)) == (5, 0))
    h.eventually(lambda: not list(one.folder.iterdir()))
    h.ends_as_ever(one.process)


@pytest.mark.units(WAITS)
@pytest.mark.few
def test_a_request_is_withdrawn_when_the_dashboard_is_killed(any_python: Interpreter, tmp_path: Path) -> None:
    """Nobody had taken it yet. On 3.14 and newer it would swallow the next signal's exception."""
    h.skip_unless_askable(any_python)
    with case(any_python, tmp_path, signal.SIGKILL, "", False, h.STATES) as one:
        h.eventually(lambda: list(one.folder.glob("*/socket")))
        time.sleep(0.5)  # asked again and again by now
        one.strike()
        h.eventually(lambda: not list(one.folder.iterdir()))
        h.ends_as_ever(one.process)

"""Runs the probe in a Python of choice and reckons what it said."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import time
from collections.abc import Iterator, Sequence
from math import comb
from pathlib import Path
from statistics import median

import msgspec

from concview.costs.constants import Cost, Measured, cache_file, machine

#: name -> (what it is, in words; how often the operation itself happens in one of the probe's)
DESCRIBED: dict[str, tuple[str, float]] = {
    "call": ("calling an empty function", 1),
    "lock_free": ("with lock: of a Lock that is free", 1),
    "rlock_free": ("with lock: of an RLock that is free", 1),
    "lock_contended": ("handing a Lock to a thread that waits for it", 2),
    "condition": ("Condition.notify until the other thread goes on", 2),
    "queue_uncontended": ("Queue.put and get in one thread", 1),
    "queue_hop": ("an item through a Queue to a thread that waits", 2),
    "gil_handoff": ("getting the GIL beside a thread that computes", 1),
    "future": ("ThreadPoolExecutor.submit(...).result()", 1),
    "thread": ("starting and joining a thread", 1),
    "pool_of_threads": ("making, using once and ending a pool of 4 threads", 1),
    "task": ("making and awaiting an asyncio task", 1),
    "to_thread": ("loop.run_in_executor and back", 1),
    "process": ("forking, ending and joining a process", 1),
    "process_hop": ("ProcessPoolExecutor.submit(...).result()", 1),
    "pickle_list": ("pickling 1,000 small tuples and back", 1),
}
#: The probe gives up after so long; a machine that slow has other sorrows.
TIMEOUT_S = 300.0
#: Variables that would make the measured Python another one than its user's.
_FOREIGN = ("PYTHONPATH", "PYTHONHOME", "PYTHONSTARTUP", "PYTHONTRACEMALLOC", "PYTHONASYNCIODEBUG", "PYTHONDEVMODE")
_VERSION = (
    "import sys, sysconfig; print('%d.%d.%d' % sys.version_info[:3]"
    " + ('t' if sysconfig.get_config_var('Py_GIL_DISABLED') else ''))"
)


class CannotMeasure(Exception):
    """The Python cannot be run, or is none. The message says why."""


def interval(values: Sequence[float]) -> tuple[float, float]:
    """(low, high): order statistics between which the median lies with at least 95 % certainty (sign test).

    Of fewer than 6 values no pair is that certain: then the smallest and the largest.
    """
    ordered, n = sorted(values), len(values)
    rank, outside = 0, 0.0
    while rank < (n - 1) // 2:
        outside += comb(n, rank) * 0.5 ** (n - 1)
        if outside > 0.05:
            break
        rank += 1
    rank = max(0, rank - 1)
    return ordered[rank], ordered[n - 1 - rank]


def resolved(python: str) -> str:
    """The path of an interpreter given by path or by name on PATH. CannotMeasure when there is none."""
    found = shutil.which(python)
    if found is None:
        raise CannotMeasure(f"{python} is not a program that can be run")
    return found


def version_of(executable: str) -> str:
    """'3.13.0', or '3.13.0t' of a free-threaded build. CannotMeasure when it is no Python 3.8 or newer."""
    try:
        done = subprocess.run(
            [executable, "-c", _VERSION],
            capture_output=True, text=True, timeout=30, env=_environment(), stdin=subprocess.DEVNULL, check=False,
        )  # fmt: skip
    except (OSError, subprocess.TimeoutExpired) as error:
        raise CannotMeasure(f"{executable} cannot be run: {error}") from None
    version = done.stdout.strip()
    numbers = version.rstrip("t").split(".")
    if done.returncode or len(numbers) != 3 or not all(n.isdecimal() for n in numbers):
        raise CannotMeasure(f"{executable} is not a Python")
    if (int(numbers[0]), int(numbers[1])) < (3, 8):
        raise CannotMeasure(f"{executable} is Python {version}; costs are measured from 3.8 on")
    return version


def measure(executable: str, rounds: int, names: Sequence[str] = ()) -> Iterator[tuple[str, Cost | str]]:
    """(name, its cost or why there is none), one by one as they come. CannotMeasure when the probe dies.

    `rounds`: at least 1; `names`: of `DESCRIBED`, all of them without it.
    """
    probe = Path(__file__).with_name("probe.py")
    process = subprocess.Popen(
        [executable, str(probe), str(rounds), *(names or DESCRIBED)],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, stdin=subprocess.DEVNULL, text=True, env=_environment(),
        start_new_session=True,
    )  # fmt: skip
    deadline = time.monotonic() + TIMEOUT_S
    try:
        assert process.stdout is not None and process.stderr is not None
        for line in process.stdout:
            said = json.loads(line)
            name = said["name"]
            yield name, said["error"] if "error" in said else _cost(name, said["per_op_ns"], said["cpu_ns"])
            if time.monotonic() > deadline:
                raise CannotMeasure(f"it takes longer than {TIMEOUT_S:.0f} s")
        if process.wait(30):
            last = process.stderr.read().strip().rpartition("\n")[2]
            raise CannotMeasure(f"the measurement ended early: {last or f'exit code {process.returncode}'}")
    except (ValueError, KeyError) as error:
        raise CannotMeasure(f"the measurement said something unexpected: {error}") from None
    finally:
        if process.poll() is None:
            os.killpg(process.pid, 9)  # the probe starts processes of its own
            process.wait()


def keep(costs: Sequence[Cost], failed: dict[str, str], executable: str, version: str) -> Measured:
    """Write what was measured to the cache; OSError when it cannot be written."""
    load = os.getloadavg()[0]
    measured = Measured(
        1, machine(), version, executable, time.time(), load, os.cpu_count() or 1, tuple(costs), dict(failed)
    )
    path = cache_file(version)
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_suffix(f".{os.getpid()}")
    part.write_bytes(msgspec.json.encode(measured))
    part.replace(path)
    return measured


def _cost(name: str, walls: Sequence[float], cpus: Sequence[float]) -> Cost:
    per = 1e9 * DESCRIBED[name][1]
    low, high = interval(walls)
    cpu_low, cpu_high = interval(cpus)
    return Cost(
        name, median(walls) / per, low / per, high / per, median(cpus) / per, cpu_low / per, cpu_high / per, len(walls)
    )


def _environment() -> dict[str, str]:
    return {k: v for k, v in os.environ.items() if k not in _FOREIGN}

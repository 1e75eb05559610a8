"""What is read from a target is changed on the way: nothing of ours raises, and the truth is seen again afterwards. The
long form is benchmarks/fuzz_memory.py."""

from __future__ import annotations

import importlib.util
import random
import time
from pathlib import Path

import pytest
from direct_helpers import tick_until, watching

from capacity import BUSY
from concview.cpython import memory
from concview.cpython.memory import BadAddress, Memory
from concview.cpython.read_cache import ReadCache
from concview.engines.direct.locks.context_managers import ContextManagers
from interpreters import FULL, Interpreter, interpreters, target

_PATH = Path(__file__).resolve().parents[3] / "benchmarks" / "fuzz_memory.py"
_SPEC = importlib.util.spec_from_file_location("concview_fuzz_memory", _PATH)
assert _SPEC is not None and _SPEC.loader is not None
fuzz = importlib.util.module_from_spec(_SPEC)
_SPEC.loader.exec_module(fuzz)

CHOSEN = [i for i in interpreters() if FULL or i.version in ((3, 8), (3, 12), (3, 15))]
SECONDS = 60 if FULL else 3


@pytest.mark.units(BUSY)
@pytest.mark.timeout(300)
@pytest.mark.parametrize("python", CHOSEN, ids=lambda p: p.label)
def test_changed_reads(python: Interpreter, monkeypatch: pytest.MonkeyPatch) -> None:
    liar = fuzz.Liar(memory.readv, random.Random(1))
    monkeypatch.setattr(memory, "readv", liar)
    monkeypatch.setattr(memory, "_as_it_is", liar)
    reports: list[str] = []
    with target(python, fuzz.TARGET) as process:
        samples, wrong = fuzz.watch(process.pid, liar, time.monotonic() + SECONDS, reports.append)
    assert samples and liar.lies
    assert wrong - {w for w in wrong if w.endswith(" MB")} == set(), reports


def test_what_was_never_an_address_is_no_part_of_an_answer_that_is_kept() -> None:
    """A word that is no pointer leads beyond all addresses: the answer holds for this time."""
    for address in (-8, 0, 1 << 63, 1 << 70):
        cache = ReadCache[str](Memory(1))

        def asks(at: int = address, read: Memory = cache._memory) -> str:
            return "none" if read.read_many([(at, 8)]) == [None] else "some"

        assert cache.ask("key", asks) == "none"
        assert not cache.known("key")


HOLDS = """
import threading, time
LOCK = threading.Lock()
def holds():
    with LOCK: time.sleep(1000)
thread = threading.Thread(target=holds, daemon=True)
thread.start()
print("ready", flush=True)
print(thread.native_id, flush=True)
time.sleep(1000)
"""


@pytest.mark.parametrize("python", CHOSEN, ids=lambda p: p.label)
def test_a_holder_is_told_where_its_exit_method_leads_nowhere(
    python: Interpreter, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A copy of the method is all that is left of it when the block has been left meanwhile."""

    def gone(*_: object) -> bool:
        raise BadAddress

    monkeypatch.setattr(ContextManagers, "is_exit", gone)
    with target(python, HOLDS) as process, watching(process.pid) as (engine, sink):
        tid = int(process.line())
        (held,) = tick_until(engine, lambda: sink.holds_of(tid))
        assert held.kind == "Lock"

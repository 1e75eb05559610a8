"""Several interpreters in one process: every thread once, with the interpreter it runs in and whose GIL it needs."""

from __future__ import annotations

import pytest
from direct_helpers import KeepingSink, tick_until, watching

from capacity import BUSY
from concview.model import Interpreters, OtherGils, WaitKind
from interpreters import Interpreter, target

#: Two interpreters with a GIL each: in one a thread starts two more that compute, in the other one computes alone.
SEVERAL = """
import threading, time
try:
    import _interpreters as interpreters
    run = interpreters.exec
except ImportError:
    import _xxsubinterpreters as interpreters
    run = interpreters.run_string
ALONE = "n = 0\\nwhile True: n += 1"
TWO = '''
import threading
def spin():
    n = 0
    while True: n += 1
threads = [threading.Thread(target=spin, name=f"spin-{i}", daemon=False) for i in range(2)]
for t in threads: t.start()
for t in threads: t.join()
'''
first, second = interpreters.create(), interpreters.create()
threading.Thread(target=run, args=(first, TWO), name="joins", daemon=True).start()
threading.Thread(target=run, args=(second, ALONE), name="alone", daemon=True).start()
print("ready")
time.sleep(100000)
"""


def _told(sink: KeepingSink) -> dict[int, tuple[int, set[str]]]:
    """Interpreter -> the one whose GIL it uses, and the names of the threads in it."""
    told = [e for e in sink.events if isinstance(e, Interpreters)]
    return (
        {row.id: (row.gil, {sink.names[t][0] for t in row.threads if t in sink.names}) for row in told[-1].rows}
        if told
        else {}
    )


@pytest.mark.few
@pytest.mark.units(BUSY)
def test_threads_are_told_with_their_interpreter(direct_python: Interpreter) -> None:
    if direct_python.version < (3, 12) or direct_python.free_threaded:
        return
    with target(direct_python, SEVERAL) as process, watching(process.pid) as (engine, sink):
        wanted = {0: (0, set()), 1: (1, {"joins", "spin-0", "spin-1"}), 2: (2, {"alone"})}
        tick_until(engine, lambda: _told(sink) == wanted)
        named = [name for name, _ in sink.names.values()]
        assert sorted(named) == ["MainThread", "alone", "joins", "spin-0", "spin-1"]
        by_name = {name: tid for tid, (name, _) in sink.names.items()}
        spins = {by_name["spin-0"], by_name["spin-1"]}

        def state() -> dict[int, int]:
            flat = next((e.states for e in reversed(sink.events) if isinstance(e, OtherGils)), ())
            return dict(zip(flat[::3], flat[1::3], strict=True))

        def waits() -> bool:
            """One of the two has the GIL of their interpreter, and the other one waits for it."""
            holder = state().get(1, 0)
            other = spins - {holder}
            return holder in spins and all((w := sink.wait_of(t)) and w.kind is WaitKind.GIL for t in other)

        tick_until(engine, waits)
        # Nobody is in the way of the one that computes alone, and the main interpreter's GIL is free.
        tick_until(engine, lambda: state().get(2) == by_name["alone"] and sink.ticks[-1][1] == 0)
        alone = sink.wait_of(by_name["alone"])
        assert alone is not None and alone.kind is not WaitKind.GIL

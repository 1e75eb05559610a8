"""The span of a thread and of a task, out of its context: against a program that keeps what OpenTelemetry's library
keeps (one context variable, a dict, a tuple of ids), with as many other variables as make the trie deep."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "engines" / "direct"))

from direct_helpers import tick_until, watching

from concview.model import Work
from interpreters import Interpreter, target

PROGRAM = r"""
import asyncio, sys, threading
from contextvars import ContextVar
current = ContextVar("current_context")
others = [ContextVar("v%d" % i) for i in range(int(sys.argv[1]))]
inside, hold = threading.Semaphore(0), threading.Event()
KEY = "current-span-3d2a"
class Context(dict):
    pass
class SpanContext(tuple):
    pass
class Span:
    def __init__(self, trace, own):
        self._name, self._parent, self._start_time = "free text", None, 0
        self._context = SpanContext((trace, own, False))
def enter(number):
    for v in others:
        v.set(v.name)
    current.set(Context({"other": 1, KEY: Span((1 << 127) + number, (1 << 63) + number)}))
def app(environ, start_response):
    enter(int(environ["PATH_INFO"]))
    inside.release()
    hold.wait()
    enter(77)
    inside.release()
    threading.Event().wait()
async def asgi(scope, receive, send):
    enter(int(scope["path"]))
    inside.release()
    await asyncio.sleep(1000)
async def main():
    await asyncio.gather(*(asgi({"type": "http", "method": "POST", "path": str(n)}, None, None) for n in (3, 4)))
for n in (1, 2):
    threading.Thread(target=app, args=({"REQUEST_METHOD": "GET", "PATH_INFO": str(n)}, None), daemon=True).start()
threading.Thread(target=asyncio.run, args=(main(),), daemon=True).start()
for _ in range(4):
    inside.acquire()
print("ready")
sys.stdin.readline()
hold.set()
for _ in range(2):
    inside.acquire()
print("moved")
sys.stdin.readline()
"""


def _spans(work: Work | None) -> set[tuple[str, str]]:
    return {(i.trace, i.span) for i in work.items} if work is not None else set()


def _ids(*numbers: int) -> set[tuple[str, str]]:
    return {(f"{(1 << 127) + n:032x}", f"{(1 << 63) + n:016x}") for n in numbers}


@pytest.mark.few
@pytest.mark.parametrize("others", [0, 40, 300])
def test_ids_are_the_programs_own(direct_python: Interpreter, others: int) -> None:
    program = PROGRAM.replace("int(sys.argv[1])", str(others))
    with target(direct_python, program) as process, watching(process.pid) as (engine, sink):

        def told() -> set[tuple[str, str]]:
            return _spans(next((e for e in reversed(sink.events) if isinstance(e, Work)), None))

        tick_until(engine, lambda: told() == _ids(1, 2, 3, 4), looks=True)
        # Another span in the same request: the ids follow.
        process.send("go")
        tick_until(engine, lambda: told() == _ids(77, 3, 4), looks=True)
        assert not any(trace and trace not in {t for t, _ in _ids(1, 2, 3, 4, 77)} for trace, _ in told())

"""Requests of trio's tasks and of greenlets, which stand elsewhere than asyncio's tasks do."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "engines" / "direct"))

from direct_helpers import KeepingSink, tick_until

from concview.engines.direct import DirectEngine
from concview.model import Work
from concview.process.discovery import describe
from interpreters import Interpreter, target

PYTHON = Interpreter(os.environ.get("CONCVIEW_LIBRARIES", sys.executable), (0, 0), 0, False)
#: Each of five works on one request after the other, as long as it is told to by a line: '/3/17' is the third's 17th.
TRIO = """
import sys
try:
    import trio
except ImportError:
    print("missing", flush=True); sys.exit()
async def app(scope, receive, send):
    await receive()
async def worker(i, events):
    for n, event in enumerate(events):
        path = "/%d/%d" % (i, n)
        scope = {"type": "http", "method": "GET", "path": path, "headers": [], "raw_path": path.encode()}
        await app(scope, event.wait, None)
async def main():
    steps = [[trio.Event() for _ in range(3)] for _ in range(5)]
    async with trio.open_nursery() as nursery:
        for i, events in enumerate(steps):
            nursery.start_soon(worker, i, events)
        print("ready", flush=True)
        for n in range(3):
            await trio.to_thread.run_sync(sys.stdin.readline)
            for events in steps[:4]:
                events[n].set()
trio.run(main)
"""
GREENLETS = """
import sys
try:
    import gevent, gevent.event, gevent.os
except ImportError:
    print("missing", flush=True); sys.exit()
def app(environ, start_response):
    environ["wait"]()
def worker(i, events):
    for n, event in enumerate(events):
        app({"REQUEST_METHOD": "GET", "PATH_INFO": "/%d/%d" % (i, n), "wsgi.input": object(), "wait": event.wait}, None)
steps = [[gevent.event.Event() for _ in range(3)] for _ in range(5)]
for i, events in enumerate(steps):
    gevent.spawn(worker, i, events)
gevent.sleep(0)
print("ready", flush=True)
for n in range(3):
    gevent.os.tp_read(0, 100)
    for events in steps[:4]:
        events[n].set()
gevent.sleep(1000)
"""


@pytest.mark.parametrize("source", [TRIO, GREENLETS], ids=["trio", "gevent"])
def test_requests_of_what_is_no_task_of_asyncios(source: str) -> None:
    with target(PYTHON, source, ready=None) as process:
        if process.line() == "missing":
            pytest.skip(f"NOT TESTED: not installed in {PYTHON.path}")
        sink, engine = KeepingSink(), DirectEngine("full")
        engine.open(describe(process.pid), sink)

        def told() -> set[str]:
            work = next((e for e in reversed(sink.events) if isinstance(e, Work)), None)
            found = [sink.labels[i.label] for i in work.items] if work is not None else []
            return {label.detail for label in found if label is not None}

        try:
            tick_until(engine, lambda: told() == {f"/{i}/0" for i in range(5)}, looks=True)
            for n in (1, 2):
                process.send("next")
                tick_until(engine, lambda: told() == {f"/{i}/{n}" for i in range(4)} | {"/4/0"}, looks=True)  # noqa: B023
            process.send("end")
            tick_until(engine, lambda: told() == {"/4/0"}, looks=True)
        finally:
            engine.close()

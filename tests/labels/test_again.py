"""One statement that is executed again and again, with the same objects: never told as one that lasts."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "engines" / "direct"))

from direct_helpers import KeepingSink, tick_until, watching

from capacity import WAITS
from concview.analysis.work import Route, WorkInProgress
from concview.model import Label, Work, WorkItem, WorkKind
from concview.session.work import _began
from interpreters import Interpreter, target

pytestmark = pytest.mark.units(WAITS)

#: Each line that comes ends a statement that is executed anew at once. The other one lasts.
TURNS = """
import sqlite3, sys, threading, time
def again():
    connection = sqlite3.connect(":memory:")
    connection.create_function("turn", 0, lambda: len(sys.stdin.readline()))
    print("ready", flush=True)
    while True:
        connection.execute("SELECT turn()")
def lasts():
    connection = sqlite3.connect(":memory:")
    connection.create_function("lasting", 0, lambda: time.sleep(1000))
    connection.execute("SELECT lasting()")
threading.Thread(target=lasts, daemon=True).start()
again()
"""


def _items(sink: KeepingSink) -> dict[str, WorkItem]:
    work = next((e for e in reversed(sink.events) if isinstance(e, Work)), None)
    named = [(sink.labels[i.label], i) for i in work.items] if work is not None else []
    return {label.name: item for label, item in named if label is not None}


@pytest.mark.few
def test_a_statement_that_is_executed_again_is_surely_as_old_as_its_last_run(direct_python: Interpreter) -> None:
    with target(direct_python, TURNS) as process, watching(process.pid) as (engine, sink):
        tick_until(engine, lambda: len(_items(sink)) == 2, looks=True)
        for _ in range(4):
            time.sleep(0.05)
            sent = time.monotonic_ns()
            process.send("over")

            def surely_anew(since: int = sent) -> bool:
                item = _items(sink).get("SELECT turn()")
                return item is not None and (item.sure_ns > since or item.seen_ns > since)

            tick_until(engine, surely_anew, looks=True)
        assert _items(sink)["SELECT lasting()"].sure_ns == 0


S = 1_000_000_000


def piece(kind: WorkKind, before: bool = False, sure: int = 9 * S) -> WorkInProgress:
    return WorkInProgress(1, Label(kind, "x", "x"), 4 * S, 0, (7,), (), 0, before, sure_ns=sure)


def test_its_age_is_between_two_unless_its_connection_tells() -> None:
    query, call = piece(WorkKind.QUERY), piece(WorkKind.CALL)
    assert _began(query, {}, 0) == (4 * S, 9 * S, False)
    # A query was sent when something was last sent, if that was looked at since it may have begun anew.
    assert _began(query, {7: 8 * S}, 10 * S) == (8 * S, 8 * S, False)
    assert _began(query, {7: 3 * S}, 10 * S) == (4 * S, 4 * S, False)
    assert _began(query, {7: 6 * S}, 7 * S) == (6 * S, 9 * S, False)
    # A call may send more than once: it began before that.
    assert _began(call, {7: 6 * S}, 10 * S) == (4 * S, 6 * S, False)
    # Of what was there before anybody looked only the least is known.
    assert _began(piece(WorkKind.QUERY, before=True), {}, 0) == (9 * S, 9 * S, True)
    assert _began(piece(WorkKind.QUERY, before=True, sure=0), {}, 0) == (4 * S, 4 * S, True)


def test_how_long_it_lasted_is_not_counted() -> None:
    route = Route(WorkKind.QUERY, "x", "x", "")
    route.end(piece(WorkKind.QUERY), 12 * S)
    assert route.lasted(0.5) is None
    route.end(piece(WorkKind.QUERY, sure=0), 12 * S)
    assert route.lasted(0.5) == 8.0


#: One client asks for one path again and again over one connection; each line that comes ends an answer.
REQUESTS = """
import http.client, http.server, sys, threading
class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def do_GET(self):
        print("asked", flush=True)
        sys.stdin.readline()
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()
    do_POST = do_GET
    def log_message(self, *args):
        pass
server = http.server.HTTPServer(("127.0.0.1", 0), Handler)
threading.Thread(target=server.serve_forever, daemon=True).start()
connection = http.client.HTTPConnection(*server.server_address)
while True:
    connection.request(sys.argv[1], "/same")
    connection.getresponse().read()
"""


@pytest.mark.parametrize("method", ["GET", "POST"])
@pytest.mark.some(9, 15)
def test_a_request_that_is_asked_again_is_surely_as_old_as_the_last_one(
    direct_python: Interpreter, method: str
) -> None:
    with target(direct_python, REQUESTS, method, ready=None) as process:
        assert process.line() == "asked"
        with watching(process.pid) as (engine, sink):
            for _ in range(4):
                sent = time.monotonic_ns()

                def told(since: int = sent) -> WorkItem | None:
                    work = next((e for e in reversed(sink.events) if isinstance(e, Work) and e.at_ns > since), None)
                    named = [(sink.labels[i.label], i) for i in work.items] if work is not None else []
                    found = [i for label, i in named if label is not None and label.kind is WorkKind.REQUEST]
                    return found[0] if len(found) == 1 else None

                # Of a GET the next one is another request; of a POST it is known that it may be.
                def anew(told: Callable[[], WorkItem | None] = told, since: int = sent) -> bool:
                    item = told()
                    return item is not None and (item.seen_ns > since or (method == "POST" and item.sure_ns > since))

                tick_until(engine, anew, looks=True)
                process.send("over")
                assert process.line() == "asked"

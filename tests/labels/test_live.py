"""Labels of real requests and queries, against what the target itself says; nothing that came with them is told."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "engines" / "direct"))

from direct_helpers import KeepingSink, tick_until, tick_until_passes, watching

from capacity import WAITS
from concview.analysis.work import NO_WORK
from concview.analysis.work_totals import Totals
from concview.engines.direct import DirectEngine
from concview.model import Label, Work, WorkItem, WorkKind
from concview.process.discovery import describe
from concview.session import LiveSource, Session
from interpreters import Interpreter, target
from waiting import passes

pytestmark = pytest.mark.units(WAITS)

SECRET = "xyzzysecret"

SERVER = r"""
import http.client, json, sqlite3, sys, threading
SECRET = "xyzzy" + "secret"  # not in this source, which may be told
from http.server import BaseHTTPRequestHandler, HTTPServer
from socketserver import ThreadingMixIn
hold, inside = threading.Event(), threading.Semaphore(0)
class Server(ThreadingMixIn, HTTPServer):
    daemon_threads = True
class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def do_GET(self):
        if self.path.startswith("/sql/"):
            connection = sqlite3.connect(":memory:")
            connection.create_function("hold", 1, lambda x: (inside.release(), hold.wait(), 1)[2])
            connection.execute("SELECT hold('%s') AS held, 42 FROM (SELECT 1 AS x) t WHERE x <> ?" % self.path, (7,))
        elif self.path.startswith("/quick"):
            inside.release()
        else:
            inside.release()
            hold.wait()
        self.send_response(200)
        self.send_header("Content-Length", "2")
        self.end_headers()
        self.wfile.write(b"ok")
    def log_message(self, *args):
        pass
server = Server(("127.0.0.1", 0), Handler)
threading.Thread(target=server.serve_forever, daemon=True).start()
def ask(path, kept):
    c = http.client.HTTPConnection(*server.server_address)
    c.request("GET", path, headers={"Authorization": SECRET})
    c.getresponse().read()
    kept.append(c)
kept = []
ask("/quick/" + SECRET, kept)
inside.acquire()
for path in ("/wait/%s?token=%s" % (SECRET, SECRET), "/sql/" + SECRET):
    threading.Thread(target=ask, args=(path, kept), daemon=True).start()
    inside.acquire()
print("ready")
sys.stdin.readline()
hold.set()
sys.stdin.readline()
"""


def _last(sink: KeepingSink) -> Work | None:
    return next((e for e in reversed(sink.events) if isinstance(e, Work)), None)


def _items(sink: KeepingSink) -> list[tuple[WorkItem, Label]]:
    work = _last(sink)
    return [(i, sink.labels[i.label]) for i in work.items] if work is not None else []  # type: ignore[misc]


@pytest.mark.few
def test_requests_and_queries_of_the_standard_library(direct_python: Interpreter) -> None:
    with target(direct_python, SERVER) as process, watching(process.pid) as (engine, sink):

        def told() -> None:
            # Its own clients' calls are among them, too.
            served = [pair for pair in _items(sink) if pair[1].kind is not WorkKind.CALL]
            found = sorted(served, key=lambda pair: (pair[1].kind, pair[0].id))
            # The connection that is kept open after its answer is not among them.
            assert [label.kind for _, label in found] == [WorkKind.QUERY, WorkKind.REQUEST, WorkKind.REQUEST]
            query, request = found[0], found[1]
            assert query[1].name == "SELECT hold (?) AS held, ? FROM (SELECT ? AS x) t WHERE x <> ?"
            assert (request[1].name, request[1].missing) == ("GET", "route")
            around = next(item for item, _ in found if item.id == query[0].inside)
            assert around.threads == query[0].threads
            assert all(item.before and not item.started_ns for item, _ in found)

        tick_until_passes(engine, told, looks=True)
        process.send("go")
        tick_until(engine, lambda: not _items(sink), looks=True)
        # All that got out of the target: screens, JSON, recordings and exports are made of nothing else.
        assert SECRET not in repr(vars(sink))


CLIENTS = r"""
import http.client, socket, sys, threading, urllib.request
SECRET = "xyzzy" + "secret"
server = socket.create_server(("127.0.0.1", 0))
host, port = server.getsockname()
def by_urllib(method):
    request = urllib.request.Request("http://%s:%d/%s?token=%s" % (host, port, SECRET, SECRET), method=method)
    urllib.request.urlopen(request)
def by_hand(connection):
    connection.request("PUT", "/" + SECRET, headers={"Authorization": SECRET})
    connection.getresponse()
for target, argument in ((by_urllib, None), (by_urllib, "DELETE"), (by_hand, http.client.HTTPConnection(host, port))):
    threading.Thread(target=target, args=(argument,), daemon=True).start()
kept = []
for _ in range(3):
    kept.append(server.accept()[0])
    kept[-1].recv(65536)
print(port, flush=True)
sys.stdin.readline()
"""


@pytest.mark.few
def test_calls_of_the_standard_librarys_clients(direct_python: Interpreter) -> None:
    with target(direct_python, CLIENTS, ready=None) as process:
        port = process.line()
        with watching(process.pid) as (engine, sink):

            def told() -> None:
                found = sorted(label.name for _, label in _items(sink))
                assert found == [f"{method} 127.0.0.1:{port}" for method in ("DELETE", "GET", "PUT")]
                assert {label.kind for _, label in _items(sink)} == {WorkKind.CALL}

            tick_until_passes(engine, told, looks=True)
            assert SECRET not in repr(vars(sink))


@pytest.mark.some(12)
def test_full_tells_what_came_with_the_request(direct_python: Interpreter) -> None:
    with target(direct_python, SERVER) as process:
        sink, engine = KeepingSink(), DirectEngine("full")
        engine.open(describe(process.pid), sink)
        try:

            def told() -> None:
                details = {label.detail for _, label in _items(sink)}
                assert f"/wait/{SECRET}?token={SECRET}" in details
                assert any(SECRET in d and "SELECT" in d for d in details)

            tick_until_passes(engine, told, looks=True)
        finally:
            engine.close()


@pytest.mark.some(12)
def test_off_looks_at_nothing(direct_python: Interpreter) -> None:
    with target(direct_python, "print('ready')\nimport time\ntime.sleep(1000)\n") as process:
        engine = DirectEngine("off")
        engine.open(describe(process.pid), KeepingSink())
        names = [look.name for look in engine.looks]
        engine.close()
        assert names and "labels" not in names


APPLICATIONS = r"""
import asyncio, sys, threading
SECRET = "xyzzy" + "secret"
inside, hold = threading.Semaphore(0), threading.Event()
def application(environ, start_response):
    inside.release()
    hold.wait()
class Middleware:
    async def __call__(self, scope, receive, send):
        await asgi(scope, receive, send)
async def asgi(scope, receive, send):
    await asyncio.gather(part(), asyncio.to_thread(in_thread) if hasattr(asyncio, "to_thread") else part())
async def part():
    inside.release()
    await asyncio.sleep(1000)
def in_thread():
    inside.release()
    hold.wait()
async def main():
    scope = {"type": "http", "method": "POST", "path": "/" + SECRET, "headers": [], "raw_path": SECRET.encode()}
    await Middleware()(scope, None, None)
environ = {"REQUEST_METHOD": "GET", "PATH_INFO": "/" + SECRET, "wsgi.input": sys.stdin}
threading.Thread(target=application, args=(environ, None), name="wsgi", daemon=True).start()
threading.Thread(target=asyncio.run, args=(main(),), name="loop", daemon=True).start()
for _ in range(3):
    inside.acquire()
print("ready")
sys.stdin.readline()
"""


@pytest.mark.few
def test_any_application_by_its_arguments_and_what_works_for_it(direct_python: Interpreter) -> None:
    with target(direct_python, APPLICATIONS) as process, watching(process.pid) as (engine, sink):

        def found() -> dict[str, WorkItem]:
            return {label.name: item for item, label in _items(sink)}

        # The task that has the scope, and those that it gathers; the thread that one of them waits for.
        threads = 1 if direct_python.version >= (3, 9) else 0

        def told() -> None:
            assert len(found()) == 2
            assert len(found()["GET"].threads) == 1 and not found()["GET"].tasks
            assert (len(found()["POST"].threads), len(found()["POST"].tasks)) == (threads, 3)

        tick_until_passes(engine, told, looks=True)
        assert SECRET not in repr(vars(sink))


INCLUDED = r"""
import threading
class Route:
    path = None
    def __init__(self, path): self.path = path
class Inclusion:
    def __init__(self, route, path): self.original_route, self.path = route, path
hold, inside = threading.Event(), threading.Semaphore(0)
async def application(scope, receive, send):
    inside.release()
    hold.wait()
def ask(route, noted):
    scope = {"type": "http", "method": "GET", "path": "/x", "headers": [], "raw_path": b"/x", "route": route}
    if noted is not None:
        scope["fastapi"] = {"effective_route_context": noted}
    try: application(scope, None, None).send(None)
    except StopIteration: pass
cats, dogs = Route("/cats/{name}"), Route("/dogs/{name}")
for route, noted in ((cats, Inclusion(cats, "/v1/cats/{name}")), (cats, Inclusion(cats, "/v2/cats/{name}")),
                     (dogs, None), (dogs, Inclusion(cats, "/v3/cats/{name}"))):
    threading.Thread(target=ask, args=(route, noted), daemon=True).start()
    inside.acquire()
print("ready", flush=True)
threading.Event().wait()
"""


@pytest.mark.few
def test_a_router_that_is_included_twice_has_two_templates(direct_python: Interpreter) -> None:
    with target(direct_python, INCLUDED) as process, watching(process.pid) as (engine, sink):

        def told() -> None:
            names = sorted(label.name for _, label in _items(sink))
            # What FastAPI noted of another route is not this one's.
            assert names == ["GET /dogs/{name}", "GET /dogs/{name}", "GET /v1/cats/{name}", "GET /v2/cats/{name}"]

        tick_until_passes(engine, told, looks=True)


@pytest.mark.some(12)
def test_the_flame_graph_and_the_counts_by_name(direct_python: Interpreter) -> None:
    with target(direct_python, APPLICATIONS) as process:
        totals = Totals()
        session = Session(LiveSource(process.pid, "direct", 50.0, 50.0), rules={}, totals=totals)
        session.start()
        try:
            # Until most of the window is in the names of both.
            def spent(tasks: bool = False, *labels: str) -> dict[str, int]:
                root = session.calls(tasks=tasks, labels=labels, by_work=True).root
                return {node.key[0]: node.total_ns for node in root.children.values()}

            get, post = "GET (route not known)", "POST (route not known)"

            def by_name() -> None:
                assert get in spent() and NO_WORK in spent()  # the loop's thread waits for nobody in particular
                assert set(spent(True)) <= {post, NO_WORK} and post in spent(True)
                assert set(spent(False, "GET *")) == {get}
                one = session.calls(labels=("GET *",)).root
                assert "application" in {e.key[0] for e in session.calls(labels=("GET *",)).entries}
                assert one.total_ns <= session.calls().root.total_ns

            def counted() -> None:
                """When a picture is drawn, on a full machine seconds apart."""
                counts = {t.name: t for t in totals.every()}
                assert counts["GET"].seen == counts["POST"].seen == 1
                assert counts["GET"].busy_ns > 0 and not counts["GET"].over

            passes(by_name)
            session.wait(4.0)
            passes(counted)
        finally:
            session.close()

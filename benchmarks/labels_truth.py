"""Labels beside the truth: real servers under load write down who worked on what from when to when.

    python benchmarks/labels_truth.py --python PYTHON [--only NAME] [--seconds 15] [--threads 8] [--wait MS MS]

PYTHON is an interpreter with the servers installed (gunicorn, Flask, uvicorn, FastAPI, SQLAlchemy, requests); what is
not there is left out and said. Each look at a thread or task is compared with what the program wrote down: right,
at an edge (the look does not lie within one request), unknown (moved while it was read, or no label), wrong: it told
another request than the one that the whole look lay in. The labels are read in full here: every path is another.
"""

from __future__ import annotations

import argparse
import bisect
import collections
import contextlib
import json
import os
import re
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path

from common import machine
from concview.engines.direct import DirectEngine
from concview.model import Event, Hold, Label, TaskDef, TaskWait, Wait, Work
from concview.process.discovery import describe

#: What every application does: writes one line for each request, with its own identity.
COMMON = """
import asyncio, json, os, random, sys, threading, time
LOW, HIGH = float(os.environ["LOW"]), float(os.environ["HIGH"])
log = open(os.environ["LOG"], "a", buffering=1 << 16)
def flusher():
    while True:
        time.sleep(0.2); log.flush()
threading.Thread(target=flusher, daemon=True).start()
class Noted:
    def __init__(self, path, task=False):
        self.path, self.task = path, task
    def __enter__(self):
        self.who = asyncio.current_task().get_name() if self.task else threading.get_native_id()
        self.begin = time.monotonic_ns()
    def __exit__(self, *_):
        log.write(json.dumps([os.getpid(), self.who, self.begin, time.monotonic_ns(), self.path]) + "\\n")
def pause():
    time.sleep(random.uniform(LOW, HIGH))
"""
FLASK = """
from common_app import *
from flask import Flask, request
app = Flask("app")
@app.get("/orders/<int:n>")
def order(n):
    with Noted(request.path):
        pause()
    return "ok"
@app.get("/slow/<name>/<int:n>")
def slow(name, n):
    with Noted(request.path):
        pause()
    return "ok"
"""
FASTAPI = """
from common_app import *
from fastapi import FastAPI, Request
app = FastAPI()
@app.get("/orders/{n}")
async def order(n: int, request: Request):
    with Noted(request.url.path, True):
        await asyncio.sleep(random.uniform(LOW, HIGH))
    return "ok"
@app.get("/slow/{name}/{n}")
def slow(name: str, n: int, request: Request):
    with Noted(request.url.path):
        pause()
    return "ok"
"""
HTTP = """
from common_app import *
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def do_GET(self):
        with Noted(self.path):
            pause()
        self.send_response(200); self.send_header("Content-Length", "2"); self.end_headers(); self.wfile.write(b"ok")
    def log_message(self, *args): pass
ThreadingHTTPServer.request_queue_size = 64
ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Handler).serve_forever()
"""
SQL = """
from common_app import *
import itertools, sqlite3
count = itertools.count()
def work():
    connection = sqlite3.connect(":memory:", check_same_thread=False)
    connection.execute("CREATE TABLE t (x)")
    connection.create_function("pause", 0, lambda: pause() or 1)
    for n in iter(lambda: next(count), None):
        sql = "SELECT pause() FROM (SELECT 1) WHERE 1 <> %d" % (n + 1000000)
        with Noted(sql):
            connection.execute(sql).fetchall()
for _ in range(int(sys.argv[2])):
    threading.Thread(target=work, daemon=True).start()
time.sleep(10000)
"""
DJANGO = """
from common_app import *
import django
from django.conf import settings
from django.http import HttpResponse
from django.urls import path
settings.configure(ROOT_URLCONF=__name__, ALLOWED_HOSTS=["*"], SECRET_KEY="x")
django.setup()
def order(request, n, name=""):
    with Noted(request.path):
        pause()
    return HttpResponse("ok")
urlpatterns = [path("orders/<int:n>", order), path("slow/<name>/<int:n>", order)]
from django.core.wsgi import get_wsgi_application
app = get_wsgi_application()
"""
AIOHTTP = """
from common_app import *
from aiohttp import web
async def order(request):
    with Noted(request.path, True):
        await asyncio.sleep(random.uniform(LOW, HIGH))
    return web.Response(text="ok")
app = web.Application()
app.router.add_get("/orders/{n}", order)
app.router.add_get("/slow/{name}/{n}", order)
web.run_app(app, host="127.0.0.1", port=int(sys.argv[1]), print=None)
"""
CHEROOT = (
    FLASK
    + """
from cheroot.wsgi import Server
Server(("127.0.0.1", int(sys.argv[1])), app, numthreads=int(sys.argv[2])).start()
"""
)
#: name -> (file, its source, command behind the interpreter, needs, is under load from outside)
SERVERS = {
    "http.server": ("server.py", HTTP, ["server.py", "{port}"], "http", True),
    "sqlite3": ("sql.py", SQL, ["sql.py", "{port}", "{threads}"], "sqlite3", False),
    "gunicorn gthread + Flask": (
        "app.py", FLASK,
        ["-m", "gunicorn", "-k", "gthread", "--threads", "{threads}", "-b", "127.0.0.1:{port}", "app:app"],
        "gunicorn", True,
    ),
    "gunicorn sync + Flask": (
        "app.py", FLASK, ["-m", "gunicorn", "-w", "1", "-b", "127.0.0.1:{port}", "app:app"], "gunicorn", True,
    ),
    "waitress + Flask": (
        "app.py", FLASK, ["-m", "waitress", "--threads={threads}", "--listen=127.0.0.1:{port}", "app:app"], "waitress",
        True,
    ),
    "uvicorn + FastAPI": (
        "app.py", FASTAPI, ["-m", "uvicorn", "--port", "{port}", "--log-level", "warning", "app:app"], "uvicorn", True,
    ),
    "hypercorn + FastAPI": (
        "app.py", FASTAPI, ["-m", "hypercorn", "-b", "127.0.0.1:{port}", "app:app"], "hypercorn", True,
    ),
    "granian + FastAPI": (
        "app.py", FASTAPI,
        ["-m", "granian", "--interface", "asgi", "--host", "127.0.0.1", "--port", "{port}", "app:app"], "granian", True,
    ),
    "granian + Flask": (
        "app.py", FLASK,
        ["-m", "granian", "--interface", "wsgi", "--blocking-threads", "{threads}", "--host", "127.0.0.1", "--port",
         "{port}", "app:app"], "granian", True,
    ),
    "gunicorn gthread + Django": (
        "app.py", DJANGO,
        ["-m", "gunicorn", "-k", "gthread", "--threads", "{threads}", "-b", "127.0.0.1:{port}", "app:app"],
        "gunicorn, django", True,
    ),
    "cheroot + Flask": ("app.py", CHEROOT, ["app.py", "{port}", "{threads}"], "cheroot, flask", True),
    "aiohttp": ("app.py", AIOHTTP, ["app.py", "{port}"], "aiohttp", True),
}  # fmt: skip


class Sink:
    """Keeps labels, tasks' names and the last report."""

    generation = 0

    def __init__(self) -> None:
        self.labels: list[Label | None] = [None]
        self.names: dict[int, str] = {}
        self.work: Work | None = None

    def label(self, label: Label) -> int:
        self.labels.append(label)
        return len(self.labels) - 1

    def emit(self, event: Event) -> None:
        if isinstance(event, Work):
            self.work = event
        elif isinstance(event, TaskDef):
            self.names[event.id] = event.name

    def frame(self, function: str, file: str, line: int, native: bool = False) -> int:
        return 1

    def stack(self, frames: tuple[int, ...], truncated: bool = False) -> int:
        return 1

    def wait(self, wait: Wait) -> int:
        return 1 if wait.kind == "running" else 2  # who waits is not looked at again before it has run

    def waited(self, number: int) -> Wait:
        return Wait("unknown")  # type: ignore[arg-type]

    def task_wait(self, wait: TaskWait) -> int:
        return 1

    def holds(self, holds: tuple[Hold, ...]) -> int:
        return 0

    def thread(self, tid: int, name: str, started_ns: int = 0, native: bool = False) -> None: ...

    def thread_gone(self, tid: int, at_ns: int) -> None: ...

    def tick(self, *args: object) -> None: ...


def load(port: int, clients: int, until: float) -> None:
    """Requests over connections that are kept open; every path is another."""
    numbers = iter(range(10**9))

    def client() -> None:
        with contextlib.suppress(OSError, ValueError):
            connection = None
            while time.monotonic() < until:
                n = next(numbers)
                path = f"/orders/{n}" if n % 3 else f"/slow/name{n}/{n}"
                if connection is None:
                    connection = socket.create_connection(("127.0.0.1", port), 30)
                connection.sendall(f"GET {path} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
                data = b""
                while b"\r\n\r\n" not in data:
                    part = connection.recv(65536)
                    if not part:
                        break
                    data += part
                if not data or b"onnection: close" in data:
                    connection = None
                    continue
                head, _, body = data.partition(b"\r\n\r\n")
                found = re.search(rb"(?i)content-length: (\d+)", head)
                length = int(found[1]) if found else 0
                while len(body) < length:
                    body += connection.recv(65536)

    def forever() -> None:
        while time.monotonic() < until:
            client()
            time.sleep(0.01)

    for _ in range(clients):
        threading.Thread(target=forever, daemon=True).start()
    while time.monotonic() < until:
        time.sleep(0.1)


def free_port() -> int:
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return int(s.getsockname()[1])


@contextlib.contextmanager
def server(name: str, python: str, threads: int, wait: tuple[float, float]) -> Iterator[tuple[int, Path]]:
    file, source, command, _, _ = SERVERS[name]
    port = free_port()
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "common_app.py").write_text(COMMON)
        Path(folder, file).write_text(source)
        log = Path(folder, "log")
        line = [python, *(part.format(port=port, threads=threads) for part in command)]
        environment = {**os.environ, "LOG": str(log), "LOW": str(wait[0] / 1e3), "HIGH": str(wait[1] / 1e3)}
        environment["PYTHONPATH"] = folder
        process = subprocess.Popen(
            line,
            cwd=folder,
            env=environment,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        try:
            yield port, log
        finally:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def ready(port: int) -> bool:
    for _ in range(200):
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
            return True
        time.sleep(0.1)
    return False


def main() -> None:
    if sys.argv[1:2] == ["--load"]:
        load(int(sys.argv[2]), int(sys.argv[3]), time.monotonic() + float(sys.argv[4]))
        return
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--python", default=sys.executable)
    parser.add_argument("--only")
    parser.add_argument("--seconds", type=float, default=15.0)
    parser.add_argument("--threads", type=int, default=8)
    parser.add_argument("--wait", type=float, nargs=2, default=(50.0, 300.0), metavar="MS")
    options = parser.parse_args()
    print(machine())
    print(f"{options.python}, {options.threads} threads, handlers wait {options.wait[0]:g} to {options.wait[1]:g} ms")
    for name, (_, _, _, needs, _) in SERVERS.items():
        if options.only and options.only not in name:
            continue
        if subprocess.run([options.python, "-c", f"import {needs}"], capture_output=True).returncode:
            print(f"{name}: {needs} is not installed there")
            continue
        one(name, options)


def one(name: str, options: argparse.Namespace) -> None:
    wait = (options.wait[0], options.wait[1])
    with server(name, options.python, options.threads, wait) as (port, log):
        outside = SERVERS[name][4]
        if outside and not ready(port):
            print(f"{name}: did not come up")
            return
        if outside:
            # A process of its own: it shall not keep the looks waiting for the GIL.
            again = [sys.executable, __file__, "--load", str(port), str(options.threads), str(options.seconds + 25)]
            loader = subprocess.Popen(again)
        # A server's worker may be another process than the one that was started: the program says which.
        written: list[str] = []
        for _ in range(200):
            written = log.read_text().splitlines() if log.exists() else []
            if len(written) > options.threads:
                break
            time.sleep(0.1)
        if not written:
            print(f"{name}: nothing was written down")
            return
        told, looks, cost, torn, ages = watch(int(json.loads(written[0])[0]), options.seconds)
        if outside:
            loader.kill()
            loader.wait()
        time.sleep(0.5)
        rows = [json.loads(line) for line in log.read_text().splitlines()]
    print(f"{name}: {judge(told, rows)}; {looks} looks of {cost / max(1, looks) / 1e3:.0f} µs, {torn} torn; {ages}")


#: A request lasts longer than its handler by so much: routing before it, the response behind it.
_NEAR_NS = 100_000_000
Told = tuple[int, int, dict[object, str], frozenset[object]]


def watch(pid: int, seconds: float) -> tuple[list[Told], int, int, int, str]:
    """Looks at moments between 2 and 10 ms apart: (begin, end, who -> what was told, who was there)."""
    sink, engine = Sink(), DirectEngine("full")
    told: list[Told] = []
    cost = looks = 0
    exact: collections.Counter[bool] = collections.Counter()
    engine.open(describe(pid), sink)  # type: ignore[arg-type]
    look = next(one for one in engine.looks if one.name == "labels")
    end = time.monotonic() + seconds
    try:
        while time.monotonic() < end:
            begin = time.monotonic_ns()
            engine.tick(begin)
            before = time.thread_time_ns()
            whole = look.look(time.monotonic_ns(), 50_000_000)
            cost += time.thread_time_ns() - before
            looks += 1
            if whole and sink.work is not None:
                found: dict[object, str] = {}
                for item in sink.work.items:
                    label = sink.labels[item.label]
                    assert label is not None
                    exact[bool(item.started_ns)] += 1
                    for who in (*item.threads, *(sink.names.get(t, "") for t in item.tasks)):
                        if who not in found or label.kind == "query":
                            found[who] = label.detail
                told.append((begin, time.monotonic_ns(), found, frozenset()))
            time.sleep(0.002 + 0.008 * (looks % 7) / 7)
    finally:
        engine.close()
    share = exact[True] / max(1, sum(exact.values()))
    return told, looks, cost, sink.work.torn if sink.work else 0, f"age exact of {100 * share:.0f} %"


def judge(told: list[Told], rows: list[list[object]]) -> str:
    by_who: dict[object, list[tuple[int, int, str]]] = collections.defaultdict(list)
    for _, who, begin, end, path in rows:
        by_who[who].append((int(begin), int(end), str(path)))  # type: ignore[call-overload]
    for each in by_who.values():
        each.sort()
    counts: collections.Counter[str] = collections.Counter()
    wrong: list[object] = []
    # Of tasks the names say little: they are judged by their paths, of which no two are alike.
    by_task = sorted((b, e, path) for who, spans in by_who.items() if isinstance(who, str) for b, e, path in spans)
    at = {path: (b, e) for b, e, path in by_task}
    for begin, end, found, _ in told:
        paths = set(found.values())
        for b, e, path in by_task:
            if b <= begin and end <= e:
                counts["right" if path in paths else "unknown"] += 1
        for who, said in found.items():
            if isinstance(who, str) and said in at:
                b, e = at[said]
                if begin - _NEAR_NS > e or end + _NEAR_NS < b:
                    counts["WRONG"] += 1
                    wrong.append((who, said, at[said], (begin, end)))
                elif not (b <= begin and end <= e):
                    counts["edge"] += 1
        for who, spans in by_who.items():
            if isinstance(who, str):
                continue
            i = bisect.bisect_right(spans, begin, key=lambda s: s[0]) - 1
            inside = spans[i] if i >= 0 and spans[i][0] <= begin and end <= spans[i][1] else None
            said = found.get(who)
            if inside is not None:
                kind = "unknown" if said is None else "right" if said == inside[2] else "WRONG"
                if kind == "WRONG":
                    wrong.append((who, said, inside))
                counts[kind] += 1
            elif said is not None:
                near = [s[2] for s in spans[max(0, i - 1) : i + 3]]
                counts["edge" if said in near else "not written down"] += 1
    for each in wrong[:5]:
        print("   WRONG:", each)
    total = counts["right"] + counts["unknown"] + counts["WRONG"]
    share = f", right {100 * counts['right'] / total:.2f} %" if total else ""
    return f"{dict(counts)}{share}"


if __name__ == "__main__":
    main()

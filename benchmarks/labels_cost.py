"""What labels cost beside the samples: two collectors on one target at the same moments, with labels and without.

    python benchmarks/labels_cost.py [--python PATH] [--threads 100] [--seconds 20] [--rounds 3]

The target has that many threads in the frames of a WSGI server and a framework, each in a request of its own that
lasts 50 to 300 ms; and then the same with requests that hang. Told are the CPU of both collectors by the kernel's
account, what the look itself was charged, how often it had its turn, and how many threads a turn had. The budget is
wide: what is measured is the price, not the back-off. `look`: the look alone, in milliseconds of CPU, once nothing was
known and once everything was.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from common import cpu_seconds, machine
from concview import codec
from concview.engines.direct import DirectEngine
from concview.model import Stats, Work
from concview.process.discovery import describe
from labels_truth import Sink

WARM_UP_S = 3.0
#: Frames like those of gunicorn and Flask, without them: the files' names and the functions' are what counts.
GUNICORN = """
from datetime import datetime
class ThreadWorker:
    def __init__(self, app):
        self.app = app
    def handle_request(self, req, conn):
        request_start = datetime.now()
        return self.app.wsgi_app({"REQUEST_METHOD": req.method}, req)
"""
FLASK = """
class Rule:
    rule = None
    def __init__(self, rule):
        self.rule = rule
class Request:
    def __init__(self, environ, path):
        self.environ, self.method, self.path, self.url_rule = environ, environ["REQUEST_METHOD"], path, RULE
class Context:
    def __init__(self, environ, path):
        self.request = Request(environ, path)
RULE = Rule("/orders/<int:n>")
class Flask:
    def __init__(self, view):
        self.view = view
    def wsgi_app(self, environ, req):
        ctx = Context(environ, req.path)
        return self.down(12)
    def down(self, n):
        return self.view() if n == 0 else self.down(n - 1)
"""
TARGET = """
import random, sys, threading, time
sys.path.insert(0, sys.argv[1])
from gunicorn.workers.gthread import ThreadWorker
from flask.app import Flask
threads, hang = int(sys.argv[2]), sys.argv[3] == "hang"
class Req:
    def __init__(self, n):
        self.method, self.path, self.headers = "GET", "/orders/%d" % n, []
never = threading.Event()
app = Flask(never.wait if hang else lambda: time.sleep(random.uniform(0.05, 0.3)))
def serve():
    worker, n = ThreadWorker(app), 0
    while True:
        worker.handle_request(Req(n), None)
        n += 1
for _ in range(threads - 1):
    threading.Thread(target=serve, daemon=True).start()
print("ready", flush=True)
never.wait()
"""


def target(folder: Path, python: str, threads: int, kind: str) -> subprocess.Popen[bytes]:
    library = "lib/site-packages"  # a kind asks only what is installed
    files = {f"{library}/gunicorn/workers/gthread.py": GUNICORN, f"{library}/flask/app.py": FLASK, "target.py": TARGET}
    for name, source in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(source)
    line = [python, "target.py", str(folder / library), str(threads), kind]
    process = subprocess.Popen(line, cwd=folder, stdout=subprocess.PIPE)
    assert process.stdout is not None
    process.stdout.readline()
    return process


def collectors(pid: int, seconds: float) -> dict[str, tuple[float, str]]:
    """Labels off and on, side by side: (percent of a core, what the stream says)."""
    running: dict[str, tuple[subprocess.Popen[bytes], Path]] = {}
    with tempfile.TemporaryDirectory() as folder:
        for labels in ("off", "safe"):
            out = Path(folder, labels)
            command = [sys.executable, "-m", "concview.collector", "--pid", str(pid), "--rate", "100", "--budget", "60"]
            with out.open("wb") as file:
                process = subprocess.Popen([*command, "--labels", labels], stdin=subprocess.PIPE, stdout=file)
            running[labels] = process, out
        time.sleep(WARM_UP_S)
        before = {labels: cpu_seconds(process.pid) for labels, (process, _) in running.items()}
        time.sleep(seconds)
        after = {labels: cpu_seconds(process.pid) for labels, (process, _) in running.items()}
        result = {}
        for labels, (process, out) in running.items():
            assert process.stdin is not None
            process.stdin.close()
            process.wait(20)
            result[labels] = 100 * (after[labels] - before[labels]) / seconds, said(out)
    return result


def said(path: Path) -> str:
    turns = whole = items = 0
    cpu: list[float] = []
    hz: list[float] = []
    with path.open("rb") as file:
        for events in codec.read_blocks(file):
            for event in events:
                if isinstance(event, Stats):
                    hz.append(event.achieved_hz)
                    for look in event.looks:
                        if look.name == "labels":
                            turns, whole = turns + look.turns, whole + look.complete
                            cpu.append(look.cpu_percent)
                elif isinstance(event, Work):
                    items = max(items, len(event.items))
    if not cpu:
        return f"{statistics.median(hz):.0f} Hz"
    rate, share = statistics.median(hz), statistics.median(cpu)
    return f"{rate:.0f} Hz; look {share:.2f} %, {turns} turns, {whole} whole, {items} items"


def alone(pid: int) -> str:
    """The look by itself: with nothing known, and again and again."""
    sink, engine = Sink(), DirectEngine("safe")
    engine.open(describe(pid), sink)  # type: ignore[arg-type]
    look = next(one for one in engine.looks if one.name == "labels")
    costs: list[float] = []
    try:
        for _ in range(60):
            engine.tick(time.monotonic_ns())
            before = time.thread_time_ns()
            look.look(time.monotonic_ns(), 1_000_000_000)
            costs.append((time.thread_time_ns() - before) / 1e6)
            time.sleep(0.01)
    finally:
        engine.close()
    return f"look {costs[0]:.1f} ms with nothing known, then {statistics.median(costs[5:]):.2f} ms"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--python", default=sys.executable)
    parser.add_argument("--threads", type=int, default=100)
    parser.add_argument("--seconds", type=float, default=20.0)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    print(machine())
    for kind in ("hang", "quick"):
        with tempfile.TemporaryDirectory() as folder:
            process = target(Path(folder), options.python, options.threads, kind)
            try:
                print(f"{options.threads} threads, requests that {'hang' if kind == 'hang' else 'last 50 to 300 ms'}")
                print(f"  {alone(process.pid)}")
                for _ in range(options.rounds):
                    found = collectors(process.pid, options.seconds)
                    (off, off_said), (safe, safe_said) = found["off"], found["safe"]
                    more = f"{100 * (safe - off) / off:+.0f} %" if off else ""
                    print(f"  off {off:.2f} % of a core ({off_said}); safe {safe:.2f} % ({safe_said}): {more}")
            finally:
                process.kill()
                process.wait()


if __name__ == "__main__":
    main()

"""Is a target that was watched, left and abandoned the same as one that never was? Exit code 1 when it is not.

    python benchmarks/harm.py [--cycles 20] [--kills 20] [--endings 20] [--only NAME ...] [--python 3.12 ...]

Each target works on something it can check itself, with descriptors, a signal mask and threads of its own. It is
attached to and left again `cycles` times, and in `kills` more rounds the collector, the recorder or the dashboard (in a
terminal of its own) is killed with SIGKILL at a random moment. Afterwards it must say that all its results were right,
end with its own exit code and nothing on standard error, and have the descriptors, signal mask, tracer and, where it
starts none itself, threads that it had before the first visit; its memory may have grown by 32 MB; nothing of ours may
be left: no process, no file in the folders for temporary files.

`endings` more targets of each version end while they are watched: they exit, become another program, are stopped and
continued, or are killed; each must end as it would have, and the recorder without a traceback.

CONCVIEW_PYTHONS names interpreters. Kinds that need a package get it from pip, into `--packages FOLDER` (kept) or a
temporary one; where there is none for a version, the row says so.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import pty
import random
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))

from interpreters import Interpreter, interpreters

#: What every target begins and ends with. Its last words are 'fine N', N rounds of right results.
FRAME = r"""
import hashlib, os, signal, sys, threading, time
signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGUSR2])
kept = open(os.devnull)
rounds, over = [0], threading.Event()
def right(value, expected):
    if value != expected:
        os._exit(9)
    rounds[0] += 1
def main():
    while not rounds[0]: time.sleep(0.01)
    print("ready", flush=True)
    sys.stdin.readline()
    over.set()
    print("fine", rounds[0], flush=True)
    sys.stdout.flush()
    os._exit(7)
"""

KINDS = {
    "computes": r"""
def work():
    while not over.is_set():
        right(sum(i * i for i in range(2000)), 2664667000)
for i in range(3): threading.Thread(target=work, daemon=True).start()
main()
""",
    "waits": r"""
r, w = os.pipe()
lock, condition = threading.Lock(), threading.Condition()
def writer():
    n = 0
    while not over.is_set():
        os.write(w, b"%08d" % n); n += 1; time.sleep(0.001)
def reader():
    n = 0
    while not over.is_set():
        right(os.read(r, 8), b"%08d" % n); n += 1
        with lock:
            with condition: condition.notify_all()
def sleeper():
    while not over.is_set():
        with condition: condition.wait(0.01)
for f in (writer, reader, sleeper, sleeper): threading.Thread(target=f, daemon=True).start()
main()
""",
    "forks": r"""
def work():
    n = 0
    while not over.is_set():
        n = (n + 1) % 100
        pid = os.fork()
        if not pid: os._exit(n)
        right(os.waitpid(pid, 0)[1] >> 8, n)
        time.sleep(0.005)
threading.Thread(target=work, daemon=True).start()
main()
""",
    "fork storm, exec": r"""
def work():
    while not over.is_set():
        pids = [os.posix_spawn("/bin/sh", ["sh", "-c", "exit %d" % n], {}) for n in range(8)]
        pids += [os.fork() or os._exit(8) for _ in range(4)]
        right([os.waitpid(pid, 0)[1] >> 8 for pid in pids], [*range(8), 8, 8, 8, 8])
for i in range(2): threading.Thread(target=work, daemon=True).start()
main()
""",
    "threads come and go": r"""
def work():
    while not over.is_set():
        found = []
        threads = [threading.Thread(target=lambda i=i: found.append(i)) for i in range(8)]
        for t in threads: t.start()
        for t in threads: t.join()
        right(sorted(found), list(range(8)))
threading.Thread(target=work, daemon=True).start()
main()
""",
    "deep": r"""
sys.setrecursionlimit(30000); threading.stack_size(512 << 20)
def deep(n):
    if n: return deep(n - 1) + 1
    time.sleep(0.002)
    return 0
def work():
    while not over.is_set(): right(deep(20000), 20000)
threading.Thread(target=work, daemon=True).start()
main()
""",
    "collects garbage": r"""
import gc
gc.set_threshold(50, 2, 2)
class Node: pass
def work():
    while not over.is_set():
        nodes = [Node() for _ in range(200)]
        for a, b in zip(nodes, nodes[1:] + nodes[:1]): a.next, a.value = b, 1
        right(sum(n.next.value for n in nodes), 200)
threading.Thread(target=work, daemon=True).start()
main()
""",
    "asyncio": r"""
import asyncio
async def client(lock, n):
    while not over.is_set():
        async with lock: await asyncio.sleep(0)
        right(await asyncio.gather(*(asyncio.sleep(0.001, i) for i in range(5))), list(range(5)))
async def service():
    lock = asyncio.Lock()
    await asyncio.gather(*(client(lock, i) for i in range(20)))
threading.Thread(target=lambda: asyncio.run(service()), daemon=True).start()
main()
""",
    "2,000 threads": r"""
threading.stack_size(256 << 10)
def work(n):
    while not over.wait(2.0 + n / 1000): right(n * n // max(1, n), n)
for n in range(2000): threading.Thread(target=work, args=(n,), daemon=True).start()
main()
""",
    "multiprocessing tree": r"""
import multiprocessing
def square(n): return n * n
def work(pool):
    while not over.is_set(): right(pool.map(square, range(50)), [n * n for n in range(50)])
if __name__ == "__main__":
    pool = multiprocessing.get_context("fork").Pool(3)
    threading.Thread(target=work, args=(pool,), daemon=True).start()
    _end = os._exit
    def end(code): pool.terminate(); _end(code)
    os._exit = end
    main()
""",
    "subinterpreters": r"""
from concurrent.futures import InterpreterPoolExecutor
def work(pool):
    while not over.is_set(): right(list(pool.map(abs, range(-20, 0))), list(range(20, 0, -1)))
threading.Thread(target=work, args=(InterpreterPoolExecutor(4),), daemon=True).start()
main()
""",
    "numpy": r"""
import numpy
a = numpy.arange(90000.0).reshape(300, 300) % 7
b = a @ a
def work():
    while not over.is_set(): right(bool((a @ a == b).all()), True)
for i in range(2): threading.Thread(target=work, daemon=True).start()
main()
""",
    "gevent": r"""
def serve():
    import gevent, gevent.lock
    lock, total = gevent.lock.BoundedSemaphore(1), [0]
    def client(n):
        while not over.is_set():
            with lock:
                before = total[0]; gevent.sleep(0); total[0] = before + 1
                right(total[0], before + 1)
            gevent.sleep(0.001)
    gevent.joinall([gevent.spawn(client, n) for n in range(50)])
threading.Thread(target=serve, daemon=True).start()
main()
""",
    "uvloop": r"""
import asyncio, uvloop
async def echo(reader, writer):
    while data := await reader.read(64): writer.write(data); await writer.drain()
async def client(port):
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    while not over.is_set():
        writer.write(b"x" * 64); right(await reader.readexactly(64), b"x" * 64)
async def service():
    server = await asyncio.start_server(echo, "127.0.0.1", 0)
    await asyncio.gather(*(client(server.sockets[0].getsockname()[1]) for _ in range(10)))
threading.Thread(target=lambda: uvloop.new_event_loop().run_until_complete(service()), daemon=True).start()
time.sleep(0.5)
main()
""",
}  # fmt: skip

#: What a kind needs from pip.
PACKAGES = {"numpy": "numpy", "gevent": "gevent", "uvloop": "uvloop"}
#: Kinds that start no threads and no descriptors after the first moment: what they have then stays.
STEADY = frozenset({"computes", "waits", "deep", "collects garbage", "asyncio", "2,000 threads", "numpy", "gevent"})
#: Bytes by which a target that runs for minutes may grow; what we would leave in it grows with every visit.
MAX_GROWTH = 32 << 20
#: How a target ends under our eyes: what its main thread does a random time after 'ready'.
ENDINGS = {
    "exits": "os._exit(7)",
    "raises": "sys.stderr.close(); raise SystemExit(7)",
    "becomes another": "os.execv('/bin/sh', ['sh', '-c', 'exit 7'])",
    "is stopped": "os.kill(os.getpid(), signal.SIGSTOP); os._exit(7)",
    "is killed": "os.kill(os.getpid(), signal.SIGKILL)",
    "forks and exits": "os.fork() and os._exit(7); time.sleep(0.2); os._exit(0)",
}
ENDING = r"""
import os, random, signal, sys, threading, time
def work():
    while True: sum(i * i for i in range(2000))
for i in range(2): threading.Thread(target=work, daemon=True).start()
print("ready", flush=True)
sys.stdin.readline()
time.sleep(random.uniform(0.0, 1.5))
"""


def state(pid: int, steady: bool) -> dict[str, object]:
    """What must be as it was: descriptors, signal masks, who traces it; threads where it starts none itself."""
    found: dict[str, object] = {}
    descriptors = Path(f"/proc/{pid}/fd").iterdir()
    with contextlib.suppress(FileNotFoundError):  # its own come and go
        found["descriptors"] = sorted(str(d.readlink()).split(":")[0] for d in descriptors)
    names = {"SigBlk", "SigIgn", "SigCgt", "TracerPid", "Seccomp", "NoNewPrivs"} | ({"Threads"} if steady else set())
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        name, _, value = line.partition(":")
        if name in names:
            found[name] = value.strip()
    if not steady:
        found.pop("descriptors", None)
    return found


def memory(pid: int) -> int:
    """Bytes of memory of its own."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next((int(line.split()[1]) << 10 for line in lines if line.startswith("RssAnon")), 0)


def ours(token: str) -> list[int]:
    """Processes that we started, by their environment."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with contextlib.suppress(OSError):
                if f"HARM={token}".encode() in (entry / "environ").read_bytes().split(b"\0"):
                    found.append(int(entry.name))
    return found


def left_behind(folder: Path) -> set[str]:
    """What lies in the folder that visitors and target have for temporary files."""
    return {p.name for p in folder.iterdir()} - {"r"}


def surroundings(folder: Path, token: str) -> dict[str, str]:
    own = {"HARM": token, "TMPDIR": str(folder), "XDG_RUNTIME_DIR": str(folder), "TERM": "xterm-256color"}
    return {**os.environ, **own}


def recorder(pid: int, folder: Path, *more: str) -> list[str]:
    to = ("-o", str(folder / "r"), "--force", "--rate", "500")
    return [sys.executable, "-m", "concview", "record", str(pid), *to, *more]


def visit(pid: int, folder: Path, token: str, kind: str) -> str:
    """One attach and detach; '' or what was wrong."""
    more = ("--tree",) if "tree" in kind else ()
    done = subprocess.run(
        recorder(pid, folder, "--duration", "0.3", *more),
        env=surroundings(folder, token),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        timeout=120,
    )
    if done.returncode:
        return f"record ended with {done.returncode}: {done.stderr.strip().splitlines()[:1]}"
    return gone(token)


def killed(pid: int, folder: Path, token: str, dashboard: bool) -> str:
    """One visit that is killed in the middle; '' or what was wrong."""
    here, there = pty.openpty()
    command = [sys.executable, "-m", "concview", "attach", str(pid)] if dashboard else recorder(pid, folder)
    with subprocess.Popen(
        command, env=surroundings(folder, token), stdin=there, stdout=there, stderr=there, start_new_session=True
    ) as process:
        os.close(there)
        until = time.monotonic() + random.uniform(0.1, 3.0 if dashboard else 1.2)
        os.set_blocking(here, False)
        while time.monotonic() < until:  # a terminal that nobody reads would hold it up
            with contextlib.suppress(OSError):
                os.read(here, 1 << 16)
            time.sleep(0.01)
        victims = ours(token)
        with contextlib.suppress(ProcessLookupError):
            os.kill(random.choice(victims) if victims else process.pid, signal.SIGKILL)
        time.sleep(random.uniform(0.0, 0.1))
        process.terminate()
        while process.poll() is None:
            with contextlib.suppress(OSError):
                os.read(here, 1 << 16)
            time.sleep(0.01)
    os.close(here)
    return gone(token)


def gone(token: str) -> str:
    """'' once nothing of ours runs any more."""
    deadline = time.monotonic() + 30
    while ours(token):
        if time.monotonic() > deadline:
            return f"still running after 30 s: {ours(token)}"
        time.sleep(0.02)
    return ""


def packages(python: Interpreter, kind: str, folder: Path) -> str | None:
    """Where the kind's package lies for this version; '' it needs none; None: there is none."""
    if kind not in PACKAGES:
        return ""
    place = folder / python.label / PACKAGES[kind]
    if not place.exists():
        command = [sys.executable, "-m", "pip", "install", "-q", "--disable-pip-version-check", "--target", str(place)]
        version = f"{python.version[0]}.{python.version[1]}"
        command += ["--python-version", version, "--only-binary", ":all:", PACKAGES[kind]]
        if python.free_threaded or subprocess.run(command, stderr=subprocess.DEVNULL).returncode:
            return None
    return str(place)


def campaign(python: Interpreter, kind: str, cycles: int, kills: int, folder: Path) -> bool:
    """One row; whether the target is as it would be without us."""
    site = packages(python, kind, folder)
    if site is None or (kind == "subinterpreters" and python.version < (3, 14)):
        print(f"{python.label:6} {kind:20} not for this version", flush=True)
        return True
    wrong: list[str] = []
    token = f"{os.getpid()}-{random.random()}"
    steady, growth = kind in STEADY, 0
    with (
        tempfile.TemporaryDirectory() as name,
        subprocess.Popen(
            [python.path, "-W", "ignore", "-c", FRAME + KINDS[kind]],
            env={**os.environ, "TMPDIR": name, **({"PYTHONPATH": site} if site else {})},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        ) as target,
    ):
        assert target.stdin is not None and target.stdout is not None and target.stderr is not None
        if target.stdout.readline() != "ready\n":
            why = target.stderr.read().strip().splitlines()[-1:]
            print(f"{python.label:6} {kind:20} cannot run: {why}", flush=True)
            return False
        before = state(target.pid, steady)
        began = 0
        for number in range(cycles + kills):
            if number < cycles:
                complaint = visit(target.pid, Path(name), token, kind)
            else:
                complaint = killed(target.pid, Path(name), token, number % 3 == 0)
            if complaint:
                wrong.append(complaint)
            if target.poll() is not None:
                break
            began = began or memory(target.pid)  # after the first visit: it has reached its size by then
        if target.poll() is None:
            if (after := state(target.pid, steady)) != before:
                wrong.append(f"changed: {[(k, before[k], after[k]) for k in before if before[k] != after.get(k)]}")
            growth = memory(target.pid) - began
            if growth > MAX_GROWTH:
                wrong.append(f"grew by {growth >> 20} MB")
        with contextlib.suppress(BrokenPipeError):
            target.stdin.write("\n")
            target.stdin.flush()
        said = target.stdout.read()
        errors, code = target.stderr.read(), target.wait(60)
        if left := left_behind(Path(name)):
            wrong.append(f"left behind: {sorted(left)[:3]}")
        word, _, rounds = said.strip().partition(" ")
        if code != 7 or word != "fine" or int(rounds or 0) < 1 or errors:
            wrong.append(f"ended with {code}, said {said!r} and {errors[-200:]!r}")
    print(
        f"{python.label:6} {kind:20} {cycles:5} visits {kills:5} kills {int(rounds or 0):9} right results "
        f"{growth / (1 << 20):+6.1f} MB  "
        f"{'as without us' if not wrong else 'HARMED: ' + '; '.join(sorted(set(wrong)))}",
        flush=True,
    )
    return not wrong


def ending(python: Interpreter, way: str) -> str:
    """A target that ends while it is watched; '' or what was wrong."""
    token = f"{os.getpid()}-{random.random()}"
    with (
        tempfile.TemporaryDirectory() as name,
        subprocess.Popen(
            [python.path, "-W", "ignore", "-c", ENDING + ENDINGS[way]],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        ) as target,
    ):
        assert target.stdin is not None and target.stdout is not None and target.stderr is not None
        target.stdout.readline()
        with subprocess.Popen(
            recorder(target.pid, Path(name), "--duration", "4"),
            env=surroundings(Path(name), token),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        ) as process:
            time.sleep(random.uniform(0.0, 1.0))
            target.stdin.write("\n")
            target.stdin.flush()
            while target.poll() is None:
                if Path(f"/proc/{target.pid}/stat").read_text().rpartition(")")[2].split()[0] == "T":
                    time.sleep(0.3)
                    target.send_signal(signal.SIGCONT)
                time.sleep(0.02)
            said = process.communicate(timeout=60)[1]
        code, errors = target.wait(), target.stderr.read()
        wrong = gone(token)
        if code != (-signal.SIGKILL if way == "is killed" else 7) or errors:
            wrong += f"{way}: ended with {code} and {errors[-200:]!r}; "
        if process.returncode not in (0, 4) or "Traceback" in said:
            wrong += f"{way}: record ended with {process.returncode}: {said[-300:]!r}; "
    return wrong


def endings(python: Interpreter, number: int) -> bool:
    ways = list(ENDINGS)
    wrong = list(filter(None, (ending(python, ways[i % len(ways)]) for i in range(number))))
    print(
        f"{python.label:6} {'ends while watched':20} {number:5} targets  "
        f"{'each as without us' if not wrong else f'{len(wrong)} NOT: ' + ' '.join(sorted(set(wrong))[:3])}",
        flush=True,
    )
    return not wrong


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cycles", type=int, default=20)
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--endings", type=int, default=6)
    parser.add_argument("--packages", type=Path, help="folder for packages, kept; else a temporary one")
    parser.add_argument("--only", nargs="*", choices=list(KINDS), default=list(KINDS))
    parser.add_argument("--python", nargs="*", default=[], help="labels, as 3.12")
    options = parser.parse_args()
    chosen = [p for p in interpreters() if not options.python or p.label in options.python]
    with tempfile.TemporaryDirectory() as name:
        folder = options.packages or Path(name)
        fine = [campaign(p, kind, options.cycles, options.kills, folder) for p in chosen for kind in options.only]
        fine += [endings(p, options.endings) for p in chosen if options.endings]
    print(f"{sum(fine)} of {len(fine)} targets as without us")
    return 0 if all(fine) else 1


if __name__ == "__main__":
    sys.exit(main())

"""Is a target that was watched, left and abandoned the same as one that never was? Exit code 1 when it is not.

    python benchmarks/harm.py [--cycles 20] [--kills 20] [--only NAME ...] [--python 3.12 ...]

Each target works on something it can check itself, with descriptors, a signal mask and threads of its own. It is
attached to and left again `cycles` times, and in `kills` more rounds the collector, or the program that started it, is
killed with SIGKILL at a random moment. Afterwards it must say that all its results were right, end with its own exit
code and nothing on standard error, and have the descriptors, signal mask and tracer that it had before the first
visit; nothing of ours may be left: no process, no file in the folders for temporary files. CONCVIEW_PYTHONS names
interpreters.
"""

from __future__ import annotations

import argparse
import contextlib
import os
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
    while not over.is_set(): right(deep(5000), 5000)
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
}  # fmt: skip


def state(pid: int) -> dict[str, object]:
    """What must be as it was: descriptors, signal masks, who traces it."""
    found: dict[str, object] = {}
    descriptors = Path(f"/proc/{pid}/fd").iterdir()
    found["descriptors"] = sorted(str(d.readlink()).split(":")[0] for d in descriptors)
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        name, _, value = line.partition(":")
        if name in ("SigBlk", "SigIgn", "SigCgt", "TracerPid", "Seccomp", "NoNewPrivs"):
            found[name] = value.strip()
    return found


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


def visit(pid: int, folder: Path, token: str, kill: bool) -> str:
    """One attach and detach, or one that is killed in the middle; '' or what was wrong."""
    command = [
        sys.executable,
        "-m",
        "concview",
        "record",
        str(pid),
        "-o",
        str(folder / "r"),
        "--force",
        "--rate",
        "500",
    ]
    environment = {**os.environ, "HARM": token, "TMPDIR": str(folder), "XDG_RUNTIME_DIR": str(folder)}
    process = subprocess.Popen(
        [*command, *([] if kill else ["--duration", "0.3"])],
        env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    if kill:
        time.sleep(random.uniform(0.1, 1.2))
        victims = ours(token)
        with contextlib.suppress(ProcessLookupError):
            os.kill(random.choice(victims) if victims else process.pid, signal.SIGKILL)
        time.sleep(random.uniform(0.0, 0.1))
        process.terminate()
    said = process.communicate(timeout=120)[1]
    if not kill and process.returncode:
        return f"record ended with {process.returncode}: {said.strip().splitlines()[:1]}"
    deadline = time.monotonic() + 30
    while ours(token):
        if time.monotonic() > deadline:
            return f"still running after 30 s: {ours(token)}"
        time.sleep(0.02)
    return ""


def campaign(python: Interpreter, kind: str, cycles: int, kills: int) -> bool:
    """One row; whether the target is as it would be without us."""
    wrong: list[str] = []
    token = f"{os.getpid()}-{random.random()}"
    with tempfile.TemporaryDirectory() as name, subprocess.Popen(
        [python.path, "-W", "ignore", "-c", FRAME + KINDS[kind]],
        env={**os.environ, "TMPDIR": name},
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    ) as target:  # fmt: skip
        assert target.stdin is not None and target.stdout is not None and target.stderr is not None
        assert target.stdout.readline() == "ready\n"
        before = state(target.pid)
        for number in range(cycles + kills):
            if complaint := visit(target.pid, Path(name), token, number >= cycles):
                wrong.append(complaint)
            if target.poll() is not None:
                break
        if target.poll() is None and (after := state(target.pid)) != before:
            wrong.append(f"changed: {[(k, before[k], after[k]) for k in before if before[k] != after[k]]}")
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
        f"{python.label:6} {kind:20} {cycles:5} visits {kills:5} kills {int(rounds or 0):9} right results  "
        f"{'as without us' if not wrong else 'HARMED: ' + '; '.join(sorted(set(wrong)))}",
        flush=True,
    )
    return not wrong


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cycles", type=int, default=20)
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--only", nargs="*", choices=list(KINDS), default=list(KINDS))
    parser.add_argument("--python", nargs="*", default=[], help="labels, as 3.12")
    options = parser.parse_args()
    chosen = [p for p in interpreters() if not options.python or p.label in options.python]
    fine = [campaign(p, kind, options.cycles, options.kills) for p in chosen for kind in options.only]
    print(f"{sum(fine)} of {len(fine)} targets as without us")
    return 0 if all(fine) else 1


if __name__ == "__main__":
    sys.exit(main())

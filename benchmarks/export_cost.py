"""What exporting costs: a recording of many threads to every format, and what reading it took an older build.

    python benchmarks/export_cost.py [FILE] [--threads 100] [--minutes 10] [--rate 100] [--change 0.05] [--keep FILE]
        [--format NAME ...] [--against e540318 | none] [--theirs FILE]

Without FILE a recording is made up: workers in groups of five run, wait for their group's lock and hold it, do I/O,
sleep, each on 40 stacks of its own group; at every sample a thread goes on to something else with the probability
`--change` (a service with 100 threads was seen to have 0.25, one that mostly waits 0.01). Every export runs in a
process of its own; CPU seconds and the most memory it had are printed, as shares of the recording's duration and of
300 MB. Then, of the same file: reading it into who did what for how long, by this build (`Samples`) and by the
build of `--against` out of this repository (its way was to decode all events and apply them to a `History`), one
after the other, three times each; and `check FILE` of both. An older build does not read what this one writes: with
`--theirs` it reads what it wrote itself of the same target at the same time. Nothing here is asserted.
"""

from __future__ import annotations

import argparse
import io
import json
import os
import random
import statistics
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path

from common import machine, row
from concview import codec, registry
from concview.model import (
    CAPABILITIES,
    Bye,
    Capability,
    Confidence,
    Counters,
    Event,
    Frame,
    FrameDef,
    Hello,
    Hold,
    HoldsDef,
    Peer,
    Site,
    StackDef,
    Stats,
    Target,
    ThreadCounters,
    ThreadDef,
    Tick,
    Wait,
    WaitDef,
    WaitKind,
)

ROOT = Path(__file__).resolve().parents[1]
GROUP = 5  #: threads that share a lock
STACKS = 2_000  #: in all
OWN_STACKS = 40  #: of a group
BUDGET_SHARE, BUDGET_MB = 0.05, 300
#: A stream of the first version: both builds read it.
VERSION = 1
RUNNING, GIL, IO, SLEEP, LOCK = 1, 2, 3, 4, 5

EXPORT = """
import json, resource, sys
from concview.__main__ import main
sys.argv[0] = "concview"
code = main()
used = resource.getrusage(resource.RUSAGE_SELF)
json.dump({"cpu": used.ru_utime + used.ru_stime, "mb": used.ru_maxrss / 1024, "code": code}, sys.stdout)
"""
NEW = """
import json, sys, time
from pathlib import Path
from concview.session.recording import Recording
start = time.process_time()
total = 0
for pieces in Recording(Path(sys.argv[1])).samples():
    for thread, begin, end, *_ in pieces:
        total += end - begin
json.dump({"cpu": time.process_time() - start, "seconds": total / 1e9}, sys.stdout)
"""
OLD = """
import json, sys, time
from concview import codec
from concview.analysis.history import History
start = time.process_time()
history, total = History(), 0
with open(sys.argv[1], "rb") as file:
    for block in codec.read_blocks(file):
        for event in block:
            history.apply(event)
json.dump({"cpu": time.process_time() - start, "seconds": (history.now_ns - history.first_ns) / 1e9}, sys.stdout)
"""
#: What the old build's commands did with a file: `check` reads it through a session with rules.
CHECK = """
import json, resource, sys
from concview.__main__ import main
sys.argv = ["concview", "check", sys.argv[1], "--fail-on", "never"]
sys.stdout = open("/dev/null", "w")
main()
used = resource.getrusage(resource.RUSAGE_SELF)
json.dump({"cpu": used.ru_utime + used.ru_stime}, sys.__stdout__)
"""


def make_up(path: Path, threads: int, seconds: float, rate: float, change: float) -> None:
    chance = random.Random(3)
    frames = 1_500
    groups = max(1, threads // GROUP)
    start, dt = 1_000_000_000, int(1e9 / rate)
    # All that the rules ask for, so that those formats that judge have to do all of it.
    capable = {name: Capability(True) for name in CAPABILITIES if name not in ("agent", "calls")}
    command = ("/usr/bin/python3", "/srv/app/service.py")
    target = Target(4242, "3.13.0", command, 1_700_000_000.0)
    head: list[Event] = [Hello(VERSION, "0", target, "direct", rate, 5, start, 1_700_000_100.0, capable)]
    head += [
        FrameDef(i + 1, Frame(f"Module{i % 37}.function_{i}", f"/srv/app/pkg/mod{i % 37}.py", i % 400 + 1))
        for i in range(frames)
    ]
    head += [
        StackDef(i + 1, tuple(chance.randint(1, frames) for _ in range(chance.randint(8, 30)))) for i in range(STACKS)
    ]
    head += [
        WaitDef(RUNNING, Wait(WaitKind.RUNNING)),
        WaitDef(GIL, Wait(WaitKind.GIL)),
        WaitDef(IO, Wait(WaitKind.IO, "recvfrom", 5, Peer("tcp", "127.0.0.1:5432"))),
        WaitDef(SLEEP, Wait(WaitKind.SLEEP)),
    ]
    for g in range(groups):
        site = Site(f"self._locks[{g}]", "/srv/app/cache.py", 41 + g, "Cache.get", f"cache.py::Cache{g}")
        head.append(WaitDef(LOCK + g, Wait(WaitKind.FUTEX, lock=0x1000 + g, lock_kind="Lock")))
        head.append(HoldsDef(g + 1, (Hold(0x1000 + g, "Lock", site, Confidence.EXACT),)))
    tids = [5_000 + i for i in range(threads)]
    head += [ThreadDef(t, f"worker-{i}") for i, t in enumerate(tids)]
    holders = [-1] * groups
    waiting = [False] * threads
    running: dict[int, None] = {}
    with path.open("wb") as out:
        out.write(codec.MAGIC + codec.encode_block(head))
        block: list[Event] = []
        at = start
        for n in range(int(seconds * rate)):
            at += dt
            rows: list[int] = []
            for i in range(threads):
                if n and chance.random() >= change:
                    continue
                g = i % groups
                if waiting[i] and holders[g] >= 0:
                    continue  # until it is let go
                held = 0
                if holders[g] == i:
                    holders[g] = -1
                stack = min(int(chance.expovariate(0.15)), OWN_STACKS - 1)  # some far more often than others
                what = (RUNNING, LOCK, IO, GIL, SLEEP)[stack % 5]
                waiting[i] = False
                if what == LOCK:
                    if holders[g] < 0:
                        holders[g], held, what = i, g + 1, IO
                    else:
                        what, waiting[i] = LOCK + g, True
                running.pop(i, None)
                if what == RUNNING:
                    running[i] = None
                rows += (tids[i], (g * OWN_STACKS + stack) % STACKS + 1, what, held)
            gil = tids[chance.choice(list(running))] if running else 0
            block.append(Tick(at, dt, gil, False, tuple(rows)))
            if n % max(1, int(rate / 5)) == 0:
                rows_of = tuple(ThreadCounters(t, n * 10**6, n * 10**4, n, n) for t in tids)
                block.append(Counters(at, n / 100, n / 500, 10**8 + n, 20, threads, rows_of))
            if n % int(rate) == int(rate) - 1:
                block.append(Stats(at, n + 1, 0, 0, 0, 0, rate, rate, 1.0))
                out.write(codec.encode_block(block))
                block = []
        out.write(codec.encode_block([*block, Bye(at, "stopped")]))


def run(program: str, *words: object, path: Path | None = None) -> dict[str, float]:
    environment = {**os.environ, "PYTHONPATH": str(path or ROOT / "src")}
    done = subprocess.run(
        [sys.executable, "-c", program, *map(str, words)], capture_output=True, text=True, env=environment
    )
    try:
        found: dict[str, float] = json.loads(done.stdout)
    except ValueError:
        raise SystemExit(f"failed: {done.stdout[-500:]} {done.stderr[-2000:]}") from None
    return found


def exports(file: Path, formats: list[str], seconds: float, folder: Path) -> None:
    row("format", "CPU s", "of duration", "most MB", "of 300 MB", "size MB")
    for name in formats:
        out = folder / f"out.{name}"
        cost = run(EXPORT, "export", file, "-o", out, "--format", name)
        parts = [out] if out.is_file() else list(out.rglob("*"))
        size = sum(p.stat().st_size for p in parts if p.is_file()) / 1e6
        share = cost["cpu"] / seconds
        late = " !" if share > BUDGET_SHARE or cost["mb"] > BUDGET_MB else ""
        row(
            name,
            f"{cost['cpu']:.1f}",
            f"{share * 100:.1f} %",
            f"{cost['mb']:.0f}",
            f"{cost['mb'] / BUDGET_MB * 100:.0f} %",
            f"{size:.1f}{late}",
        )
        for part in parts:
            if part.is_file():
                part.unlink()


def against(file: Path, commit: str, folder: Path, theirs: Path) -> None:
    archive = subprocess.run(["git", "-C", str(ROOT), "archive", commit, "src"], capture_output=True)
    if archive.returncode:
        print(f"no commit {commit} here: reading is not compared")
        return
    with tarfile.open(fileobj=io.BytesIO(archive.stdout)) as content:
        content.extractall(folder / "old", filter="data")
    old = folder / "old" / "src"
    new_s, old_s = [], []
    for _ in range(3):
        new_s.append(run(NEW, file)["cpu"])
        old_s.append(run(OLD, theirs, path=old)["cpu"])
    check, check_now = run(CHECK, theirs, path=old)["cpu"], run(CHECK, file)["cpu"]
    new, before = statistics.median(new_s), statistics.median(old_s)
    print()
    row("reading", "CPU s", "times")
    row("Samples, this build", f"{new:.2f}", "1.0")
    row(f"events and History, {commit}", f"{before:.2f}", f"{before / new:.1f}")
    row("check FILE, this build", f"{check_now:.2f}", "1.0")
    row(f"check FILE, {commit}", f"{check:.2f}", f"{check / check_now:.1f}")
    print(machine())


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("file", nargs="?", type=Path)
    parser.add_argument("--threads", type=int, default=100)
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--rate", type=float, default=100)
    parser.add_argument("--change", type=float, default=0.05)
    parser.add_argument("--keep", type=Path, help="keep the recording that was made up here")
    parser.add_argument("--format", action="append", choices=registry.names("concview.exporters"))
    parser.add_argument("--against", default="e540318", metavar="COMMIT")
    parser.add_argument("--theirs", type=Path, help="with FILE: what the build of --against wrote of the same target")
    options = parser.parse_args()
    counted = {"pstat", "callgrind"}  # made of counted calls, which such a recording does not hold
    formats = options.format or [n for n in registry.names("concview.exporters") if n not in counted]
    print(machine())
    with tempfile.TemporaryDirectory(prefix="concview-") as name:
        folder = Path(name)
        file = options.file
        if file is None:
            file = options.keep or folder / "recording"
            make_up(file, options.threads, options.minutes * 60, options.rate, options.change)
        read = run(NEW, file)
        seconds = options.minutes * 60
        if options.file is not None:
            seconds = run(
                "import json,sys\nfrom pathlib import Path\nfrom concview.session.recording import Recording\n"
                "s=Recording(Path(sys.argv[1])).samples()\nfor _ in s: pass\njson.dump({'s': s.seconds}, sys.stdout)",
                file,
            )["s"]
        print(
            f"{file.stat().st_size / 1e6:.1f} MB, {seconds:.0f} s; {read['seconds']:.0f} thread-seconds, read in "
            f"{read['cpu']:.1f} s of CPU"
        )
        exports(file, formats, seconds, folder)
        if options.against != "none":
            against(file, options.against, folder, options.theirs or file)


if __name__ == "__main__":
    main()

"""What each rule costs: recordings played through history and rules, timed by CPU.

    python benchmarks/rule_cost.py [FILE ...] [--seconds 20] [--threads 100] [--again 3]

Without files, a target with many threads and three demos are recorded first. What several rules share is computed
beforehand and has lines of its own. Prints milliseconds of CPU a judgement (mean, max) for every rule that could
judge, as often as the session does it: each second of the stream once the window is full. Below it what the session
does besides, per second of the stream. Nothing here is asserted.
"""

from __future__ import annotations

import argparse
import re
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from common import TARGET, find, machine, row, target
from concview import codec, registry
from concview.analysis.graph import chains
from concview.analysis.history import History
from concview.analysis.replay_buffer import ReplayBuffer
from concview.analysis.window import WINDOW_NS, Window
from concview.catalogue.base import Inapplicable, Rule
from concview.catalogue.judge import Judge
from concview.model import AnyEvent
from concview.session.compose import Composer
from concview.session.session import SNAPSHOT_NS, STEP_NS

DEMOS = ("straggler", "connection-starvation", "lock-held-across-io")
#: What rules share, computed before they are timed.
SHARED: dict[str, Callable[[Window], object]] = {
    "slices": lambda w: [t.slices for t in (*w.threads, *w.native_threads)],
    "wait profiles": lambda w: [t.wait_profiles for t in (*w.threads, *w.native_threads)],
    "time by state": lambda w: [t.shares for t in (*w.threads, *w.native_threads)],
    "locks": lambda w: w.locks,
    "graph": lambda w: chains(w.edges),
    "queues": lambda w: w.queues,
    "ticks": lambda w: (w.gil_ticks, w.buckets, w.samples, w.capabilities),
}


class Costs:
    """Milliseconds by name."""

    def __init__(self) -> None:
        self.each: dict[str, list[float]] = defaultdict(list)

    @contextmanager
    def of(self, name: str) -> Iterator[None]:
        start = time.thread_time()
        try:
            yield
        finally:
            self.each[name].append((time.thread_time() - start) * 1000)


def events_of(path: Path) -> Iterator[AnyEvent]:
    with path.open("rb") as file:
        for block in codec.read_blocks(file):
            yield from block


def judge(path: Path, rules: dict[str, Rule], costs: Costs, session: Costs) -> None:
    """One recording, as a session plays it."""
    history, buffer, whole, composer = History(), ReplayBuffer(), Judge(rules), Composer(live=False)
    judged = composed = 0
    window = None
    seconds = spent = 0.0
    for event in events_of(path):
        start = time.thread_time()
        history.apply(event)
        applied = time.thread_time()
        buffer.add(event, history)
        session.each["buffer"].append((time.thread_time() - applied) * 1000)
        spent += applied - start
        now = history.now_ns
        if now - history.first_ns < WINDOW_NS:
            continue
        if now - judged >= STEP_NS:
            judged = now
            window = Window(history)
            for name, share in SHARED.items():
                with costs.of(f"({name})"):
                    share(window)
            for rule in rules.values():
                if all(window.can(name) for name in rule.needs):
                    with costs.of(rule.id):
                        _observe(rule, window)
            judgement = whole.evaluate(window)
            seconds += 1
        if window is not None and now - composed >= SNAPSHOT_NS:
            composed = now
            with session.of("snapshots"):
                composer.compose(history, window, judgement, False)
    session.each["history"].append(spent * 1000)
    session.each["seconds"].append((history.now_ns - history.first_ns) / 1e9)
    session.each["judged seconds"].append(seconds)


def _observe(rule: Rule, window: Window) -> None:
    with suppress(Inapplicable):
        list(rule.observe(window))


def report(path: Path, rules: dict[str, Rule], again: int) -> None:
    costs, session = Costs(), Costs()
    for _ in range(again):
        judge(path, rules, costs, session)
    print(f"\n{path.name}")
    if not costs.each:
        print(f"  shorter than a window ({WINDOW_NS / 1e9:g} s): nothing to time")
        return
    row("CPU of a judgement", "mean ms", "max ms")
    total = 0.0
    for name, took in sorted(costs.each.items(), key=lambda item: -sum(item[1])):
        mean = sum(took) / len(took)
        total += mean
        row(name, f"{mean:.2f}", f"{max(took):.2f}")
    row("all of it", f"{total:.2f}")
    seconds, judged = sum(session.each.pop("seconds")), sum(session.each.pop("judged seconds"))
    row("a second of the stream", "ms")
    for name, took in session.each.items():
        row(name, f"{sum(took) / (seconds if name in ('buffer', 'history') else judged or 1):.2f}")


def record(pid: int, file: Path, seconds: float) -> Path:
    command = [sys.executable, "-m", "concview", "record", str(pid), "-o", str(file), "--duration", str(seconds)]
    subprocess.run(command, stderr=subprocess.DEVNULL, check=True)
    return file


def recorded(folder: Path, threads: int, seconds: float) -> Iterator[Path]:
    python = find((3, 13)) or find((3, 12)) or find((3, 11))
    assert python is not None
    with target(python.path, TARGET, threads, 20, 1) as process:
        yield record(process.pid, folder / f"{threads} threads", seconds)
    for demo in DEMOS:
        command = [sys.executable, "-m", "concview", "demo", demo, "--headless"]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout is not None
            said = re.search(r"\d+", process.stdout.readline())
            assert said is not None
            yield record(int(said[0]), folder / demo, seconds)
            process.terminate()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("files", nargs="*", type=Path)
    parser.add_argument("--seconds", type=float, default=20.0)
    parser.add_argument("--threads", type=int, default=100)
    parser.add_argument("--again", type=int, default=3, help="play every recording so often")
    options = parser.parse_args()
    rules = {rule.id: rule for rule in registry.everything("concview.catalogue.rules", "RULE").values()}
    print(machine())
    with tempfile.TemporaryDirectory() as folder:
        for path in options.files or recorded(Path(folder), options.threads, options.seconds):
            report(path, rules, options.again)


if __name__ == "__main__":
    main()

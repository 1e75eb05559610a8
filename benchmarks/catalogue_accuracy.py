"""What the rules find and what they invent: every rule on every demo and on healthy programs, on every Python found.

    python benchmarks/catalogue_accuracy.py [--python 3.13] [--only gil-convoy pool_io] [--seconds 12] [--jobs 1]

A demo's `bad` must be named by its own rule (recall; the time until then is the stream's) and by no unrelated rule as
a warning; its `fixed`, and every healthy program, by none. All rules watch all the time, so each row is a row of the
confusion table. Rules, demos and programs are found by registry: tests/healthy, and benchmarks/healthy for those that
need packages of others (as some in benchmarks/unseen do), which are installed with the command that is printed when
they are missing. Programs whose
cause is known are in benchmarks/cases (no single rule is about them; `--only case`) and benchmarks/unseen (written by
somebody who had not read the rules; `--only unseen`): of them, what is said is held against what they expect. The share
of the time that stays unexplained is printed over all programs.

Rules that look inside get the agent and four seconds of counted calls: on their own `bad` from the start; on its
`fixed` and on every healthy program after the time it was watched from outside, for counting slows it down. yappi is
taken from the target's Python, from ours, and from the folders in CONCVIEW_YAPPI; where it is missing, that is said.
"""

from __future__ import annotations

import argparse
import ast
import contextlib
import os
import subprocess
import sys
import time
from collections.abc import Container, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from itertools import zip_longest
from pathlib import Path

from _accuracy import INSIDE, RULES, Outcome, Subject, summary, table, verdict
from _cases import UNSEEN, expected, programs
from common import machine
from concview.control import AttachAgent, CountCalls
from concview.demos.base import demos
from concview.model import Severity
from concview.session.session import Session
from concview.session.stream_source import LiveSource
from interpreters import Interpreter, interpreters

ROOT = Path(__file__).resolve().parents[1]
HEALTHY = (ROOT / "tests" / "healthy", ROOT / "benchmarks" / "healthy")
#: Kinds of programs that are not here, and why.
NOT_HERE = {"an RQ worker": "it needs a Redis server; fakeredis does not answer all that it asks"}
#: Seconds of wall time per second of stream before a run is given up, and what starting may take.
PATIENCE, START_S = 4.0, 60.0
#: What takes the CPU from its neighbours on purpose: never beside another program.
ALONE = frozenset({"cpu-starvation bad"})
#: Calls are counted for so long; from asking for it until its rules must have judged (stream seconds).
COUNTED_S, JUDGED_S = 4.0, 12.0


# ---------------------------------------------------------------- what is run


def subjects(python: Interpreter, seconds: float, only: Sequence[str]) -> list[Subject]:
    found = []
    for demo in demos().values():
        for variant in ("bad", "fixed"):
            rule = demo.id if variant == "bad" else ""
            least = demo.needs_seconds * 1.2 if variant == "bad" and demo.id in RULES else 0.0
            name = f"{demo.id} {variant}"
            last = variant == "fixed" and demo.id in INSIDE
            command = demo.command(variant, python.path)
            found.append(Subject(name, command, rule, max(seconds, least), (), variant, last))
    for folder in HEALTHY:
        for path in sorted(folder.glob("*.py")):
            if not path.name.startswith(("_", "test_")):
                found.append(Subject(path.stem, [python.path, str(path)], "", seconds, _needs(path), last=True))
    for path in programs():
        kind = "unseen" if path.parent == UNSEEN else "case"
        needs = _needs(path)
        found.append(Subject(path.stem, [python.path, str(path)], "", seconds, needs, kind, expects=expected(path)))
    return [
        s for s in found if not only or s.kind in only or any(o in (s.name, s.name.partition(" ")[0]) for o in only)
    ]


def _needs(path: Path) -> tuple[str, ...]:
    """The packages that a program names as `NEEDS`."""
    for node in ast.parse(path.read_text("utf-8")).body:
        if isinstance(node, ast.Assign) and any(isinstance(t, ast.Name) and t.id == "NEEDS" for t in node.targets):
            return tuple(ast.literal_eval(node.value))
    return ()


def environment(packages: Path | None, python: Interpreter) -> dict[str, str]:
    folder = packages / python.label if packages is not None else None
    paths = [str(folder)] if folder is not None and folder.is_dir() else []
    return {**os.environ, "PYTHONPATH": os.pathsep.join(paths), "PYTHONDONTWRITEBYTECODE": "1"}


def missing(subject: Subject, python: Interpreter, env: dict[str, str]) -> list[str]:
    """Packages that the program needs and this Python does not have."""
    if not subject.needs:
        return []
    ask = "import sys,importlib.util as u;print(*[n for n in sys.argv[1:] if u.find_spec(n) is None])"
    done = subprocess.run([python.path, "-c", ask, *subject.needs], env=env, capture_output=True, text=True)
    return done.stdout.split()


@contextlib.contextmanager
def running(subject: Subject, env: dict[str, str]) -> Iterator[int]:
    """The process to watch: the program's own, or the one that it names as `watch PID` before it is `ready`."""
    process = subprocess.Popen(
        subject.command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, stdin=subprocess.DEVNULL, text=True, env=env
    )
    try:
        assert process.stdout is not None
        pid = process.pid
        while (line := process.stdout.readline()).strip() != "ready":
            if not line:
                raise RuntimeError(f"it ended with {process.wait()} before it was ready")
            if line.startswith("watch "):
                pid = int(line.split()[1])
        yield pid
    finally:
        process.terminate()  # the demos and programs end their children, too
        try:
            process.wait(5)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def watch(subject: Subject, env: dict[str, str], engine: str, rate: float) -> Outcome:
    outcome = Outcome()
    try:
        with running(subject, env) as pid:
            session = Session(LiveSource(pid, engine, rate, 5.0))
            try:
                session.start()
                if subject.rule in INSIDE:
                    look_inside(session)
                _follow(session, subject.seconds, outcome, RULES)
                if subject.last and not outcome.failure:
                    look_inside(session)
                    _follow(session, outcome.seen_s + JUDGED_S, outcome, INSIDE)
            finally:
                session.close()
    except Exception as error:  # one program that fails must not end the table; it is shown in its row
        outcome.failure = f"{type(error).__name__}: {error}"
    return outcome


def look_inside(session: Session) -> None:
    session.order(AttachAgent(30))
    session.order(CountCalls("wall", COUNTED_S))


def _follow(session: Session, until_s: float, outcome: Outcome, rules: Container[str]) -> None:
    """Note what these rules say until so much was seen."""
    deadline = time.monotonic() + START_S + PATIENCE * (until_s - outcome.seen_s)
    while not session.ended and time.monotonic() < deadline:
        snapshot = session.snapshot()
        outcome.seen_s, outcome.blame = snapshot.elapsed_s, snapshot.blame
        for finding in snapshot.findings:
            if finding.id not in rules:
                continue
            times = outcome.warn if finding.severity is Severity.WARN else outcome.info
            times.setdefault(finding.id, snapshot.elapsed_s)
            outcome.titles[finding.id] = f"{finding.measured.name} {finding.measured.value:.3g}: {finding.summary}"
        outcome.refused = {n.id: (n.why, n.enable) for n in snapshot.not_applicable}
        if snapshot.refusal is not None:
            # Why there is no agent, or no calls were counted: more than that there are none.
            lacks = "calls" if snapshot.capabilities["agent"].available else "agent"
            said = (snapshot.refusal.text, snapshot.refusal.remedy)
            those = {rule for rule in INSIDE if lacks == "agent" or lacks in RULES[rule].needs}
            outcome.refused.update(dict.fromkeys(those & outcome.refused.keys(), said))
        if snapshot.elapsed_s >= until_s:
            return
        time.sleep(0.05)
    outcome.failure = f"only {outcome.seen_s:.1f} s of {until_s:g} s were seen"


def mixed(programs: list[Subject]) -> list[Subject]:
    """From both ends in turn: the first are those that need a CPU each, the last mostly wait."""
    half = (len(programs) + 1) // 2
    ends = zip_longest(programs[:half], reversed(programs[half:]))
    return [one for pair in ends for one in pair if one is not None]


def without_demo() -> list[str]:
    return sorted(set(RULES) - set(demos()))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--python", help="only this one: 3.13, 3.14t (default: every one found)")
    parser.add_argument(
        "--only", nargs="*", default=[], help="only these: 'straggler', 'pool_io', 'healthy', 'case', 'unseen'"
    )
    parser.add_argument("--seconds", type=float, default=12.0, help="stream time per program (default 12)")
    parser.add_argument("--jobs", type=int, default=1, help="programs at once (default 1; they disturb each other)")
    parser.add_argument("--engine", default="auto", choices=["auto", "direct", "pyspy"])
    parser.add_argument("--rate", type=float, default=100.0)
    parser.add_argument("--packages", type=Path, help="folder with a folder per Python (3.13) of installed packages")
    parser.add_argument("--details", action="store_true", help="the numbers of every rule that fired")
    options = parser.parse_args()
    print(machine())
    if without_demo():
        print(f"!! rules without a demo: {', '.join(without_demo())}")
    for program, why in NOT_HERE.items():
        print(f"!! NOT RUN on any Python: {program}: {why}")
    for python in interpreters():
        if options.python in (None, python.label):
            _one(python, options)


def _one(python: Interpreter, options: argparse.Namespace) -> None:
    env = environment(options.packages, python)
    wanted, skipped = [], []
    for subject in subjects(python, options.seconds, options.only):
        lacks = missing(subject, python, env)
        (skipped if lacks else wanted).append((subject, lacks))
    print(f"\nPython {python.label}: {len(wanted)} programs, all {len(RULES)} rules", flush=True)
    results: list[tuple[Subject, Outcome]] = []
    began = time.monotonic()
    alone = [s for s, _ in wanted if s.name in ALONE]
    with ThreadPoolExecutor(1) as first, ThreadPoolExecutor(max(1, options.jobs)) as pool:
        runs = [(s, first.submit(watch, s, env, options.engine, options.rate)) for s in alone]
        wait([run for _, run in runs])
        together = mixed([s for s, _ in wanted if s not in alone])
        runs += [(s, pool.submit(watch, s, env, options.engine, options.rate)) for s in together]
        for subject, future in runs:
            outcome = future.result()
            results.append((subject, outcome))
            print(f"  {subject.name:<30} {verdict(subject, outcome)}", flush=True)
            for rule in sorted(outcome.fired()) if options.details else ():
                print(f"      {rule}: {outcome.titles[rule]}", flush=True)
    table(results)
    summary(results)
    print(f"  {time.monotonic() - began:.0f} s, load average at the end {os.getloadavg()[0]:.1f}", flush=True)
    if skipped:
        target = options.packages / python.label if options.packages else Path("PACKAGES", python.label)
        needed = sorted({n for _, lacks in skipped for n in lacks})
        print(f"  !! NOT RUN, packages are missing: {', '.join(s.name for s, _ in skipped)}. To run them:")
        print(f"     {python.path} -m pip install --target {target} {' '.join(needed)}")
        print(f"     and again with --packages {target.parent}")


if __name__ == "__main__":
    sys.exit(main())

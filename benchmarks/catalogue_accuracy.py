"""What the rules find and what they invent: every rule on every demo and on healthy programs, on every Python found.

    python benchmarks/catalogue_accuracy.py [--python 3.13] [--only gil-convoy pool_io] [--seconds 12] [--jobs 1]

A demo's `bad` must be named by its own rule (recall; the time until then is the stream's) and by no unrelated rule as
a warning; its `fixed`, and every healthy program, by none. All rules watch all the time, so each row is a row of the
confusion table. Rules, demos and programs are found by registry: tests/healthy, and benchmarks/healthy for those that
need packages of others, which are installed with the command that is printed when they are missing.
"""

from __future__ import annotations

import argparse
import ast
import contextlib
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

from common import machine
from concview import registry
from concview.demos.base import demos
from concview.model import Severity
from concview.session.session import Session
from concview.session.sources import LiveSource
from interpreters import Interpreter, interpreters

ROOT = Path(__file__).resolve().parents[1]
HEALTHY = (ROOT / "tests" / "healthy", ROOT / "benchmarks" / "healthy")
RULES = {rule.id: rule for rule in registry.everything("concview.catalogue", "RULE").values()}
#: Kinds of programs that are not here, and why.
NOT_HERE = {"an RQ worker": "it needs a Redis server; fakeredis does not answer all that it asks"}
#: What may come true while a demo runs: on a machine busy enough the two meet, and then it is a deadlock.
RELATED = {"lock-order-inversion": {"deadlock"}}
#: Rules that judge the machine as much as the program: on a busy one they may fire on anything, and are right.
MACHINE = {"cpu-starvation"}
#: Seconds of wall time per second of stream before a run is given up, and what starting may take.
PATIENCE, START_S = 4.0, 60.0


@dataclass
class Subject:
    """One program. `rule`: the rule that must fire; '' none may."""

    name: str
    command: list[str]
    rule: str = ""
    seconds: float = 0.0
    needs: tuple[str, ...] = ()
    kind: str = "healthy"


@dataclass
class Outcome:
    """Stream seconds at which each rule first fired, by severity; what was not judged; why it failed."""

    seen_s: float = 0.0
    info: dict[str, float] = field(default_factory=dict)
    warn: dict[str, float] = field(default_factory=dict)
    refused: dict[str, str] = field(default_factory=dict)
    titles: dict[str, str] = field(default_factory=dict)
    failure: str = ""

    def first(self, rule: str) -> float | None:
        times = [t[rule] for t in (self.info, self.warn) if rule in t]
        return min(times) if times else None

    def fired(self) -> set[str]:
        return {*self.info, *self.warn}


# ---------------------------------------------------------------- what is run


def subjects(python: Interpreter, seconds: float, only: Sequence[str]) -> list[Subject]:
    found = []
    for demo in demos().values():
        for variant in ("bad", "fixed"):
            rule = demo.id if variant == "bad" else ""
            least = demo.needs_seconds * 1.2 if variant == "bad" and demo.id in RULES else 0.0
            name = f"{demo.id} {variant}"
            found.append(Subject(name, demo.command(variant, python.path), rule, max(seconds, least), (), variant))
    for folder in HEALTHY:
        for path in sorted(folder.glob("*.py")):
            if not path.name.startswith(("_", "test_")):
                found.append(Subject(path.stem, [python.path, str(path)], "", seconds, _needs(path)))
    return [s for s in found if not only or any(o in (s.name, s.name.partition(" ")[0]) for o in only)]


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
                _follow(session, subject.seconds, outcome)
            finally:
                session.close()
    except Exception as error:  # one program that fails must not end the table; it is shown in its row
        outcome.failure = f"{type(error).__name__}: {error}"
    return outcome


def _follow(session: Session, seconds: float, outcome: Outcome) -> None:
    deadline = time.monotonic() + START_S + PATIENCE * seconds
    while not session.ended and time.monotonic() < deadline:
        snapshot = session.snapshot()
        outcome.seen_s = snapshot.elapsed_s
        for finding in snapshot.findings:
            times = outcome.warn if finding.severity is Severity.WARN else outcome.info
            times.setdefault(finding.id, snapshot.elapsed_s)
            outcome.titles[finding.id] = f"{finding.measured.name} {finding.measured.value:.3g}: {finding.summary}"
        outcome.refused = {n.id: n.why for n in snapshot.not_applicable}
        if snapshot.elapsed_s >= seconds:
            return
        time.sleep(0.05)
    outcome.failure = f"only {outcome.seen_s:.1f} s of {seconds:g} s were seen"


# ---------------------------------------------------------------- what is printed


def verdict(subject: Subject, outcome: Outcome) -> str:
    """One row in words."""
    if outcome.failure:
        return f"FAILED: {outcome.failure}"
    parts = []
    if subject.rule in RULES:
        at = outcome.first(subject.rule)
        if at is not None:
            severity = "warn" if subject.rule in outcome.warn else "info"
            parts.append(f"named as {severity} after {at:.1f} s")
        elif subject.rule in outcome.refused:
            parts.append(f"not applicable: {outcome.refused[subject.rule]}")
        else:
            parts.append(f"NOT NAMED in {outcome.seen_s:.0f} s")
    elif subject.rule:
        parts.append("no such rule yet")
    warned, hinted = alarms(subject, outcome)
    parts += [f"WARNS {rule} ({outcome.warn[rule]:.1f} s)" for rule in sorted(warned)]
    parts += [f"hints {rule} ({outcome.info[rule]:.1f} s)" for rule in sorted(hinted)]
    excused = outcome.fired() & (MACHINE | RELATED.get(subject.rule, set())) - {subject.rule}
    parts += [f"[{rule}]" for rule in sorted(excused)]
    parts += [f"BROKEN {rule}" for rule, why in outcome.refused.items() if "this rule failed" in why]
    return ", ".join(parts) or "silent"


def alarms(subject: Subject, outcome: Outcome) -> tuple[set[str], set[str]]:
    """Rules that fired and should not have: as a warning, and as a hint at most."""
    fine = {subject.rule, *MACHINE, *RELATED.get(subject.rule, ())}
    warned = set(outcome.warn) - fine
    return warned, set(outcome.info) - fine - warned


def table(results: list[tuple[Subject, Outcome]]) -> None:
    """One row per rule: its own demo, and on how many other programs it fired (warnings + hints)."""
    cells = "  {:<26} {:>14} {:>12} {:>12} {:>12}".format
    print("\n" + cells("rule", "its own demo", "other bad", "fixed", "healthy"))
    for rule in sorted(RULES):
        own = next((o for s, o in results if s.rule == rule and not o.failure), None)
        at = own.first(rule) if own is not None else None
        unnamed = "not run" if own is None else "n/a" if rule in own.refused else "MISSED"
        named = f"{at:.1f} s" if at is not None else unnamed
        row = []
        for kind in ("bad", "fixed", "healthy"):
            others = [o for s, o in results if s.kind == kind and s.rule != rule]
            warned = sum(rule in o.warn for o in others)
            hinted = sum(rule in o.info and rule not in o.warn for o in others)
            row.append(f"{warned} + {hinted}" if warned or hinted else ".")
        print(cells(rule + (" (machine)" if rule in MACHINE else ""), named, *row))


def summary(results: list[tuple[Subject, Outcome]]) -> None:
    bad = [(s, o) for s, o in results if s.rule in RULES and not o.failure]
    judged = [(s, o) for s, o in bad if s.rule not in o.refused]
    times = sorted(t for s, o in judged if (t := o.first(s.rule)) is not None)
    print(f"\n  recall: {len(times)} of {len(judged)} rules named their demo", end="")
    if times:
        print(f", median after {times[len(times) // 2]:.1f} s, at most {times[-1]:.1f} s", end="")
    skipped = len(bad) - len(judged)
    print(f"; {skipped} not applicable here" if skipped else "")
    for kind, words in (
        ("bad", "unrelated rules on bad demos"),
        ("fixed", "false alarms on fixed demos"),
        ("healthy", "false alarms on healthy programs"),
    ):
        those = [(s, o) for s, o in results if s.kind == kind and not o.failure]
        warned = sum(len(alarms(s, o)[0]) for s, o in those)
        hinted = sum(len(alarms(s, o)[1]) for s, o in those)
        seen = sum(o.seen_s for _, o in those)
        print(f"  {words}: {warned} warnings, {hinted} hints ({len(those)} programs, {seen:.0f} s)")
    failed = [s.name for s, o in results if o.failure]
    if failed:
        print(f"  FAILED: {', '.join(failed)}")


def without_demo() -> list[str]:
    return sorted(set(RULES) - set(demos()))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--python", help="only this one: 3.13, 3.14t (default: every one found)")
    parser.add_argument("--only", nargs="*", default=[], help="only these demos and programs: 'straggler', 'pool_io'")
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
    with ThreadPoolExecutor(max(1, options.jobs)) as pool:
        runs = [(s, pool.submit(watch, s, env, options.engine, options.rate)) for s, _ in wanted]
        for subject, future in runs:
            outcome = future.result()
            results.append((subject, outcome))
            print(f"  {subject.name:<30} {verdict(subject, outcome)}", flush=True)
            for rule in sorted(outcome.fired()) if options.details else ():
                print(f"      {rule}: {outcome.titles[rule]}", flush=True)
    table(results)
    summary(results)
    if skipped:
        target = options.packages / python.label if options.packages else Path("PACKAGES", python.label)
        needed = sorted({n for _, lacks in skipped for n in lacks})
        print(f"  !! NOT RUN, packages are missing: {', '.join(s.name for s, _ in skipped)}. To run them:")
        print(f"     {python.path} -m pip install --target {target} {' '.join(needed)}")
        print(f"     and again with --packages {target.parent}")


if __name__ == "__main__":
    sys.exit(main())

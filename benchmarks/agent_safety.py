"""What the agent does to its targets: attach and detach cycles on every Python in every state, and profiling windows
while threads are born and die. Prints a table; exit code 1 when a target was changed by any of it.

    python benchmarks/agent_safety.py [--cycles 50] [--windows 60] [--slowdown] [--python 3.12 ...]

Latencies in milliseconds from the request to the first line run in the target ('taken') and to the agent's greeting
('hello'). 'wall x' and 'cpu x' are the time of an empty call with a window open, against without. --slowdown compares
the slowdown that concview shows with what programs measure of themselves: rounds per second (which also depends on what
else the machine does) and CPU per round.
CONCVIEW_PYTHONS names interpreters, CONCVIEW_YAPPI folders with builds of yappi.
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))
sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests" / "agent"))

import agent_helpers as h
from test_agent_calls import COUNTED

import _agent_slowdown
from concview.agent_host import CannotInject
from concview.agent_host.messages import CallsPart, Opened, Refused
from interpreters import Interpreter, interpreters, target


def quantiles(values: list[float]) -> str:
    values = sorted(values)
    if not values:
        return "      -       -       -"
    return f"{values[len(values) // 2]:7.1f} {values[int(len(values) * 0.95)]:7.1f} {values[-1]:7.1f}"


def cycles(python: Interpreter, state: str, count: int) -> bool:
    """One row; whether the target ended as ever."""
    taken, hello, failures, costs = [], [], [], []
    ended = True
    with target(python, h.STATES, state) as process:
        for _ in range(count):
            try:
                attachment = h.visit(process.pid)
                taken.append(1e3 * (attachment.taken_at - attachment.requested))
                hello.append(1e3 * (attachment.attached_at - attachment.requested))
                if not costs:
                    costs.append(100 * h.report(attachment).cpu)
                h.leave(attachment)
            except (CannotInject, AssertionError) as error:
                failures.append(str(error).splitlines()[0])
            if process.popen.poll() is not None:
                break
        try:
            h.ends_as_ever(process)
        except AssertionError as error:
            ended = False
            failures.append(str(error).splitlines()[0])
    print(
        f"{python.label:6} {state:9} {len(hello):3}/{count:<3} {quantiles(taken)}  {quantiles(hello)}   "
        f"{costs[0] if costs else 0:5.2f}   {'yes' if ended else 'NO'}  {'; '.join(sorted(set(failures)))}",
        flush=True,
    )
    return ended and len(hello) == count


def windows(python: Interpreter, seconds: float) -> bool:
    """Short windows one after the other under thread churn, then whether a hook is left and calls are quick again."""
    with target(python, COUNTED, "churn") as process:

        def ask(order: str) -> float:
            process.send(order)
            return float(str(process.json()))

        before = min(ask("cost") for _ in range(3))
        attachment = h.visit(process.pid)
        ratios = {}
        source = "yappi"
        for clock in ("wall", "cpu"):
            attachment.open_window(clock, 30.0, source)
            answer = h.until(attachment, lambda m: m if isinstance(m, Opened | Refused) else None)
            if isinstance(answer, Refused) and source == "yappi" and python.version >= (3, 12):
                source = "monitoring"
                attachment.open_window(clock, 30.0, source)
                answer = h.until(attachment, lambda m: m if isinstance(m, Opened | Refused) else None)
            if isinstance(answer, Refused):
                print(f"{python.label:6} {answer.why}", flush=True)
                h.leave(attachment)
                return True
            ratios[clock] = ask("cost") / before
            attachment.close_window()
            h.until(attachment, lambda m: m if isinstance(m, CallsPart) and not m.running and not m.more else None, 60)
        done = dirty = 0
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            attachment.open_window("wall", 30.0, source)
            h.until(attachment, lambda m: m if isinstance(m, Opened) else None)
            time.sleep(0.05)
            attachment.close_window()
            final = h.until(
                attachment, lambda m: m if isinstance(m, CallsPart) and not m.running and not m.more else None, 60
            )
            done, dirty = done + 1, dirty + (not final.clean)
        h.leave(attachment)
        process.send("hooks")
        unhooked = process.json() is True
        after = min(ask("cost") for _ in range(5))
        quiet = process.errors() == "standard error: "
    fine = unhooked and quiet and not dirty and after < 2 * before
    print(
        f"{python.label:6} {source:10} {done:5} {dirty:5} {before:8.0f} {ratios['wall']:7.1f} {ratios['cpu']:7.1f} "
        f"{after:8.0f}   {'yes' if fine else 'NO'}",
        flush=True,
    )
    return fine


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cycles", type=int, default=50)
    parser.add_argument("--windows", type=float, default=60.0, metavar="SECONDS")
    parser.add_argument("--slowdown", action="store_true", help="also compare the slowdown shown with the real one")
    parser.add_argument("--python", nargs="*", help="labels as in 3.12 or 3.14t (default: all found)")
    options = parser.parse_args()
    chosen = [i for i in interpreters() if h.can_be_asked(i) and (not options.python or i.label in options.python)]
    fine = True
    if options.cycles:
        print(
            "python state     came     taken p50, p95, most      hello p50, p95, most      CPU %   ended as ever",
            flush=True,
        )
        for python in chosen:
            for state in h.NAMES:
                if h.reachable(python, state):
                    fine &= cycles(python, state, options.cycles)
    if options.windows:
        print("\npython profiler windows dirty  ns/call  wall x   cpu x  ns after   clean", flush=True)
        for python in chosen:
            fine &= windows(python, options.windows)
    if options.slowdown:
        _agent_slowdown.table(chosen)
    return 0 if fine else 1


if __name__ == "__main__":
    sys.exit(main())

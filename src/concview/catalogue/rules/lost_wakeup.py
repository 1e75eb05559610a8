"""Threads wait for a signal that nobody will send.

What it sees:
    Two threads or more that wait for one Event or Condition, without a time limit and not in a loop of theirs, and no
    thread of the process that is on its way to a set() or notify() of it. Of a Condition that is waited for outside of
    a loop one thread is enough: it does not look whether what it waits for has happened already.

Why it hurts:
    They wait for ever, and look like threads that have nothing to do. It happens when whoever was to give the signal
    has failed, returned early, or gave it before they began to wait.

How it is measured:
    Every frame of every thread that refers to the object is read from memory; what lies ahead of each is told by its
    source. Nobody among them will set or notify it, and the threads have waited for five seconds at least [H: an
    initialisation may take that long; the number grows while nobody comes]. A signal handler or a callback that no
    thread is in now is not seen: so it is INFO, whatever the number. Demo pair: for ever (bad), never
    (fixed).

Fix:
    Give the signal on every way out, and wait with a limit that says what was missing.

        try: load()
        finally: ready.set()

        if not ready.wait(timeout=30): raise TimeoutError("the loader did not finish")

When it is fine:
    Threads that wait to be told to stop, by a signal handler: they are where they belong.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import replace
from typing import ClassVar

from concview.analysis.window import WaitProfile, Window
from concview.catalogue.base import Observation, Thresholds
from concview.catalogue.rules import _crowd
from concview.catalogue.rules._crowd import Crowd
from concview.model import SIGNAL_VIA, Concern, Confidence, Related
from concview.text import duration, plural, waits

MIN_THREADS = 2
_WAKES = frozenset({"set", "notify", "notify_all", "notifyAll"})
#: What a program calls the events by which it tells threads to end: for these, waiting is all there is to do.
_ENDS = re.compile(r"stop|shut|exit|quit|clos|kill|finish|terminat|end(?:ed|ing)?\b|cancel|abort", re.IGNORECASE)


class LostWakeup:
    id: ClassVar[str] = "lost-wakeup"
    title: ClassVar[str] = "Threads wait for a signal that nobody will send"
    group: ClassVar[str] = "Locks"
    thresholds: ClassVar[Thresholds] = Thresholds(5.0, 60.0, "s", "[H] an initialisation may take seconds")
    needs: ClassVar[tuple[str, ...]] = ("stacks", "waits", "relations")
    permanent: ClassVar[bool] = True
    measure: ClassVar[str] = "time without a thread that would wake them"
    concern: ClassVar[Concern] = Concern.GIVER
    task_twin: ClassVar[str] = ""
    names_verdict: ClassVar[str] = "dormant"

    def observe(self, window: Window) -> Iterable[Observation]:
        for crowd in _crowd.crowds(window, _wanted):
            signal = _crowd.related(window, crowd)
            if signal is None:
                continue
            blind = signal.kind == "Condition"
            # A signal handler may well set an Event for which the main thread waits. A Condition it does not notify.
            others = [tid for tid in crowd.stuck if blind or tid != window.target.pid]
            if len(others) >= (1 if blind else MIN_THREADS) and _nobody(crowd, signal):
                yield _one(crowd, signal)


def _wanted(profile: WaitProfile) -> tuple[str, str] | None:
    if profile.classification.via not in SIGNAL_VIA or profile.wait.timed or not profile.wait.lock:
        return None
    user = profile.stack.user_leaf
    if user is None or user.origin != "user" or profile.stack.leaf is None:
        return None
    return _crowd.named(profile, "a signal")


def _nobody(crowd: Crowd, signal: Related) -> bool:
    if signal.kind not in ("Event", "Condition") or not signal.complete or signal.more or signal.value < 0:
        return False
    if signal.kind == "Event" and signal.value:
        return False  # set a moment ago: they are about to go on
    if _ENDS.search(signal.name) or signal.container:
        return False
    for one in signal.references:
        if one.tid in signal.waiters:
            if one.loops:
                return False  # a bell: it is waited for again and again
        elif one.will in _WAKES or not one.source:
            return False
    return all(tid in signal.waiters for tid in crowd.stuck)


def _one(crowd: Crowd, signal: Related) -> Observation:
    name = signal.name or crowd.name
    call = "set()" if signal.kind == "Event" else "notify()"
    verb = waits(len(crowd.tids))
    return replace(
        crowd.for_ever(Confidence.INFERRED, None),
        label=name,
        title=f"{plural(len(crowd.tids), 'thread')} {verb} for {name}, which nobody will set or notify",
        summary=(
            f"{crowd.who} {verb} for {name} ({signal.type or signal.kind}, not set) in {crowd.spot}, without a time "
            f"limit, for {duration(crowd.least)} and longer; no running thread of the process leads to "
            f"{name}.{call}."
        ),
        fix=(
            f"Call {name}.{call} on every path out of what makes it ready, and wait with a limit.\n\n"
            "    try: load()\n"
            f"    finally: {name}.{call}\n\n"
            f"    {name}.wait(timeout=30)        # and say what was missing"
        ),
        gain=f"{plural(len(crowd.tids), 'thread')} that do nothing now.",
        check_next=f"Who was to call {name}.{call}, and has it failed, returned, or done so before they waited?",
    )


RULE = LostWakeup()

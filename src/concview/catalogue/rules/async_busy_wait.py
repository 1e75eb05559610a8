"""Tasks ask again and again whether there is something to do, with a `sleep(0)` in between.

What it sees:
    Tasks that are nearly always ready, on a line that yields and does not wait (`await asyncio.sleep(0)`, a pause of a
    millisecond, a checkpoint), in a loop's thread that spends its CPU time there and in the loop's own code. Or one
    callback of the program's own that is due again as soon as it has run (`loop.call_soon(self._check)` in `_check`).

Why it hurts:
    The loop never idles: every such task runs once in every round, and whatever becomes ready waits for that round. A
    core is spent on finding out that nothing has changed, and one more task that asks makes all others slower.

How it is measured:
    The CPU of the loop's thread, by the kernel's account, times the part of its samples on such a line or in the
    loop's own code: its callbacks. Where tasks compute between two yields, that is found on their other lines, and
    does not count; with less than half of the samples on these lines it is another rule's (loop-starvation). Of a
    callback the same, where the loop runs 10,000 callbacks a second and more, and nearly all that are seen are it.
    Thresholds 2 % and 10 % of a core [M: as busy-wait's]; demo pair: 78 % to 97 % of a core (bad), none (fixed).

Fix:
    Wait for it; whoever has something to do wakes you.

        await self.ready.wait()          # an asyncio.Event instead of: while not self.ready: await asyncio.sleep(0)
        item = await queue.get()         # instead of get_nowait() and a sleep

When it is fine:
    A program that has nothing else to do, and must not be a moment late.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import replace
from typing import ClassVar

from concview.analysis.tasks.window import AioWindow, LoopWindow, TaskWindow
from concview.analysis.window import ThreadWindow, Window
from concview.catalogue import evidence
from concview.catalogue.base import Observation, Thresholds
from concview.catalogue.rules import _aio
from concview.catalogue.rules._loops import callback_of
from concview.model import Confidence, Frame, Stack, State, TaskState
from concview.text import count, percent

#: A line that yields, or pauses for a millisecond or less: longer ones are a pace.
_YIELDS = re.compile(
    r"\bawait\b.*(?:\bsleep\(\s*(?:0?\.000\d*|0?\.0010*|0(?:\.0*)?|1(?:\.0*)?e-3|[1-9](?:\.\d*)?e-[4-9])?\s*\)"
    r"|\b(?:cancel_shielded_)?checkpoint\(\))"
)
#: A task asks when it is on such a line for this share of its time; so must be this part of the thread's samples.
ASKING_SHARE, SAMPLES_SHARE = 0.5, 0.5
#: Callbacks a second of a loop that goes round without a pause: the fastest that work for others (echo servers of one
#: core) do fewer in all. And the part of the samples in the loop's own code and in one callback.
SPINS_PER_S, SPINNING_SHARE = 10_000, 0.8
_ON_IT = (TaskState.READY, TaskState.RUNNING, TaskState.SLEEP)


class AsyncBusyWait:
    id: ClassVar[str] = "async-busy-wait"
    title: ClassVar[str] = "Tasks poll instead of waiting"
    group: ClassVar[str] = "Async and I/O"
    thresholds: ClassVar[Thresholds] = Thresholds(0.02, 0.1, "share of a core", "[M] as busy-wait's")
    needs: ClassVar[tuple[str, ...]] = ("stacks", "tasks")
    permanent: ClassVar[bool] = False
    measure: ClassVar[str] = "CPU of tasks or a callback that poll"

    def observe(self, window: Window) -> Iterable[Observation]:
        aio = _aio.require_tasks(window)
        asking: dict[int, dict[Frame, list[TaskWindow]]] = defaultdict(lambda: defaultdict(list))
        for task in aio.tasks.values():
            line = _line(task)
            if line is not None:
                asking[task.task.loop][line].append(task)
        for loop in aio.loops.values():
            thread = window.thread(loop.last.tid)
            lines = asking.get(loop.last.id)
            if lines and thread is not None:
                part, stack = _spent(thread, {(f.file, f.function): f.line for f in lines})
                if part >= SAMPLES_SHARE:
                    yield self._one(window, aio, loop, thread, lines, part, stack)
                    continue
            if thread is not None and loop.pops_per_s >= SPINS_PER_S:
                frame, part, stack = _callback(aio, thread)
                if frame is not None and part >= SPINNING_SHARE:
                    yield _of_callback(window, loop, thread, frame, part, stack)

    def _one(
        self,
        window: Window,
        aio: AioWindow,
        loop: LoopWindow,
        thread: ThreadWindow,
        lines: dict[Frame, list[TaskWindow]],
        part: float,
        stack: Stack | None,
    ) -> Observation:
        frame = max(lines, key=lambda f: len(lines[f]))
        tasks = [t for some in lines.values() for t in some]
        ids = [t.task.id for t in tasks]
        cpu = thread.share(State.RUNNING) * part
        one = len(ids) == 1
        rate = f": {count(loop.pops_per_s)} callbacks a second" if loop.pops_per_s > 0 else ""
        run = next((r for t in lines[frame] for r in reversed(t.task.runs) if r.leaf == frame), None)
        looks = _aio.looks_in(aio, sum(t.total_ns for t in tasks))  # at each of them
        late = 0.0 if loop.p95_s < 0 else loop.p95_s
        found = _observed(window, loop, thread, frame, cpu, stack)
        return replace(
            found,
            samples=max(looks, found.samples),
            episodes=max(looks, found.episodes),
            title=f"{_aio.who(aio, ids)} poll{'s' if one else ''}",
            summary=(
                f"{_aio.who(aio, ids)} {'takes' if one else 'take'} {percent(cpu)} of a core by coming back to "
                f"{evidence.frame_spot(frame)}, which yields and does not wait{rate}. {percent(part)} of the CPU time "
                f"of the loop in {thread.name} is spent there and in the loop's own code."
            ),
            gain=f"{percent(cpu)} of a core, and {late * 1e3:.1f} ms at every await of the others.",
            check_next=f"What changes the answer? It should wake {'it' if one else 'them'}: an Event, a future.",
            where=evidence.places(run.stack if run is not None else None, stack),
            tasks=tuple(ids[:50]),
            stacks=_aio.shown("polls", aio, ids[0], run.stack if run is not None else None, "") + found.stacks,
            explains=(*found.explains, ("async-straggler", "*")),
        )


def _line(task: TaskWindow) -> Frame | None:
    """The line of the program's own on which it is nearly always, and that does not wait."""
    lines: dict[Frame, int] = defaultdict(int)
    for piece in task.slices:
        leaf = piece.run.leaf
        if piece.run.wait.state in _ON_IT and leaf is not None and leaf.origin == "user" and _YIELDS.search(leaf.text):
            lines[leaf] += piece.ns
    line = max(lines, key=lines.__getitem__, default=None)
    return line if line is not None and lines[line] >= ASKING_SHARE * task.total_ns else None


def _spent(thread: ThreadWindow, asking: dict[tuple[str, str], int]) -> tuple[float, Stack | None]:
    """(part of the thread's CPU time on these lines and in the loop's own code, the stack in which most of it is)."""
    whole, mine = 0, defaultdict[Stack, int](int)
    for profile in thread.wait_profiles:
        if profile.state is not State.RUNNING:
            continue
        whole += profile.ns
        leaf = profile.stack.user_leaf
        if callback_of(profile.stack) is None or (
            leaf is not None and asking.get((leaf.file, leaf.function)) == leaf.line
        ):
            mine[profile.stack] += profile.ns
    return (sum(mine.values()) / whole if whole else 0.0), max(mine, key=mine.__getitem__, default=None)


def _callback(aio: AioWindow, thread: ThreadWindow) -> tuple[Frame | None, float, Stack | None]:
    """(the one callback that is no task's and is nearly all that the loop runs, the part of the thread's CPU time in it
    and in the loop's own code, the stack in which most of it is)."""
    whole = own = 0
    called = defaultdict[tuple[str, str], int](int)
    stacks: dict[tuple[str, str], tuple[Frame, Stack]] = {}
    for profile in thread.wait_profiles:
        if profile.state is not State.RUNNING:
            continue
        whole += profile.ns
        frame = callback_of(profile.stack)
        if frame is None:
            own += profile.ns
        else:
            called[frame.file, frame.function] += profile.ns
            stacks.setdefault((frame.file, frame.function), (frame, profile.stack))
    if not called:
        return None, 0.0, None
    key = max(called, key=called.__getitem__)
    frame, stack = stacks[key]
    functions = {(f.file, f.function) for t in aio.tasks.values() if (f := t.task.function) is not None}
    if frame.origin != "user" or key in functions or called[key] < SPINNING_SHARE * sum(called.values()):
        return None, 0.0, None
    return frame, (own + called[key]) / whole, stack


def _of_callback(
    window: Window, loop: LoopWindow, thread: ThreadWindow, frame: Frame, part: float, stack: Stack | None
) -> Observation:
    cpu = thread.share(State.RUNNING) * part
    return replace(
        _observed(window, loop, thread, frame, cpu, stack),
        title=f"{frame.function} is due again as soon as it has run",
        summary=(
            f"The loop in {thread.name} takes {percent(cpu)} of a core to call {frame.function} "
            f"({evidence.frame_spot(frame)}) again and again: {count(loop.pops_per_s)} callbacks a second. "
            f"{percent(part)} of its CPU time is spent there and in the loop's own code."
        ),
        fix="Let whoever changes what it looks at call it, or put a pause in between.\n\n"
        "    loop.call_later(0.05, self._check)     # instead of loop.call_soon(self._check)",
        gain=f"{percent(cpu)} of a core.",
        check_next=f"What does {frame.function} wait for? An Event or a future wakes a task when it is there.",
    )


def _observed(
    window: Window, loop: LoopWindow, thread: ThreadWindow, frame: Frame, cpu: float, stack: Stack | None
) -> Observation:
    """What is observed of either: who asks without a pause, and what that takes."""
    samples = evidence.samples_in(window, sum(thread.nanoseconds))
    return Observation(
        subject=f"{frame.file}:{frame.function}",
        value=cpu,
        lower=cpu,
        samples=samples,
        episodes=max(samples, 1),
        confidence=Confidence.INFERRED,
        where=evidence.places(stack),
        threads=(loop.last.tid,) if loop.last.tid else (),
        stacks=evidence.shown("runs", loop.last.tid, thread.name, stack, f"{percent(cpu)} of a core"),
        explains=(("loop-starvation", "*"), ("cpu-saturation", "*")),
    )


RULE = AsyncBusyWait()

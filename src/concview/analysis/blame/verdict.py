"""The one sentence: clear only where it is earned, else the largest cause, with or without a rule that knows it.

Shares alone mislead in a quiet program, numbers alone in a large one: both must be reached. Measured on the demo pairs,
the healthy programs and cases from bug reports.
"""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from concview.analysis.blame import words
from concview.analysis.blame.closed import closed
from concview.analysis.blame.nouns import TAKEN, End, Family, Via
from concview.analysis.history import History
from concview.analysis.known_places import EVENT_LOOPS, among
from concview.analysis.tasks.limited import limited
from concview.analysis.work import KINDS, title
from concview.model import NO_STACK, Severity, Stack, State, TaskState
from concview.snapshot import Blame, BlameCause, BlameStep, QuietView
from concview.text import duration, listed, percent, plural, waits

#: kind -> (share of the time of threads that do or want something, threads on average): both are reached.
HELD_UP, STALLED, STARVED, UNEXPLAINED = (0.15, 0.3), (0.30, 2.0), (0.20, 0.5), (0.10, 0.3)
#: Held up so much is a warning, below a hint.
WARN_THREADS = 1.0
#: Ends that nothing in the program can get past, told as they are.
_HALTS = frozenset({End.STOPPED, End.MEMORY})
#: With fewer threads that do or want something, shares of their time say nothing.
ACTIVE = 0.1
#: Of all thread time: with more that could not be read there is no verdict.
UNREAD = 0.5
#: A wait that has not ended for so long is evidence by its length; as a warning from so many threads on.
STUCK_S, STUCK_THREADS = 5.0, 3
#: So many times as many wait for results as there are that make them: they queue.
QUEUE = 3
#: Threads that look up a name at any time, on average, from which on that is told, and a warning; and the share of what
#: threads do or want. A name server answers in milliseconds: a program that asks it again and again for half of a
#: thread's time does not get its answers.
LOOKUP_THREADS, LOOKUP_SHARE = (0.5, 1.5), 0.2
#: Threads that pause between tries of what fails, on average, from which on that is told, and a warning; and the share
#: of what threads do or want. One alone may well try every few seconds to reach what is down.
RETRY_THREADS, RETRY_SHARE = (0.9, 3.0), 0.2
#: Threads that look again and again for what has not come, on average, from which on that is told.
POLL_THREADS = 1.9
#: Fewer samples than this in a window (concview got no CPU, or no budget) do not show that nobody waits.
LEAST_SAMPLES = 15
#: Part of what threads do or want that is a wait for peers or child processes, and threads on average.
AWAY = 0.5, 1.0
#: Part of the time for which each of a circle must have been in it, on average.
STANDS = 0.1
#: So much of the time for which somebody waits in vain must have been seen to be in vain.
SEEN_SO = 0.5
#: Nothing is judged before so much was seen.
ENOUGH_S = 2.0
#: Those that nobody wakes have slept for this part of the window.
STILL = 0.5


def judge(blame: Blame, history: History) -> Blame:
    """The same with its verdict."""
    verdict, severity, sentence, more, still_s = _judge(blame, history)
    return msgspec.structs.replace(
        blame, verdict=verdict, severity=severity, sentence=sentence, more=tuple(more), still_s=still_s
    )


_Said = tuple[str, Severity | None, str, list[str], float]


def _judge(blame: Blame, history: History) -> _Said:
    if history.stopped:
        return "stopped", Severity.WARN, f"The process is {history.stopped}: nothing in it moves.", [], 0.0
    if blame.unread >= UNREAD:
        said = f"No verdict: {percent(blame.unread)} of the thread time could not be read."
        return "unreadable", None, said, [], 0.0
    if blame.seconds < ENOUGH_S:
        return "early", None, "Too little was seen for a verdict.", _more(blame, history), 0.0
    still = _still(history)
    still_s = still if still >= STUCK_S else 0.0
    problem = _problem(blame, history)
    shut = closed(history) if problem is None or problem[1] is not Severity.WARN else None
    if shut is not None and shut.still_s >= STUCK_S:
        said = f"{shut.said} Nothing has moved for {duration(shut.still_s)}."
        return "stuck", Severity.WARN, said, _more(blame, history), still_s
    few = _few(blame, history)
    if problem is not None and problem[0] == "unexplained" and few and not still_s:
        problem = None  # what was not seen in so few samples is no fault of the process
    if problem is not None:
        verdict, severity, sentence = problem
        more = _more(blame, history, verdict)
        if still_s and verdict != "unexplained":
            more.insert(0, f"Nothing has moved for {duration(still_s)}.")
        elif still_s:
            verdict, severity = "still", Severity.WARN
            sentence = f"Nothing has moved for {duration(still_s)}. {sentence}"
        return verdict, severity, sentence, more, still_s
    more = _more(blame, history)
    if blame.active < ACTIVE:
        unseen = _unseen_tasks(history)
        if unseen:
            return "tasks unseen", None, unseen, more, still_s
        whose, nobody = ("time of threads and tasks", "nobody") if blame.tasks else ("thread time", "no thread")
        quiet = f"{percent(blame.quiet)} of the {whose} is idle or paced"
        return "idle", None, f"Idle: {quiet}; {nobody} is held up.", more, still_s
    unseen = _unseen_tasks(history)
    if unseen:
        return "tasks unseen", None, unseen + _largest(blame, "Most of what they do"), more, still_s
    largest = _largest(blame, "Most of it")
    if more:
        return "outside", None, f"Nobody is held up, but not everybody moves: {more[0]}", more[1:], still_s
    if few:
        return "few samples", None, few + _largest(blame, "Most of what was seen"), more, still_s
    away = _outside(blame)
    if away:
        return "outside", None, away + largest, more, still_s
    said = (
        f"Clear: {percent(blame.share(blame.held_up))} held up, {percent(blame.share(blame.unexplained))} unexplained, "
        f"of the time of {blame.active:.1f} active {'threads and tasks' if blame.tasks else 'threads'}."
    )
    return "clear", None, said + largest, more, still_s


def _few(blame: Blame, history: History) -> str:
    """Where so little was seen of what threads did that "clear" cannot be said; '' where it was enough."""
    start = history.now_ns - int(blame.seconds * 1e9)
    ticks = sum(b.ticks for b in history.buckets if b.end_ns > start)
    if not ticks or ticks >= LEAST_SAMPLES:
        return ""
    return f"No verdict: only {plural(ticks, 'sample')} in {duration(blame.seconds)}, too few to say that all is clear."


def _outside(blame: Blame) -> str:
    """Where most of what goes on is a wait for others than this process: that nobody in it is in the way does not make
    the service fast. '' where it is not so."""
    away = sum(_threads(blame, c) for c in blame.causes if c.kind in (End.PEER, End.CHILD) and not c.path)
    if away < AWAY[1] or away < AWAY[0] * blame.active:
        return ""
    share = percent(away / blame.active)
    active = f"{blame.active:.1f} active {'threads and tasks' if blame.tasks else 'threads'}"
    return f"Nobody is held up in this process: {share} of the time of {active} is a wait for peers or child processes."


def _largest(blame: Blame, what: str) -> str:
    if not blame.causes:
        return ""
    return f" {what}: {words.story(blame.causes[0], _threads(blame, blame.causes[0]))}."


def _problem(blame: Blame, history: History) -> tuple[str, Severity | None, str] | None:
    """The largest cause that is over its thresholds."""
    stuck = [c for c in blame.causes if _is_stuck(c, blame.seconds)]
    circles = [c for c in blame.causes if c.kind == End.CYCLE and _threads(blame, c) >= 0.3 and _stands(blame, c)]
    if circles:
        return "stuck", Severity.WARN, f"Stuck: {_told(blame, circles[0])}"
    lost = [c for c in stuck if c.kind == End.NOBODY]
    if lost:
        return "stuck", Severity.WARN, f"Stuck for {duration(lost[0].stuck_s)}: {_told(blame, lost[0])}"
    halted = [c for c in blame.causes if c.kind in _HALTS and not c.path and c.stuck_s >= STUCK_S]
    # Where others are held up by it, it is told from those.
    told_below = any(_holds_up(c) and c.kind in _HALTS for c in blame.causes)
    if halted and not (told_below and _over(blame, blame.held_up, HELD_UP)):
        top = halted[0]
        said = f"Stuck for {duration(top.stuck_s)}: {words.story(top, _threads(blame, top))}."
        return top.kind, Severity.WARN, said
    if _over(blame, blame.held_up, HELD_UP):
        top = next(c for c in blame.causes if _holds_up(c))
        # Whether waits for the GIL are a fault is judged by rules, which know how many CPUs there are and who used
        # them meanwhile.
        of_gil = sum(
            _threads(blame, c) for c in blame.causes if c.family == Family.TAKEN and c.path and c.path[0].via == Via.GIL
        )
        many = blame.held_up * blame.threads - of_gil >= WARN_THREADS
        severity = Severity.WARN if many else Severity.INFO
        share = percent(blame.share(blame.held_up))
        return "held up", severity, f"Held up, {share} of the time of {_whose(blame)}: {_told(blame, top)}"
    if stuck:
        top = stuck[0]
        many = len(top.threads) + len(top.tasks) >= STUCK_THREADS
        return (
            "stuck",
            Severity.WARN if many else Severity.INFO,
            f"Stuck for {duration(top.stuck_s)}: {_told(blame, top)}",
        )
    if _over(blame, blame.stalled, STALLED):
        top = next(c for c in blame.causes if c.family == Family.STALL and c.kind != End.UNEXPLAINED)
        share = percent(blame.share(blame.stalled))
        return "waits", Severity.INFO, f"Waits, {share} of the time: {_told(blame, top)}"
    made = blame.waits - blame.stalled
    if _over(blame, made, STALLED):
        call = next((c for c in blame.causes if c.family == Family.MADE and c.path), None)
        if call is not None:
            behind = len(call.path[0].owners) + len(call.path[0].owning_tasks)
            crowd = len(call.threads) + len(call.tasks) >= QUEUE * max(1, behind)
            share = percent(blame.share(made))
            return "waits", Severity.INFO if crowd else None, f"Waits, {share} of the time: {_told(blame, call)}"
    if _over(blame, blame.waits, STALLED):  # each of the two alone is less
        largest = next((c for c in blame.causes if c.family in (Family.STALL, Family.MADE) and c.path), None)
        if largest is not None:
            return "waits", None, f"Waits, {percent(blame.share(blame.waits))} of the time: {_told(blame, largest)}"
    lookups = [c for c in blame.causes if c.kind == End.LOOKUP and not c.path]
    asked = sum(_threads(blame, c) for c in lookups)
    if lookups and asked >= LOOKUP_THREADS[0] and asked >= LOOKUP_SHARE * blame.active:
        severity = Severity.WARN if asked >= LOOKUP_THREADS[1] else Severity.INFO
        share = percent(asked / blame.active)
        said = f"Looks up names, {share} of the time: {words.story(lookups[0], asked)}."
        return End.LOOKUP, severity, f"{said} No timeout of a connection counts meanwhile."
    tries = [c for c in blame.causes if c.kind == End.RETRY and not c.path]
    pausing = sum(_threads(blame, c) for c in tries)
    if tries and pausing >= RETRY_THREADS[0] and pausing >= RETRY_SHARE * blame.active:
        severity = Severity.WARN if pausing >= RETRY_THREADS[1] else Severity.INFO
        share = percent(pausing / blame.active)
        return End.RETRY, severity, f"Retries, {share} of the time: {words.story(tries[0], _threads(blame, tries[0]))}."
    looks = [c for c in blame.causes if c.kind == End.POLL and not c.path]
    polling = sum(_threads(blame, c) for c in looks)
    if looks and polling >= POLL_THREADS and polling >= RETRY_SHARE * blame.active:
        share = percent(polling / blame.active)
        said = f"Polls, {share} of the time: {words.story(looks[0], _threads(blame, looks[0]))}."
        return End.POLL, Severity.INFO, f"{said} Who would bring it is not told by that."
    if _over(blame, blame.unexplained, UNEXPLAINED):
        top = next(c for c in blame.causes if c.kind == End.UNEXPLAINED)
        share = percent(blame.share(blame.unexplained))
        return "unexplained", Severity.INFO, f"Unexplained, {share} of the time: {_told(blame, top)}"
    if _over(blame, blame.starved, STARVED):
        share = percent(blame.share(blame.starved))
        return "starved", Severity.INFO, f"Starved: threads that are ready to run wait for a CPU, {share} of the time."
    serves = _serve(history)
    sleeping = [
        q
        for q in blame.quiets
        if q.kind == End.DORMANT
        and _all_along(q)
        and (len(q.tids) + len(q.tasks) > 1 or _served(q, serves) or len(history.threads) == 1)
    ]
    if sleeping:
        asleep = sleeping[0]
        place = words.where(asleep.file, asleep.line)
        number = len(asleep.tids) + len(asleep.tasks)
        kind = words.kind_of(asleep.tids, asleep.tasks)
        threads = f"{number} {kind if number > 1 else kind.removesuffix('s')}"
        wait = "waits" if number == 1 else "wait"
        said = f"Nobody wakes {threads}{place}, which {wait} since before anybody looked: {asleep.what}."
        served = _served(asleep, serves)
        return "dormant", Severity.INFO, f"{said} In flight there: {listed(served, 3)}." if served else said
    return None


def _all_along(asleep: QuietView) -> bool:
    """Whether those who were asleep when the window began are so for most of it: others have been woken since."""
    return asleep.threads >= STILL * (len(asleep.tids) + len(asleep.tasks))


def _serve(history: History) -> dict[int, str]:
    """Thread, or -id of a task, -> the request or job it is in."""
    now = history.work.now
    told: dict[int, str] = {}
    for piece in now.pieces if now is not None else ():
        if KINDS[piece.label.kind] in ("request", "job"):
            told.update(dict.fromkeys((*piece.threads, *(-t for t in piece.tasks)), title(piece.label)))
    return told


def _served(quiet: QuietView, serves: Mapping[int, str]) -> list[str]:
    nodes = (*quiet.tids, *(-t for t in quiet.tasks))
    return list(dict.fromkeys(serves[n] for n in nodes if n in serves))


def _whose(blame: Blame) -> str:
    """Of whom the shares are; tasks alone where threads do next to nothing but run them."""
    if not blame.tasks:
        return "the threads"
    return "the tasks" if blame.threads - blame.tasks < 0.1 * blame.threads else "threads and tasks"


def _holds_up(cause: BlameCause) -> bool:
    return cause.kind == End.CYCLE or (cause.family == Family.TAKEN and cause.kind != End.UNEXPLAINED)


def _stands(blame: Blame, cause: BlameCause) -> bool:
    """Whether it is no moment of a hand-over, at which all of a ring seem to wait for each other: each of those in it
    must have been so for a good part of the time."""
    return _threads(blame, cause) >= STANDS * (len(cause.threads) + len(cause.tasks))


def _is_stuck(cause: BlameCause, seconds: float) -> bool:
    if cause.stuck_s < STUCK_S or not cause.path:
        return False
    if cause.kind == End.NOBODY:
        # How long is known of the first wait. That nobody is there must have been seen for a good part of that: behind
        # one who joins a thread that others starve of a lock, nobody has the lock for the moment of a hand-over.
        waiting = max(1, len(cause.threads) + len(cause.tasks))
        return cause.thread_s / waiting >= SEEN_SO * min(cause.stuck_s, seconds)
    # How long is known of the first wait alone: who joins a thread that waits for the GIL now and then is not stuck.
    first = Via(cause.path[0].via)
    taken = cause.family == Family.TAKEN and first in TAKEN and first is not Via.GIL
    outside = cause.kind == End.PEER and not cause.ends  # another process has to do it
    return taken or (
        cause.family == Family.STALL and (cause.kind == End.UNEXPLAINED or outside) and len(cause.path) == 1
    )


def _over(blame: Blame, part: float, gate: tuple[float, float]) -> bool:
    """`part` of all thread time."""
    return blame.active > 0 and blame.share(part) >= gate[0] and part * blame.threads >= gate[1]


def _threads(blame: Blame, cause: BlameCause) -> float:
    return cause.thread_s / blame.seconds


def _told(blame: Blame, cause: BlameCause) -> str:
    """Threads that wait at the same first step, whatever is at the end, with the way of most of them."""
    first = cause.path[0] if cause.path else None
    alike = [c for c in blame.causes if first is not None and _meets(c, first)] or [cause]
    waiting = sum(_threads(blame, c) for c in alike)
    among = len({t for c in alike for t in c.threads}) + len({t for c in alike for t in c.tasks})
    return f"{words.story(cause, waiting, among)}. {words.gained_sentence(cause)}".rstrip()


def _meets(cause: BlameCause, step: BlameStep) -> bool:
    """Whether it begins with the same wait."""
    first = cause.path[0] if cause.path else None
    return first is not None and (first.via, first.what, first.line) == (step.via, step.what, step.line)


def _more(blame: Blame, history: History, verdict: str = "") -> list[str]:
    """What must be known beside the verdict: peers that do not answer. Without causes of the kind it is about."""
    said: list[str] = []
    with_limit: frozenset[int] | None = None
    for cause in blame.causes:
        alone = cause.kind in (End.PEER, End.CHILD, End.STOPPED, End.NATIVE, End.FILE) and not cause.path
        # Of one that waits for another thread's end or result, which waits for what nobody gives.
        in_vain = cause.kind == End.DORMANT and bool(cause.path)
        if (alone or in_vain) and cause.kind != verdict and cause.stuck_s >= max(STUCK_S, 0.9 * blame.seconds):
            story = words.story(cause, len(cause.threads) + len(cause.tasks))
            with_limit = limited(history.aio) if with_limit is None else with_limit
            some = "some of them " if with_limit.intersection(cause.tasks) else ""
            lasting = f"{some}without a time limit, for up to {duration(cause.stuck_s)} now"
            said.append(f"{story}, {lasting}{_behind(blame, cause)}.")
        elif alone and cause.kind != verdict and cause.silent_s >= max(STUCK_S, 0.9 * blame.seconds):
            story = words.story(cause, len(cause.threads) + len(cause.tasks))
            said.append(f"{story}: nothing has been sent or has come there for {duration(cause.silent_s)}.")
    return said[:5]


def _behind(blame: Blame, cause: BlameCause) -> str:
    """'; behind that 1 task (broadcast) waits for room in q (feed.py:17)': most of those who wait for who stands there;
    '' where nobody does."""
    end = cause.kind, cause.what, cause.file, cause.line
    for c in blame.causes:
        if c is not cause and c.path and (c.kind, c.what, c.file, c.line) == end:
            number = len(c.threads) + len(c.tasks)
            who = f"{number} {words.kind_of(c.threads, c.tasks, number == 1)} ({c.who})"
            return f"; behind that {who} {waits(number)} for {words.waited_for(c.path[0])}{words.at(c.path[0])}"
    return ""


def _still(history: History) -> float:
    """For how many seconds no thread has done anything; 0 when one has lately."""
    last = 0
    for task in history.aio.tasks.values():
        now = task.current
        if now is None or now.wait.state in (TaskState.RUNNING, TaskState.READY, TaskState.SLEEP):
            return 0.0
        last = max(last, now.began_ns)
    for thread in history.threads.values():
        run = thread.current
        if run is None or not thread.counts:
            continue
        if run.state in (State.RUNNING, State.RUNNABLE, State.GIL, State.SLEEP) or run.wait.timed:
            return 0.0
        last = max(last, run.since_ns)
    return (history.now_ns - last) / 1e9 if last else 0.0


def _unseen_tasks(history: History) -> str:
    if history.tasks is not None:
        return ""
    aio = history.aio
    if aio.report is not None and (aio.report.why or (aio.report.unseen and not aio.tasks)):
        told = aio.report.why or aio.report.unseen[0]
        return f"No verdict on tasks: {told}. The threads themselves are not held up."
    if aio.tasks or aio.loops or aio.report is not None:
        return ""  # they are read, and there were none: a loop may well have none most of the time
    loops = [t for t in history.threads.values() if t.counts and runs_loop(t.current.stack if t.current else NO_STACK)]
    if not loops:
        return ""
    names = ", ".join(t.name for t in loops[:3])
    return (
        f"No verdict on the tasks of {plural(len(loops), 'event loop')} ({names}): tasks are not seen without the "
        "agent (--agent). The threads themselves are not held up."
    )


def runs_loop(stack: Stack) -> bool:
    """An event loop, which is idle while its tasks wait."""
    return any(among(frame, EVENT_LOOPS) for frame in stack.frames)

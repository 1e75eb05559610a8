"""Words and stacks that findings are made of: the user's own lines first, names as the user wrote them."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence

from concview.analysis.locks import LockSlice, LockWindow
from concview.analysis.records import Run
from concview.analysis.statistics import lower_mean
from concview.analysis.window import ThreadWindow, WaitProfile, Window
from concview.catalogue.base import Inapplicable
from concview.model import Frame, Site, Stack, StackEvidence, State, Wait, WaitKind, Where
from concview.text import duration, file_name, percent, plural, pool
from concview.text import group as group

#: No stack shown as evidence is longer: the leaf's side is kept, and the outermost frame.
MAX_FRAMES = 24
#: System calls in words: what the thread does with its peer.
_VERBS = {
    "read": "reading from", "pread64": "reading from", "readv": "reading from", "recvfrom": "waiting for data from",
    "recvmsg": "waiting for data from", "write": "writing to", "writev": "writing to", "pwrite64": "writing to",
    "sendto": "sending to", "sendmsg": "sending to", "connect": "connecting to", "fsync": "syncing",
    "fdatasync": "syncing", "poll": "waiting for", "ppoll": "waiting for", "select": "waiting for",
    "pselect6": "waiting for", "epoll_wait": "waiting for", "epoll_pwait": "waiting for", "flock": "locking",
    "openat": "opening", "open": "opening",
}  # fmt: skip


# ---------------------------------------------------------------- counting


def tick_ns(window: Window) -> float:
    """Mean time between two samples of the window."""
    return window.tick_ns


def samples_in(window: Window, nanoseconds: float) -> int:
    """How many samples fell into so much thread time."""
    return int(nanoseconds / max(1.0, tick_ns(window)))


def joined(spans: Iterable[tuple[int, int]]) -> list[tuple[int, int]]:
    """Overlapping and adjoining stretches of time, (start, end), as one, in the order of time."""
    found: list[tuple[int, int]] = []
    for start, end in sorted(spans):
        if found and start <= found[-1][1]:
            found[-1] = (found[-1][0], max(end, found[-1][1]))
        else:
            found.append((start, end))
    return found


#: A wait that has lasted so long without a break, and still does, is evidence by its length: [H] no healthy program of
#: the accuracy table has one of a second, and a finding comes within ten.
LASTING_NS = 5_000_000_000


def unchanged(window: Window, age_s: float, before: bool = False) -> str:
    """The sentence that says for how long something has stood; none where that is not known. `before`: it stood when
    it was first looked at."""
    if window.moment:
        return ""
    return f" Unchanged for {'at least ' if before else ''}{duration(age_s)}."


def lasting(window: Window, runs: Iterable[tuple[int, Run]], polls: bool = False) -> list[int]:
    """The threads, of (tid, run), whose wait lasts since `LASTING_NS` at least and has not ended. `polls`: they look
    again and again by themselves, and being woken is no end of it."""
    limit = window.end_ns - LASTING_NS
    still = ((tid, run.began_ns if polls else run.since_ns) for tid, run in runs if not run.end_ns)
    return list(dict.fromkeys(tid for tid, since in still if since <= limit))


def lower_waiters(window: Window, mean: float, most: int, episodes: int, stuck: int) -> float:
    """Lower end of a mean number of waiting threads. Those that are stuck are counted, not estimated."""
    return max(lower_mean(mean, most, window.samples, episodes), min(mean, float(stuck)))


# ---------------------------------------------------------------- words


def spot(file: str, line: int, function: str) -> str:
    """'cache.py:41 in Cache.get'."""
    name = file_name(file) or "?"
    return f"{name}:{line} in {function}" if function else f"{name}:{line}"


def frame_spot(frame: Frame | None) -> str:
    return spot(frame.file, frame.line, frame.function) if frame is not None else "an unknown place"


def who(window: Window, tids: Sequence[int]) -> str:
    """'web-3', 'web-1 and web-2', '8 threads (web-*)', '3 threads (2 web-*, MainThread)'."""
    names = [window.name(tid) for tid in tids]
    if not names:
        return "nobody"
    if len(names) == 1 or (len(names) == 2 and names[0] != names[1]):
        return " and ".join(names)
    pools: dict[str, list[str]] = {}
    for name in names:
        pools.setdefault(pool(name), []).append(name)
    if len(pools) == 1:
        return f"{len(names)} threads ({next(iter(pools))})"
    groups = Counter({p if len(own) > 1 else own[0]: len(own) for p, own in pools.items()})
    listed = ", ".join(f"{n} {g}" if n > 1 else g for g, n in groups.most_common(3))
    return f"{len(names)} threads ({listed}{', …' if len(groups) > 3 else ''})"


def waiting(who: str, mean: float, what: str) -> str:
    """`mean` of them at a time, in one way of counting with the title: 'On average 7.8 of 12 threads (web-*) wait for
    ...'; of one by its name 'web-3 waits for ..., 86 % of the time'."""
    number = f"{mean:.1f}" if mean >= 0.1 else f"{mean:.2f}"
    if who[:1].isdigit():
        return f"On average {number} of {who} wait {what}"
    if " and " in who:
        return f"{who} wait {what}, {number} of them at a time on average"
    return f"{who} waits {what}, {percent(min(1.0, mean))} of the time"


def at_once(mean: float, total: int, stuck: int, one: str, several: str) -> str:
    """'7 of 20 threads queue', '1 of 9 threads queues': how many do it at a time, of those that ever did. Of waits that
    last (`stuck`) the window may have the time before them, when nobody waited: these wait now."""
    now = min(total, max(1, round(mean), stuck))
    who = plural(total, "thread") if now == total else f"{now} of {total} threads"
    return f"{who} {one if now == 1 else several}"


def doing(wait: Wait) -> str:
    """What a thread does in the kernel: 'waiting for data from 127.0.0.1:5432', 'sleeping'."""
    if wait.kind is WaitKind.SLEEP:
        return "sleeping"
    if wait.kind is WaitKind.CHILD:
        return "waiting for a child process"
    if wait.kind is WaitKind.MEMORY:
        return "waiting for memory (its cgroup is at the limit)"
    if wait.kind is WaitKind.DISK:
        return f"waiting for the disk ({wait.peer.name})" if wait.peer else "waiting for the disk"
    verb = _VERBS.get(wait.syscall)
    if wait.peer is not None:
        return f"{verb or f'in {wait.syscall} on'} {wait.peer.shown}"
    where = f"fd {wait.fd}" if wait.fd >= 0 else "a descriptor"
    return f"{verb} {where}" if verb else f"in {wait.syscall or 'a system call'}"


def amount(value: float, unit: str) -> str:
    """A measured value with its unit, for people."""
    if unit.startswith("share"):
        return percent(value) + unit.removeprefix("share")
    if unit == "s":
        return duration(value)
    return f"{value:.3g} {unit}"


def lock_name(lock: LockWindow) -> str:
    """The lock as its user wrote it: 'self._lock'."""
    return site_name(lock.site, lock.kind, lock.address)


def site_name(site: Site | None, kind: str = "", address: int = 0) -> str:
    if site is not None and site.expression:
        return site.expression
    named = kind or "a lock"
    return f"{named} at {address:#x}" if address else named


def lock_spot(lock: LockWindow) -> str:
    """Where it is taken: by its site, else by the line that waits most for it."""
    if lock.site.file:
        return spot(lock.site.file, lock.site.line, lock.site.function)
    stack = waiter_stack(lock)
    return frame_spot(stack.user_leaf if stack is not None else None)


# ---------------------------------------------------------------- stacks


def heaviest(weighted: Iterable[tuple[Stack, int]]) -> Stack | None:
    """The stack with the most time; equal stacks are one object."""
    total: dict[int, int] = defaultdict(int)
    stacks: dict[int, Stack] = {}
    for stack, ns in weighted:
        if stack.frames:
            total[id(stack)] += ns
            stacks[id(stack)] = stack
    return stacks[max(total, key=total.__getitem__)] if total else None


def heaviest_in(wait_profiles: Iterable[WaitProfile], *states: State) -> Stack | None:
    """The stack in which most of the time in `states` was spent."""
    return heaviest((c.stack, c.ns) for c in wait_profiles if c.state in states)


def shown(role: str, tid: int, name: str, stack: Stack | None, note: str = "") -> tuple[StackEvidence, ...]:
    """The stack as evidence; nothing when there is none."""
    if stack is None or not stack.frames:
        return ()
    frames = stack.frames
    if len(frames) > MAX_FRAMES:
        frames = (*frames[: MAX_FRAMES - 1], frames[-1])
    return (StackEvidence(role, tid, name, frames, note),)


def at(frame: Frame) -> Where:
    return Where(frame.file, frame.line, frame.function, frame.text)


def places(*stacks: Stack | None, first: Site | None = None, limit: int = 4) -> tuple[Where, ...]:
    """Lines to look at: the lock's site, then the innermost lines of the user's own code of every stack."""
    found: list[Where] = []
    if first is not None and first.file:
        found.append(Where(first.file, first.line, first.function))
    for stack in stacks:
        if stack is None:
            continue
        own = [f for f in stack.frames if f.origin == "user"] or list(stack.frames[:1])
        found.extend(at(f) for f in own[:2])
    unique: dict[tuple[str, int], Where] = {}
    for where in found:
        known = unique.get((where.file, where.line))
        if known is None or (where.text and not known.text):
            unique[where.file, where.line] = where
    return tuple(unique.values())[:limit]


def main_hold(holds: Iterable[tuple[LockSlice, int]]) -> tuple[int, Stack | None]:
    """The stack in which a lock was held longest, and the thread that was in it longest; (0, None) without any."""
    known = list(holds)
    stack = heaviest((hold.run.stack, ns) for hold, ns in known)
    per: dict[int, int] = defaultdict(int)
    for hold, ns in known:
        if hold.run.stack is stack:
            per[hold.tid] += ns
    return (max(per, key=per.__getitem__), stack) if per else (0, None)


def hot(threads: Iterable[ThreadWindow], *states: State) -> list[tuple[Frame, float]]:
    """The user's functions in which threads spend their time in `states`, with the share of each; one line each."""
    per: dict[tuple[str, str], int] = defaultdict(int)
    lines: dict[tuple[str, str], dict[Frame, int]] = defaultdict(lambda: defaultdict(int))
    for thread in threads:
        for one in thread.wait_profiles:
            leaf = one.stack.user_leaf
            if leaf is not None and one.state in states:
                per[leaf.file, leaf.function] += one.ns
                lines[leaf.file, leaf.function][leaf] += one.ns
    whole = sum(per.values()) or 1
    order = sorted(per, key=lambda k: -per[k])
    order = [k for k in order if next(iter(lines[k])).origin == "user"] or order
    return [(max(lines[k], key=lines[k].__getitem__), per[k] / whole) for k in order]


def waiter_stack(lock: LockWindow) -> Stack | None:
    """The stack in which a lock was waited for longest."""
    return heaviest((run.stack, ns) for run, ns in lock.waited_as)


def waiter_stacks(window: Window, lock: LockWindow, limit: int = 3) -> tuple[StackEvidence, ...]:
    """The stacks of those who waited longest for a lock, one a thread."""
    longest = lock.waiters()[:limit]
    per: dict[int, list[LockSlice]] = {tid: [] for tid in longest}
    for wait in lock.waits:
        if wait.tid in per:
            per[wait.tid].append(wait)
    out: tuple[StackEvidence, ...] = ()
    for tid in longest:
        waited = sum(w.ns for w in per[tid]) / 1e9
        stack = heaviest((w.run.stack, w.ns) for w in per[tid])
        note = f"waited {duration(waited)} of the last {duration(window.seconds)}"
        out += shown("waiter", tid, window.name(tid), stack, note)
    return out


def entry(thread: ThreadWindow) -> Frame | None:
    """The outermost function of the user's own that a thread runs: what it was started for."""
    for slice_ in reversed(thread.slices):
        own = [f for f in slice_.run.stack.frames if f.origin == "user"]
        if own:
            return own[-1]
    return None


def require_gil(window: Window) -> None:
    """Inapplicable where threads run Python in parallel: a free-threaded build whose GIL is off."""
    if window.target.free_threaded and not any(g.holder > 0 or g.waiters for g in window.gil_ticks):
        raise Inapplicable("this build has no GIL: threads run Python in parallel here")


def require_free_threading(window: Window) -> None:
    """Inapplicable where the build has a GIL."""
    if not window.target.free_threaded:
        raise Inapplicable("this build has a GIL, and only free-threaded builds (3.13t and later) do this")

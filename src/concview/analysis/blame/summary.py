"""What the slices of a window come to: shares, causes, what is quiet, how much could be gained at most."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from functools import cached_property

from concview.analysis.blame.gain import Gain, Limit, error_of, gain, seen_at_once
from concview.analysis.blame.nouns import TAKEN, End, Family, Node, Place, Root, Row, Step, Via, exact, family, quiet
from concview.analysis.blame.tasks.names import name_of
from concview.analysis.blame.window import Slice
from concview.analysis.history import History
from concview.analysis.records import Run, ThreadHistory
from concview.analysis.tasks.limited import limited
from concview.model import Stack, TaskState, WaitKind
from concview.snapshot import Blame, BlameCause, BlameStep, QuietView
from concview.text import group

#: Causes and quiet rows that are kept, and threads named in one.
MOST_CAUSES, MOST_QUIET, MOST_THREADS = 40, 20, 100
_Key = tuple[object, ...]
#: The same end, by the best name that is known of it.
Best = Callable[[Root], Root]
#: Who spends this part of the time in a wait makes no rounds.
_ALL = 0.99
#: States of tasks of which nobody but they, or the loop, is the end.
_MOVES = frozenset({TaskState.RUNNING, TaskState.READY, TaskState.SLEEP, TaskState.IDLE})

#: Ends that a thread may stand at for long without anybody else in the way.
_NAMED_ENDS = frozenset(
    {End.PEER, End.LOOKUP, End.CHILD, End.STOPPED, End.MEMORY, End.NATIVE, End.FILE, End.UNEXPLAINED, End.CYCLE}
)  # fmt: skip


#: Of what is there it is not known how much it can do at once.
_OUTSIDE = frozenset({End.PEER, End.LOOKUP, End.CHILD, End.FILE, End.NATIVE})


@dataclass(slots=True)
class _Piece:
    """Nanoseconds of threads and tasks in one slice, by what they were started for."""

    ns: int
    rounds: dict[object, int] = field(default_factory=lambda: defaultdict(int))
    waited: dict[tuple[_Key, object], int] = field(default_factory=lambda: defaultdict(int))
    outside: dict[tuple[object, str], int] = field(default_factory=lambda: defaultdict(int))  #: by whom it ends at, too
    late: dict[object, int] = field(default_factory=lambda: defaultdict(int))  #: without a CPU


@dataclass(slots=True)
class Merged:
    """Rows with one end and one first step; the path with most time stands for the others."""

    root: Root
    path: tuple[Step, ...]
    family: Family
    most: int = 0
    named: bool = False  #: of a peer: more than its kind is known
    ns: dict[Node, int] = field(default_factory=lambda: defaultdict(int))
    owners: list[set[Node]] = field(default_factory=list)
    exact_ns: int = 0
    had_ns: int = 0  #: as in `Row`
    first: dict[tuple[object, ...], set[Node]] = field(default_factory=dict)  #: who is in front, by what it waits for

    @property
    def total(self) -> int:
        return sum(self.ns.values())


def as_it_is(root: Root) -> Root:
    return root


def rows_of(slices: Iterable[Slice], best: Best = as_it_is) -> list[Row]:
    """The rows of several slices, added up; each end by its best name."""
    found: dict[_Key, Row] = {}
    for one in slices:
        for row in one.rows.values():
            root = best(row.root)
            key = root, row.path
            known = found.get(key)
            if known is None:
                known = found[key] = Row(root, row.path, {}, [set() for _ in row.owners])
            for tid, ns in row.ns.items():
                known.ns[tid] = known.ns.get(tid, 0) + ns
            for mine, theirs in zip(known.owners, row.owners, strict=False):
                mine |= theirs
            known.had_ns += row.had_ns
    return list(found.values())


def _behind(path: Sequence[Step]) -> tuple[object, ...]:
    """What those in front are told to wait for themselves: others that do something else are not counted with them."""
    return (path[1].via, path[1].what, path[1].who) if len(path) > 1 else ()


def _where(root: Root) -> Place | None:
    """The place that tells ends apart. Of a peer the program's own line does: that a library connects at one of its
    lines, and reads at another, makes no two peers."""
    if not root.place.file:
        return None
    return root.place._replace(inside="") if root.kind is End.PEER else root.place


def merged(rows: Iterable[Row]) -> list[Merged]:
    """Most time first."""
    found: dict[_Key, Merged] = {}
    for row in rows:
        first = row.path[0] if row.path else None
        told = (first.via, first.what, first.place) if first else ()
        kind = family(row.path)
        key = (row.root.kind, _where(row.root) or row.root.what, kind, *told)
        one = found.get(key)
        if one is None:
            one = found[key] = Merged(row.root, row.path, kind)
        total = row.total
        if row.owners:
            one.first.setdefault(_behind(row.path), set()).update(row.owners[0])
        named = row.root.other is None or bool(row.root.other.key)
        if (named, total) > (one.named, one.most):
            one.named, one.most = named, total
            one.root, one.path, one.owners = row.root, row.path, [set(o) for o in row.owners]
        if one.owners:
            one.owners[0] = one.first[_behind(one.path)]
        one.had_ns += row.had_ns
        if exact(row.path):
            one.exact_ns += total
        for tid, ns in row.ns.items():
            one.ns[tid] += ns
    return sorted(found.values(), key=lambda m: -m.total)


def summarise(
    slices: Sequence[Slice],
    history: History,
    limits: tuple[float, float],
    held: Sequence[tuple[frozenset[int], Limit]] = (),
    best: Best = as_it_is,
) -> Blame | None:
    """None without any thread time. `limits`: the parts of the GIL and of the CPUs that are in use. `held`: locks and
    the like that nobody waits for, with the tids that have them now and then. `best`: names peers."""
    total = sum(s.total_ns for s in slices)
    seconds = sum(s.end_ns - s.start_ns for s in slices) / 1e9
    if total <= 0 or seconds <= 0:
        return None
    rows = rows_of(slices, best)
    sums: dict[str, int] = defaultdict(int)
    exact_ns = behind_ns = 0
    busy: dict[Node, int] = defaultdict(int)
    for row in rows:
        ns = row.total
        sums[_part(row)] += ns
        if row.path:
            behind_ns += ns
            exact_ns += ns if exact(row.path) else 0
            if family(row.path) is Family.STALL and row.root.kind is not End.UNEXPLAINED:
                sums["stalled"] += ns
        if row.root.kind is not End.IDLE or row.path:
            for tid, part in row.ns.items():
                busy[tid] += part
    together = merged(rows)
    active = total - sums["quiet"]
    tell = _Teller(history, busy, together, limits, max(1, active), slices, held, best)
    causes = _kept([m for m in together if not quiet(m.root, m.path)])
    return Blame(
        seconds=seconds,
        threads=total / 1e9 / seconds,
        active=active / 1e9 / seconds,
        own=sums["own"] / total,
        held_up=sums["held_up"] / total,
        waits=sums["waits"] / total,
        starved=sums["starved"] / total,
        quiet=sums["quiet"] / total,
        unexplained=sums["unexplained"] / total,
        stalled=sums["stalled"] / total,
        exact=exact_ns / behind_ns if behind_ns else 0.0,
        unread=_unread(slices, history) / total,
        causes=tuple(tell.cause(m) for m in causes),
        quiets=tuple(tell.quiet(m, seconds) for m in together if quiet(m.root, m.path))[:MOST_QUIET],
        gil_held=limits[0],
        cpu_used=limits[1],
        moments=sum(s.moments for s in slices),
        sampled_moments=sum(s.followed for s in slices),
        tasks=sum(ns for row in rows for node, ns in row.ns.items() if node < 0) / 1e9 / seconds,
    )


def _kept(causes: Sequence[Merged]) -> list[Merged]:
    """The largest, and of the others the largest of each sort: where very many places each take a little, what the
    verdict is about must not be cut off. `causes`: largest first."""
    first: dict[tuple[Family, End], Merged] = {}
    for cause in causes:
        first.setdefault((cause.family, cause.root.kind), cause)
    return [c for i, c in enumerate(causes) if i < MOST_CAUSES or first[c.family, c.root.kind] is c]


def _part(row: Row) -> str:
    if quiet(row.root, row.path):
        return "quiet"
    if row.root.kind is End.UNEXPLAINED:
        return "unexplained"
    kind = family(row.path)
    if row.root.kind is End.CYCLE:
        return "held_up"  # also without a path: workers of a pool that waits for itself
    if kind is Family.OWN:
        return "starved" if row.root.kind is End.STARVED else "own"
    return "held_up" if kind is Family.TAKEN else "waits"


def _unread(slices: Sequence[Slice], history: History) -> int:
    """Nanoseconds of the window in which what the kernel says of a thread could not be read."""
    start, end = slices[0].start_ns, slices[-1].end_ns
    found = 0
    for thread in history.threads.values():
        if not thread.counts:
            continue
        for run in reversed(thread.runs):
            if run.end_ns and run.end_ns <= start:
                break
            if run.wait.kind is WaitKind.UNKNOWN:
                found += max(0, min(run.end_ns or end, end) - max(run.start_ns, start))
    return found


class _Teller:
    """Turns merged rows into what is shown."""

    def __init__(
        self,
        history: History,
        busy: dict[Node, int],
        every: Sequence[Merged],
        limits: tuple[float, float],
        active: int,
        slices: Sequence[Slice] = (),
        held: Sequence[tuple[frozenset[int], Limit]] = (),
        best: Best = as_it_is,
    ) -> None:
        self._history, self._busy, self._active = history, busy, active
        self._limits, self._slices, self._held, self._best = limits, slices, held, best
        self._threads: dict[Node, ThreadHistory] = {t.tid: t for t in [*history.gone, *history.threads.values()]}
        #: By their numbers as nodes.
        self._tasks = {-t.id: t for t in [*history.aio.gone, *history.aio.tasks.values()]}
        self._alike: dict[Node, object] = {}
        self._limited = limited(history.aio)
        self._rounds: dict[object, int] = defaultdict(int)
        for tid, ns in busy.items():
            self._rounds[self._loop(tid)] += ns
        #: A resource may be waited for on the way to several ends: what counts is all of it.
        self._waited: dict[_Key, dict[Node, int]] = defaultdict(lambda: defaultdict(int))
        self._gains: dict[_Key, Gain | None] = {}  #: as far as they were asked for
        at: dict[Place, set[tuple[Via, str]]] = defaultdict(set)
        for m in every:
            if m.path:
                at[m.path[0].place].add((m.path[0].via, m.path[0].what))
        for m in every:
            # At a hand-over it may not be seen who has it: who waits there waits for the same thing all the same.
            there = at.get(m.root.place, set()) if m.root.kind is End.UNEXPLAINED and not m.path else set()
            what = (m.path[0].via, m.path[0].what) if m.path else next(iter(there)) if len(there) == 1 else None
            if what is not None:
                for tid, ns in m.ns.items():
                    self._waited[what][tid] += ns

    def cause(self, m: Merged) -> BlameCause:
        total = m.total
        won = self._gain(m) if m.family is Family.TAKEN else None
        tids = sorted(m.ns, key=lambda t: -m.ns[t])
        steps = []
        waiters: set[Node] = set(tids)
        for i, step in enumerate(m.path):
            owners = m.owners[i] if i < len(m.owners) else set()
            steps.append(
                BlameStep(
                    step.via,
                    step.what,
                    step.who,
                    step.place.file,
                    step.place.line,
                    step.place.function,
                    step.confidence,
                    _few(waiters),
                    _few(owners),
                    _few_tasks(waiters),
                    _few_tasks(owners),
                    step.place.inside,
                    round(m.had_ns / total, 2) if not i and total else 0.0,
                )
            )
            waiters = owners
        return BlameCause(
            family=m.family,
            kind=m.root.kind,
            what=m.root.what,
            file=m.root.place.file,
            line=m.root.place.line,
            function=m.root.place.function,
            share=total / self._active,
            thread_s=total / 1e9,
            threads=tuple([t for t in tids if t > 0][:MOST_THREADS]),
            tasks=tuple([-t for t in tids if t < 0][:MOST_THREADS]),
            path=tuple(steps),
            who=self._names(tids),
            ends=self._names(m.owners[-1]) if m.path and len(m.owners) == len(m.path) else "",
            exact=m.exact_ns * 2 > total and exact(m.path),
            at_most=won.at_most if won is not None else None,
            stuck_s=self._stuck(m),
            inside=m.root.place.inside,
            silent_s=self._silent(m),
            estimate=won.estimate if won is not None else None,
            at_least=won.low if won is not None else None,
        )

    def quiet(self, m: Merged, seconds: float) -> QuietView:
        place = m.root.place
        threads = m.total / 1e9 / seconds
        return QuietView(
            m.root.kind, m.root.what, threads, place.file, place.line, _few(set(m.ns)), _few_tasks(set(m.ns))
        )

    def _gain(self, m: Merged) -> Gain | None:
        """How many times as many rounds the loops of those who wait would do without this wait: see `gain`. Those that
        have what is waited for run in the same loop as those that wait for it. None where no round was made: they stand
        still, and nothing can be multiplied."""
        if m.root.kind in (End.CYCLE, End.NOBODY):
            return None
        key = m.path[0].via, m.path[0].what
        if key not in self._gains:
            self._gains[key] = self._gain_of(key)
        return self._gains[key]

    def _gain_of(self, key: _Key) -> Gain | None:
        waited = self._waited[key]
        loops = {self._loop(tid) for tid in waited}
        rounds = sum(self._rounds[loop] for loop in loops)
        lost = sum(waited.values())
        if rounds <= 0 or lost >= _ALL * rounds:
            return None
        ns = max(1, sum(s.end_ns - s.start_ns for s in self._slices))
        late, queues = 0.0, []
        for other, waiting in self._waited.items():
            if other == key or other[0] not in TAKEN:
                continue
            mean = sum([part for tid, part in waiting.items() if self._loop(tid) in loops]) / ns
            if other[0] is Via.GIL:
                late += mean
            else:
                queues.append(mean)
        pieces = self._pieces
        late += sum([p.late[loop] for p in pieces for loop in loops]) / ns
        ends = {what for p in pieces for loop, what in p.outside if loop in loops}
        unsure = [
            seen_at_once([sum([p.outside.get((loop, what), 0) for loop in loops]) / p.ns for p in pieces])
            for what in ends
        ]
        unsure += [limit for tids, limit in self._held if any(self._loop(tid) in loops for tid in tids)]
        error = error_of(
            [
                sum([p.waited[key, loop] for loop in loops]) / whole
                for p in pieces
                if (whole := sum([p.rounds[loop] for loop in loops])) > 0
            ]
        )
        return gain(rounds / ns, lost / ns, max(self._limits), late, queues, unsure, error * rounds / ns)

    @cached_property
    def _pieces(self) -> list[_Piece]:
        """What the loops did, slice by slice."""
        return [self._piece(one) for one in self._slices]

    def _piece(self, one: Slice) -> _Piece:
        piece = _Piece(max(1, one.end_ns - one.start_ns))
        for row in one.rows.values():
            if row.root.kind is End.IDLE and not row.path:
                continue
            key = (row.path[0].via, row.path[0].what) if row.path else None
            for tid, ns in row.ns.items():
                loop = self._loop(tid)
                piece.rounds[loop] += ns
                if key is not None:
                    piece.waited[key, loop] += ns
                elif row.root.kind in _OUTSIDE:
                    piece.outside[loop, self._best(row.root).what] += ns
                elif row.root.kind is End.STARVED:
                    piece.late[loop] += ns
        return piece

    def _loop(self, tid: Node) -> object:
        """What a thread was started for: its outermost function of the program, else its name's group."""
        known = self._alike.get(tid)
        if known is None and tid < 0:
            task = self._tasks.get(tid)
            function = task.function if task is not None else None
            known = self._alike[tid] = (function.file, function.function) if function is not None else tid
        if known is None:
            thread = self._threads.get(tid)
            run = thread.runs[-1] if thread is not None and thread.runs else None
            own = [f for f in run.stack.frames if f.origin == "user"] if run is not None else []
            known = (own[-1].file, own[-1].function) if own else group(thread.name) if thread is not None else tid
            self._alike[tid] = known
        return known

    def _stuck(self, m: Merged) -> float:
        """For how long the one that has waited longest has, without a break and without a time limit."""
        if not m.path and m.root.kind not in _NAMED_ENDS:
            return 0.0
        longest = 0
        place = m.path[0].place if m.path else m.root.place
        moved = self._history.relations.moved() if m.root.kind is End.PEER and not m.path else {}
        some = any(-tid in moved for tid in m.ns)
        for tid in m.ns:
            if tid < 0:
                # What has moved on its connection ends a wait, also where the next one reads the same in memory: a
                # future often lies where the last one lay. Those of which the kernel was not asked are like the others.
                since = moved.get(-tid, 0)
                if since or not some:
                    longest = max(longest, min(self._task_stuck(tid, place), self._history.aio.now_ns - since))
                continue
            thread = self._history.threads.get(tid)
            run = thread.current if thread is not None else None
            if run is None or not _stands_at(run.stack, place):
                continue
            if m.root.kind is End.NOBODY and (run.wait.timed or run.wait.kind is WaitKind.SLEEP):
                # Looking again now and then is no progress, where nobody is left to give it.
                longest = max(longest, self._history.now_ns - _there_since(self._history.threads[tid], run, place))
                continue
            if run.wait.timed or run.wait.kind in (WaitKind.RUNNING, WaitKind.GIL, WaitKind.SLEEP):
                continue
            longest = max(longest, self._history.now_ns - run.since_ns)
        return longest / 1e9

    def _silent(self, m: Merged) -> float:
        """For how long nothing has moved on a connection at which a thread waits in slices: its client looks now and
        then whether it is to stop (psycopg), and no slice is long."""
        if m.path or m.root.kind is not End.PEER:
            return 0.0
        moved = {tid: link.moved_ns for link in self._history.relations.links() for tid in link.waiters}
        longest = 0
        for tid in m.ns:
            thread = self._history.threads.get(tid)
            run = thread.current if thread is not None else None
            if thread is None or run is None or not moved.get(tid) or not _stands_at(run.stack, m.root.place):
                continue
            since = max(moved[tid], _there_since(thread, run, m.root.place))
            longest = max(longest, self._history.now_ns - since)
        return longest / 1e9

    def _task_name(self, node: Node) -> str:
        task = self._tasks.get(node)
        return name_of(task) if task is not None else "a task"

    def _task_stuck(self, node: Node, place: Place) -> int:
        task = self._history.aio.tasks.get(-node)
        run = task.current if task is not None else None
        if run is None or run.wait.state in _MOVES or -node in self._limited:
            return 0
        if not _stands_at(run.stack, place):
            return 0
        return self._history.aio.now_ns - run.began_ns

    def _names(self, tids: Iterable[Node]) -> str:
        """'rpc', 'rpc and peer', 'rpc, peer and 3 more'."""
        counts: dict[str, int] = defaultdict(int)
        for tid in tids:
            thread = self._threads.get(tid)
            if tid < 0:
                counts[self._task_name(tid)] += 1
            elif thread is not None:
                counts[group(thread.name)] += 1
        names = sorted(counts, key=lambda n: (-counts[n], n))
        if len(names) <= 2:
            return " and ".join(names)
        return f"{', '.join(names[:2])} and {len(names) - 2} more"


def _stands_at(stack: Stack, place: Place) -> bool:
    """Whether it is there that it waits now: it may have gone on to something else."""
    return not place.file or any(f.line == place.line and f.file == place.file for f in stack.frames)


def _there_since(thread: ThreadHistory, run: Run, place: Place) -> int:
    """Since when, without a break, each sample has seen it below that line."""
    since = run.start_ns
    for earlier in reversed(thread.runs):
        if not _stands_at(earlier.stack, place):
            break
        since = min(since, earlier.start_ns)
    return since


def _few(nodes: set[Node]) -> tuple[int, ...]:
    """Threads among these."""
    return tuple(sorted(n for n in nodes if n > 0)[:MOST_THREADS])


def _few_tasks(nodes: set[Node]) -> tuple[int, ...]:
    """Ids of tasks among these."""
    return tuple(sorted(-n for n in nodes if n < 0)[:MOST_THREADS])

"""Blame over made-up graphs and windows: what must hold whatever the threads do."""

from __future__ import annotations

import random

import pytest
from build import RUNNING, SLEEP, Scene, frame, holds, recv, site, stdlib, waits_for
from hypothesis import given, settings
from hypothesis import strategies as st

from concview.analysis.blame.engine import Memory, follow
from concview.analysis.blame.nouns import (
    NOWHERE,
    QUIET,
    End,
    Family,
    Link,
    Node,
    Place,
    Root,
    Step,
    Via,
    exact,
    family,
)
from concview.analysis.blame.summary import rows_of, summarise
from concview.analysis.blame.tracker import Tracker
from concview.analysis.blame.window import Blamer
from concview.analysis.window import Window
from concview.model import Confidence, Frame, Links, Peer, Reference, Related, Relations, Severity, Wait, WaitKind
from concview.source.wakes import Wakes

ENDS = [Root(kind, kind.value) for kind in End if kind is not End.CYCLE]


@st.composite
def graphs(draw: st.DrawFn) -> dict[Node, Root | Link]:
    """Nodes that end or wait for any of the others, for themselves and for strangers."""
    count = draw(st.integers(1, 14))
    found: dict[Node, Root | Link] = {}
    for node in range(count):
        if draw(st.booleans()):
            found[node] = draw(st.sampled_from(ENDS))
        else:
            others = draw(st.lists(st.integers(0, count + 1), max_size=5))
            sure = draw(st.sampled_from([Confidence.EXACT, Confidence.INFERRED]))
            via = draw(st.sampled_from(list(Via)))
            outside = draw(st.sampled_from([None, None, Root(End.PEER, "process x (pid 9)")]))
            step = Step(via, f"thing {node}", f"t{node}", NOWHERE, sure)
            alone = draw(st.sampled_from([None, None, Root(End.IDLE, "minds others")]))
            found[node] = Link(step, others, ("thing", node % 3), outside=outside, alone=alone)
    return found


@given(graphs(), graphs())
def test_every_path_ends_no_node_is_twice_on_one_and_the_weights_sum_to_one(
    first: dict[Node, Root | Link], second: dict[Node, Root | Link]
) -> None:
    memory = Memory()
    for at, graph in enumerate((first, second)):
        found = follow(graph, graph.__getitem__, at * 10_000_000, memory)
        assert set(found) == set(graph)
        for node, parts in found.items():
            assert abs(sum(p.weight for p in parts) - 1) < 1e-9
            for part in parts:
                assert part.weight > 0
                outside = part.root == Root(End.PEER, "process x (pid 9)")
                assert len(part.nodes) == len(part.path) - outside
                assert len({node, *part.nodes}) == len(part.nodes) + 1
                assert exact(part.path) == all(s.confidence is Confidence.EXACT for s in part.path)
                if part.path:
                    assert part.root.kind is not End.PACE  # a pause that others wait for is no pause


@given(graphs())
def test_who_waits_in_vain_for_nobody_is_unexplained_and_never_spread(graph: dict[Node, Root | Link]) -> None:
    found = follow(graph, graph.__getitem__)
    for node, said in graph.items():
        if isinstance(said, Link) and said.outside is None and not [o for o in said.others if o in graph and o != node]:
            assert [p.root.kind for p in found[node]] == [End.UNEXPLAINED]
            assert not found[node][0].path


def test_a_circle_without_a_way_out_is_one_and_one_with_a_way_out_is_none() -> None:
    def waits(who: str, *others: int) -> Link:
        return Link(Step(Via.LOCK, "a lock", who, NOWHERE, Confidence.EXACT), others)

    closed: dict[Node, Root | Link] = {1: waits("a", 2), 2: waits("b", 1), 3: waits("c", 1)}
    found = follow(closed, closed.__getitem__)
    assert {p.root.kind for parts in found.values() for p in parts} == {End.CYCLE}
    # One of the two that 1 waits for waits for 1 itself: the other one is in the way.
    open_: dict[Node, Root | Link] = {1: waits("a", 2, 3), 2: waits("b", 1), 3: Root(End.SLEEP, "sleeps")}
    found = follow(open_, open_.__getitem__)
    assert [(p.root.kind, len(p.path)) for p in found[2]] == [(End.SLEEP, 2)]


def test_a_chain_of_thousands_ends_like_a_short_one() -> None:
    chain: dict[Node, Root | Link] = {
        n: Link(Step(Via.LOCK, f"lock {n}", "t", NOWHERE, Confidence.EXACT), [n + 1]) for n in range(5_000)
    }
    chain[5_000] = Root(End.CPU, "runs")
    found = follow(chain, chain.__getitem__)
    assert all(len(parts) == 1 and parts[0].root.kind is End.CPU for parts in found.values())


# ---------------------------------------------------------------- windows

FILE = "/srv/app.py"
LOCK_SITE = site("LOCK", 10)
CONDITIONS = [
    ([frame("work", 11)], RUNNING, ()),
    ([frame("work", 12)], SLEEP, ()),
    ([frame("work", 12, holds=(LOCK_SITE,))], recv(), holds(0x10, LOCK_SITE)),
    ([frame("work", 10, acquires=LOCK_SITE)], waits_for(0x10), ()),
    ([stdlib("Queue.get", "queue.py"), frame("serve", 20)], waits_for(0x20, via="Queue.get"), ()),
    ([stdlib("Event.wait", "threading.py"), frame("gate", 30)], waits_for(0x30, via="Event.wait"), ()),
    ([stdlib("Semaphore.acquire", "threading.py"), frame("limited", 40)], waits_for(0x40, via="Semaphore.acquire"), ()),
]


def tracker() -> Tracker:
    return Tracker(Wakes(lambda _: ()))


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 1 << 30), st.integers(1, 9), st.sampled_from([1, 40, 3_500]))
def test_the_rows_of_a_window_sum_to_threads_times_time_to_the_nanosecond(seed: int, threads: int, budget: int) -> None:
    rng = random.Random(seed)
    scene = Scene(rules={})
    tids = [scene.thread(f"t-{i}") for i in range(threads)]
    blamer = Blamer(Wakes(lambda _: ()), budget)

    def script(at: float) -> None:
        for tid in tids:
            if at == 0 or rng.random() < 0.2:
                scene.do(tid, *rng.choice(CONDITIONS))

    for _ in range(3):
        scene.play(0.7, script)
        blamer.advance(scene.history)
    for one in blamer.slices:
        assert sum(row.total for row in one.rows.values()) == one.total_ns
        assert one.followed <= max(one.moments, 2)
    assert [a.end_ns for a in blamer.slices][:-1] == [b.start_ns for b in blamer.slices][1:]
    # All that was seen of every thread, and nothing else: the window begins when the first of them was seen.
    seen = sum(
        (run.end_ns or scene.history.now_ns) - run.start_ns for t in tids for run in scene.history.threads[t].runs
    )
    whole = sum(s.total_ns for s in blamer.slices)
    if budget == 3_500:
        assert whole == seen
    blame = summarise(list(blamer.slices), scene.history, (0.0, 0.0))
    assert blame is not None
    shares = (blame.own, blame.held_up, blame.waits, blame.starved, blame.quiet, blame.unexplained)
    assert abs(sum(shares) - 1) < 1e-9
    assert sum(row.total for row in rows_of(blamer.slices)) == whole
    for row in rows_of(blamer.slices):
        if row.root.kind in QUIET and row.path:
            assert family(row.path) is not Family.OWN


def test_a_lock_held_across_a_call_is_told_with_its_end_and_its_bound() -> None:
    scene = Scene(rules={})
    tids = [scene.thread(f"web-{i}") for i in range(4)]

    def script(at: float) -> None:
        turn = int(at * 10) % 4
        for i, tid in enumerate(tids):
            scene.do(tid, *CONDITIONS[2 if i == turn else 3])

    scene.play(4, script)
    found = tracker().blame(Window(scene.history))
    assert found is not None
    assert found.verdict == "held up"
    assert found.severity is Severity.WARN
    top = found.causes[0]
    assert (top.family, top.kind, top.path[0].via, top.path[0].what) == ("taken", "peer", "lock", "LOCK")
    assert top.exact
    assert abs(top.share - 0.75) < 0.02
    assert top.at_most is not None
    assert abs(top.at_most - 4.0) < 0.2
    assert "5432" in found.sentence


def test_three_threads_that_wait_for_ever_are_told_though_a_hundred_are_busy() -> None:
    scene = Scene(rules={})
    stuck = [scene.thread(f"stuck-{i}") for i in range(3)]
    busy = [scene.thread(f"busy-{i}") for i in range(60)]

    def script(at: float) -> None:
        if at == 0:
            for tid in busy:
                scene.do(tid, *CONDITIONS[0])
            scene.do(busy[0], *CONDITIONS[2])
            for tid in stuck:
                scene.do(tid, *CONDITIONS[3])

    scene.play(7, script)
    found = tracker().blame(Window(scene.history))
    assert found is not None
    assert (found.verdict, found.severity) == ("stuck", Severity.WARN)
    assert "3 threads (stuck) wait for LOCK" in found.sentence


def test_who_waits_for_a_lock_that_processes_share_is_not_called_idle() -> None:
    scene = Scene(rules={})
    tid = scene.thread("MainThread")
    taking = stdlib("SemLock.__enter__", "multiprocessing/synchronize.py", 95)

    def script(at: float) -> None:
        if at == 0:
            scene.do(tid, *CONDITIONS[0])
        elif at >= 1:
            scene.do(tid, [taking, frame("work", 4)], waits_for(0x5000, kind="multiprocessing.Lock"))

    scene.play(8, script)
    found = tracker().blame(Window(scene.history))
    assert found is not None
    assert found.verdict not in ("idle", "clear")
    assert found.unexplained > 0.8
    assert "check --tree" in found.causes[0].what


@pytest.mark.parametrize(("inner", "via", "kind", "verdict", "said"), [
    ([], "", "multiprocessing.Lock", "held up",
     "held by another process, maybe one that has ended (check --tree names it)"),
    # One reads at a time, and the others wait for their turn: no fault, unless it has ended.
    ([stdlib("Queue.get", "multiprocessing/queues.py")], "", "multiprocessing.Lock", "outside", "its turn at a queue"),
    ([stdlib("Queue.put", "multiprocessing/queues.py")], "Queue.put", "multiprocessing.Semaphore", "stuck",
     "to be made by a process that takes something out of it"),
])  # fmt: skip
def test_what_this_process_has_not_taken_itself_another_one_has(
    inner: list[Frame], via: str, kind: str, verdict: str, said: str
) -> None:
    scene = Scene(rules={})
    tids = tuple(scene.thread(f"w-{n}") for n in range(3))
    stack = [stdlib("SemLock.__enter__", "multiprocessing/synchronize.py", 95), *inner, frame("work", 4)]
    for tid in tids:
        scene.do(tid, stack, waits_for(0x5000, via=via, kind=kind))
    scene.play(1)
    row = Related(0x5000, kind, "Lock", "lock", tids, complete=True)
    scene.history.apply(Relations(scene.history.now_ns, (row,), 3, 3))
    scene.play(8)
    found = tracker().blame(Window(scene.history))
    assert found is not None
    assert (found.verdict, found.unexplained) == (verdict, 0) and said in found.sentence


@pytest.mark.parametrize("during", [True, False], ids=["during the wait", "before it"])
def test_a_lock_that_was_passed_on_while_it_was_searched_for_is_not_lost(during: bool) -> None:
    """Threads are searched one after the other: a lock that changes hands meanwhile is found with none of them."""
    scene = Scene(rules={})
    waiter, other = scene.thread("waiter"), scene.thread("other")
    asks = [frame("take", 10, acquires=LOCK_SITE)]

    def script(at: float) -> None:
        scene.do(waiter, *((asks, waits_for(0x5000)) if at >= 1 else ([frame("rest", 50)], SLEEP)))
        seen = (at >= 1) is during and at < 2
        scene.do(other, *(([frame("keep", 12)], SLEEP, holds(0x5000, LOCK_SITE)) if seen else CONDITIONS[1]))

    scene.play(2, script)
    row = Related(0x5000, "Lock", "Lock", "lock", (waiter,), value=1, complete=True)
    scene.history.apply(Relations(scene.history.now_ns, (row,), 2, 2))
    scene.play(6)
    found = tracker().blame(Window(scene.history))
    assert found is not None
    lost = [c.what for c in found.causes if "no thread of this process has it" in c.what]
    assert bool(lost) is not during, [c.what for c in found.causes]


def test_nothing_is_called_clear_whose_states_cannot_be_read() -> None:
    scene = Scene(rules={})
    for i in range(3):
        scene.do(scene.thread(f"t-{i}"), [frame("work", 1)], Wait(WaitKind.UNKNOWN))
    scene.play(5)
    found = tracker().blame(Window(scene.history))
    assert found is not None
    assert found.verdict == "unreadable"
    assert found.severity is None


SOURCE = """\
import threading
sem = threading.Semaphore(2)
def limited():
    while True:
        with sem:
            ask()
def gate():
    ready.wait()
def opener():
    ask()
    ready.set()
"""


def test_a_permit_and_a_signal_are_followed_by_the_source() -> None:
    scene = Scene(rules={})
    waiting = [stdlib("Semaphore.acquire", "threading.py"), frame("limited", 5)]
    gate = [stdlib("Event.wait", "threading.py"), frame("gate", 8)]
    owners = [scene.thread(f"rpc-{i}") for i in range(2)]
    waiters = [scene.thread(f"rpc-{i}") for i in range(2, 6)]
    gated = [scene.thread(f"gated-{i}") for i in range(4)]
    opener = scene.thread("init")
    for tid in owners:
        scene.do(tid, [frame("limited", 6)], recv())
    for tid in waiters:
        scene.do(tid, waiting, waits_for(0x40, via="Semaphore.acquire", kind="Semaphore"))
    for tid in gated:
        scene.do(tid, gate, waits_for(0x30, via="Event.wait"))
    scene.do(opener, [frame("opener", 10)], recv())
    scene.play(4)
    lines = SOURCE.split("\n")
    found = Tracker(Wakes(lambda file: lines if file == FILE else ())).blame(Window(scene.history))
    assert found is not None
    permit = next(c for c in found.causes if c.path and c.path[0].via == "permit")
    assert (permit.path[0].what, permit.kind) == ("sem", "peer")
    assert set(permit.path[0].owners) == set(owners)
    assert set(permit.threads) == set(waiters)
    assert not permit.exact
    signal = next(c for c in found.causes if c.path and c.path[0].via == "signal")
    assert (signal.path[0].what, signal.path[0].owners, set(signal.threads)) == ("ready", (opener,), set(gated))
    assert found.unexplained == 0


POOLS = """\
class Pool:
    def get(self):
        with self.cond:
            while not self.free:
                self.cond.wait()
            return self.free.pop()
    def put(self, x):
        with self.cond:
            self.free.append(x)
            self.cond.notify()
def work(pool):
    while True:
        x = pool.get()
        ask()
        pool.put(x)
def other(pool):
    job = pool.get()
    ask()
    pool.put(follow(job))
"""


def test_of_two_pools_alike_the_one_is_not_blamed_for_the_other() -> None:
    scene = Scene(rules={})
    getting = [stdlib("Condition.wait", "threading.py"), frame("Pool.get", 5), frame("work", 13)]
    asking = [frame("ask", 90), frame("work", 14)]
    waiters = {0x100: scene.thread("a-0"), 0x200: scene.thread("b-0")}
    owners = {0x100: scene.thread("a-1"), 0x200: scene.thread("b-1")}
    for address, tid in waiters.items():
        scene.do(tid, getting, waits_for(address, via="Condition.wait", kind="Condition"))
    for tid in owners.values():
        scene.do(tid, asking, recv())
    rows = [
        Related(
            address,
            "Condition",
            "Condition",
            "self.cond",
            (waiters[address],),
            references=(
                Reference(owners[address], 1, "local", "pool.cond", "work", FILE, 14),
                Reference(waiters[address], 1, "local", "self.cond", "Pool.get", FILE, 5),
                Reference(waiters[address], 2, "local", "pool.cond", "work", FILE, 13),
            ),
            complete=True,
        )
        for address in waiters
    ]
    scene.play(1)
    scene.history.apply(Relations(scene.history.now_ns, tuple(rows), 4, 4))
    scene.play(3)
    lines = POOLS.split("\n")
    blamer = Blamer(Wakes(lambda file: lines if file == FILE else ()))
    blamer.advance(scene.history)
    behind = [row for row in rows_of(blamer.slices) if row.path]
    assert {row.path[0].via for row in behind} == {Via.RESOURCE}
    for address in waiters:
        assert [row.owners[0] for row in behind if waiters[address] in row.ns] == [{owners[address]}]


def test_what_became_known_later_explains_what_was_before() -> None:
    """Nothing in the stacks tells who has it; that it is read takes a while."""
    scene = Scene(rules={})
    waiter, owner = scene.thread("w-0"), scene.thread("w-1")
    scene.do(waiter, [frame("Wrapper.take", 3)], waits_for(0x100, kind="Lock"))
    scene.do(owner, [frame("ask", 90)], recv())
    blamer = Blamer(Wakes(lambda _: ()))
    for _ in range(5):
        scene.play(0.5)
        blamer.advance(scene.history)
    assert sum(s.unexplained_ns for s in blamer.slices) == scene.history.now_ns - scene.history.first_ns
    row = Related(0x100, "Lock", "Lock", "self.lock", (waiter,), value=1, owner=owner)
    scene.history.apply(Relations(scene.history.now_ns, (row,), 2, 2))
    for _ in range(2):
        scene.play(0.5)
        blamer.advance(scene.history)
    assert sum(s.total_ns for s in blamer.slices) == 2 * (scene.history.now_ns - scene.history.first_ns)
    assert not sum(s.unexplained_ns for s in blamer.slices)


def test_who_puts_in_something_else_than_it_took_has_nothing_of_it() -> None:
    scene = Scene(rules={})
    waiter, busy = scene.thread("w-0"), scene.thread("w-1")
    getting = [stdlib("Condition.wait", "threading.py"), frame("Pool.get", 5), frame("other", 17)]
    scene.do(waiter, getting, waits_for(0x100, via="Condition.wait", kind="Condition"))
    scene.do(busy, [frame("ask", 90), frame("other", 18)], recv())
    names = [Reference(t, 1, "local", "pool.cond", "other", FILE, n) for t, n in ((waiter, 17), (busy, 18))]
    names.append(Reference(waiter, 1, "local", "self.cond", "Pool.get", FILE, 5))
    scene.play(1)
    row = Related(0x100, "Condition", "Condition", "self.cond", (waiter,), references=tuple(names), complete=True)
    scene.history.apply(Relations(scene.history.now_ns, (row,), 2, 2))
    scene.play(3)
    lines = POOLS.split("\n")
    found = Tracker(Wakes(lambda file: lines if file == FILE else ())).blame(Window(scene.history))
    assert found is not None
    assert found.held_up == 0


LENDS = """\
class Lender:
    def lend(self):
        return self.free.get()
    def take_back(self, x):
        self.free.put(x)
def work(lender):
    while True:
        x = lender.lend()
        try:
            ask()
        finally:
            lender.take_back(x)
"""


@pytest.mark.parametrize("same", [True, False])
def test_a_queue_behind_two_methods_is_a_pool_where_callers_pass_back_what_they_got(same: bool) -> None:
    """Not where they put in something else: then it is work."""
    scene = Scene(rules={})
    waiters, busy = [scene.thread(f"w-{n}") for n in range(2)], scene.thread("busy")
    asks = [stdlib("Queue.get", "queue.py"), frame("Lender.lend", 3), frame("work", 8)]
    for waiter in waiters:
        scene.do(waiter, asks, waits_for(0x100, via="Queue.get", kind="Queue"))
    scene.do(busy, [frame("ask", 90), frame("work", 10)], recv())
    names = [Reference(t, 1, "local", "self.free", "Lender.lend", FILE, 3) for t in waiters]
    names += [Reference(t, 1, "local", "lender.free", "work", FILE, n) for t, n in ((waiters[0], 8), (busy, 10))]
    scene.play(1)
    row = Related(0x100, "Queue", "Queue", "self.free", tuple(waiters), references=tuple(names), complete=True)
    scene.history.apply(Relations(scene.history.now_ns, (row,), 2, 2))
    scene.play(5)
    lines = (LENDS if same else LENDS.replace("take_back(x)", "take_back(made(x))")).split("\n")
    found = Tracker(Wakes(lambda file: lines if file == FILE else ())).blame(Window(scene.history))
    assert found is not None
    held = [c for c in found.causes if set(c.threads) == set(waiters)]
    assert [(c.kind, c.path[0].via, c.path[0].owners) for c in held] == (
        [("peer", "resource", (busy,))] if same else []
    )


def test_permits_that_the_semaphore_itself_has_counted_are_exact() -> None:
    scene = Scene(rules={})
    waiting = [stdlib("Semaphore.acquire", "threading.py"), frame("limited", 5)]
    owners = [scene.thread(f"rpc-{i}") for i in range(2)]
    waiters = [scene.thread(f"rpc-{i}") for i in range(2, 4)]
    for tid in owners:
        scene.do(tid, [frame("limited", 6)], recv())
    for tid in waiters:
        scene.do(tid, waiting, waits_for(0x40, via="Semaphore.acquire", kind="Semaphore"))
    names = [Reference(t, 1, "global", "sem", "limited", FILE, 6 if t in owners else 5) for t in (*owners, *waiters)]
    scene.play(1)
    lines = SOURCE.split("\n")
    for most, sure in ((-1, False), (2, True)):
        row = Related(0x40, "Semaphore", "X", "sem", tuple(waiters), 0, most, references=tuple(names), complete=True)
        scene.history.apply(Relations(scene.history.now_ns, (row,), 4, 4))
        scene.play(12)  # the window behind it, and a slice
        found = Tracker(Wakes(lambda file: lines if file == FILE else ())).blame(Window(scene.history))
        assert found is not None
        permit = next(c for c in found.causes if c.path and c.path[0].via == "permit")
        assert (set(permit.path[0].owners), permit.exact) == (set(owners), sure)


def test_a_hand_over_at_which_nobody_is_seen_to_have_it_counts_as_the_wait_it_is() -> None:
    from concview.analysis.blame.nouns import Row
    from concview.analysis.blame.window import Slice
    from concview.analysis.history import History

    here, there = Place(FILE, 10, "work"), Place(FILE, 20, "work")
    step = Step(Via.LOCK, "LOCK", "web", here)
    sleeps, unseen = Root(End.SLEEP, "sleeps", there), Root(End.UNEXPLAINED, "LOCK: nobody seen to have it", here)
    rows = [
        Row(sleeps, (step,), {1: 600_000_000}, [{2}]),
        Row(unseen, (), {1: 200_000_000}),
        Row(Root(End.UNEXPLAINED, "something else", there), (), {1: 50_000_000}),
        Row(sleeps, (), {1: 150_000_000}),
    ]
    made = Slice(0, 1_000_000_000, {(r.root, r.path): r for r in rows}, total_ns=1_000_000_000)
    found = summarise([made], History(), (0.0, 0.0))
    assert found is not None
    (held,) = [c for c in found.causes if c.path]
    assert held.at_most is not None and round(held.at_most, 6) == 5.0  # of 1 s, 0.8 s waited for LOCK


def test_what_leads_out_of_the_process_is_told_as_it_is() -> None:
    from concview.model import FileLock, FileLocks, NativeWait, NativeWaits, Peer

    scene = Scene(rules={})
    locked, native = scene.thread("job"), scene.thread("query")
    scene.do(locked, [frame("work", 11)], Wait(WaitKind.IO, "flock", 5, Peer("file lock", "/tmp/x")))
    scene.do(native, [frame("query", 12)], waits_for())
    scene.play(1)
    now = scene.history.now_ns
    scene.history.apply(FileLocks(now, (FileLock("/tmp/x", "flock", "WRITE", (locked,), 99, "cron"),)))
    scene.history.apply(NativeWaits(now, (NativeWait(native, 4096, "libduck.so"),)))
    scene.play(6)
    found = tracker().blame(Window(scene.history))
    assert found is not None
    outside = next(c for c in found.causes if c.path)
    assert (outside.family, outside.path[0].via, outside.what) == ("taken", "file lock", "process cron (pid 99)")
    assert (outside.exact, outside.path[0].owners, outside.ends) == (True, (), "")
    assert "held by process cron (pid 99)" in found.sentence
    inside = next(c for c in found.causes if c.threads == (native,))
    assert (inside.kind, inside.what) == ("native", "waits inside libduck.so")
    assert found.unexplained == 0


def test_who_waits_for_a_process_that_is_stopped() -> None:
    from concview.model import Child, Children, FileLock, FileLocks, Owner
    from concview.model import Link as Ends

    scene = Scene(rules={})
    locked, parent, client, served = (scene.thread(name) for name in ("job", "parent", "client", "served"))
    scene.do(locked, [frame("work", 11)], Wait(WaitKind.IO, "flock", 5, Peer("file lock", "/tmp/x")))
    scene.do(parent, [frame("spawn", 12)], Wait(WaitKind.CHILD, "wait4", peer=Peer("process", "tool (pid 50)")))
    for tid, fd in ((client, 7), (served, 8)):
        scene.do(tid, [frame("ask", fd)], Wait(WaitKind.IO, "recvfrom", fd, Peer("unix", f"socket:[{fd}]")))
    scene.play(1)
    now = scene.history.now_ns
    scene.history.apply(
        FileLocks(now, (FileLock("/tmp/x", "flock", "WRITE", (locked,), 99, "cron", stopped="SIGSTOP"),))
    )
    scene.history.apply(Children(now, (Child(50, "tool", "T", (parent,), stopped="a frozen cgroup"),)))
    halted, runs = Owner(60, "proxy", stopped="the debugger gdb (pid 3)"), Owner(61, "other")
    links = (
        Ends(7, "unix", (client,), 7, True, peer_inode=1, owners=(halted,)),
        Ends(8, "unix", (served,), 8, True, peer_inode=2, owners=(halted, runs)),
    )
    scene.history.apply(Links(now, links))
    scene.play(12)
    found = tracker().blame(Window(scene.history))
    assert found is not None
    ends = {c.threads[0]: (c.kind, c.what) for c in found.causes}
    assert ends == {
        locked: ("stopped process", "process cron (pid 99), which is stopped by SIGSTOP"),
        parent: ("stopped process", "process tool (pid 50), which is stopped by a frozen cgroup"),
        client: (
            "stopped process",
            "process proxy (pid 60), which is stopped by the debugger gdb (pid 3), over a connection",
        ),
        # One of two that have the other end may answer.
        served: (
            "peer",
            "process proxy (pid 60) and 1 more, which is stopped by the debugger gdb (pid 3), over a connection",
        ),
    }
    assert (found.verdict, found.severity) == ("held up", Severity.WARN)
    assert "(job) waits for the lock on x (app.py:11), held by process cron (pid 99), which is" in found.sentence


def test_a_wait_at_a_connection_is_at_the_programs_own_line() -> None:
    """Like where it ends, and not at the library's alone, which is the same for every call."""
    from concview.model import Link as Ends
    from concview.model import User

    scene = Scene(rules={})
    client, server = scene.thread("client"), scene.thread("server")
    read = stdlib("HTTPResponse._read_status", "http/client.py", 292)
    scene.do(client, [read, frame("fetch", 13)], Wait(WaitKind.IO, "recvfrom", 7, Peer("unix", "socket:[7]")))
    scene.do(server, [frame("handle", 6)], SLEEP)
    scene.play(1)
    ends = Ends(7, "unix", (client,), 7, True, (9,), 1, (User(server, "local"),), complete=True)
    scene.history.apply(Links(scene.history.now_ns, (ends,)))
    scene.play(12)
    found = tracker().blame(Window(scene.history))
    assert found is not None
    (cause,) = [c for c in found.causes if client in c.threads]
    (step,) = cause.path
    assert (step.file, step.line, step.inside) == ("/srv/app.py", 13, "http/client.py:292")


def test_a_peer_that_is_stopped_is_the_verdict() -> None:
    from concview.model import Link as Ends
    from concview.model import Owner

    scene = Scene(rules={})
    client = scene.thread("client")
    scene.do(client, [frame("ask", 7)], Wait(WaitKind.IO, "recvfrom", 7, Peer("unix", "socket:[7]")))
    scene.play(1)
    owner = Owner(60, "proxy", stopped="SIGSTOP")
    ends = Ends(7, "unix", (client,), 7, True, peer_inode=1, owners=(owner,))
    scene.history.apply(Links(scene.history.now_ns, (ends,)))
    scene.play(12)
    found = tracker().blame(Window(scene.history))
    assert found is not None and (found.verdict, found.severity) == ("stopped process", Severity.WARN)
    assert "1 thread (client) waits for process proxy (pid 60), which is stopped by SIGSTOP" in found.sentence


def test_few_samples_are_no_all_clear() -> None:
    for hz, verdict in ((1.0, "few samples"), (20.0, "clear")):
        scene = Scene(hz=hz, rules={})
        scene.do(scene.thread("worker"), [frame("compute", 5)])
        scene.play(8)
        found = tracker().blame(Window(scene.history))
        assert found is not None and (found.verdict, found.severity) == (verdict, None)
        assert hz > 1 or found.sentence.startswith("No verdict: only 8 samples in 8")


def test_what_few_samples_did_not_explain_is_no_verdict() -> None:
    for hz, verdict in ((1.0, "few samples"), (20.0, "unexplained")):
        scene = Scene(hz=hz, rules={})
        caller = scene.thread("caller")
        result = Wait(WaitKind.FUTEX, "futex", via="Future.result")
        for line in range(8):  # it goes on: nothing stands still
            scene.do(caller, [frame("call", 5 + line)], result)
            scene.play(1)
        found = tracker().blame(Window(scene.history))
        assert found is not None and found.verdict == verdict and found.unexplained > 0.5


def test_a_job_that_waits_for_another_job_is_told_as_such() -> None:
    """A worker of celery that asks the broker for a result waits for a worker, not for the broker."""
    package = "/v/lib/python3.12/site-packages"
    asks = [
        frame("Redis.read", 64, f"{package}/redis/_parsers/socket.py", "library"),
        frame("AsyncResult.get", 230, f"{package}/celery/result.py", "library"),
        frame("report", 11),
    ]
    runs = frame("build_tracer.<locals>.trace_task", 479, f"{package}/celery/app/trace.py", "library")
    for stack, told in (
        (
            [*asks, runs],
            "waits for the result of another celery job, from inside a job, and the only worker of this process waits "
            "so: it takes a second one",
        ),
        (asks, "waits for the result of a celery task"),
    ):
        scene = Scene(rules={})
        worker = scene.thread("worker")
        scene.do(worker, stack, recv())
        scene.play(12)
        found = tracker().blame(Window(scene.history))
        assert found is not None and f"{told} (app.py:11" in found.sentence


def test_memory_that_its_cgroup_may_not_have() -> None:
    scene = Scene(rules={})
    loader = scene.thread("loader")
    scene.do(loader, [frame("load", 6)], Wait(WaitKind.MEMORY, "page fault"))
    scene.play(8)
    found = tracker().blame(Window(scene.history))
    assert found is not None and (found.verdict, found.severity) == ("memory", Severity.WARN)
    assert "1 thread (loader) waits for memory: its cgroup is at the limit (app.py:6)" in found.sentence


def test_who_joins_threads_that_take_turns_is_not_stuck() -> None:
    """It has waited for long; what is in the way of the others has not."""
    scene = Scene(rules={})
    main, others = scene.thread("MainThread"), [scene.thread(f"db-{i}") for i in range(3)]
    join = [stdlib("Thread.join", "threading.py"), frame("main", 3)]
    scene.do(main, join, Wait(WaitKind.FUTEX, "futex", via="Thread.join", target=others[1]))
    for turn in range(80):
        for i, tid in enumerate(others):
            now = RUNNING if not i else Wait(WaitKind.GIL, "futex") if turn % 10 == 0 else recv()
            scene.do(tid, [frame("spin", 5)], now)
        scene.play(0.1)
    found = tracker().blame(Window(scene.history))
    assert found is not None
    assert not found.sentence.startswith("Stuck"), found.sentence


def test_who_waits_for_sqlite_waits_for_who_is_in_a_transaction() -> None:
    from concview.model import FileLock, FileLocks, User

    asleep = Wait(WaitKind.SLEEP, "clock_nanosleep", via="native")
    scene = Scene(rules={})
    job, web, other = scene.thread("job"), scene.thread("web"), scene.thread("cron-client")
    scene.do(job, [frame("load", 5)], recv())
    for tid, line in ((web, 9), (other, 19)):
        scene.do(tid, [frame("write", line, text="db.execute('insert into t values (1)')")], asleep)
    scene.play(1)
    rows = (
        FileLock("/srv/a.db", "SQLite", "WRITE", (web,), 1, "", (User(job, "local", "db", "load", FILE, 5),)),
        FileLock("/srv/b.db", "SQLite", "WRITE", (other,), 99, "cron"),
    )
    scene.history.apply(FileLocks(scene.history.now_ns, rows))
    scene.play(12)
    found = tracker().blame(Window(scene.history))
    assert found is not None and found.unexplained == 0
    inside = next(c for c in found.causes if c.threads == (web,))
    assert (inside.path[0].what, inside.path[0].owners, inside.exact) == ("the lock of a.db", (job,), True)
    outside = next(c for c in found.causes if c.threads == (other,))
    assert (outside.path[0].what, outside.what) == ("the lock of b.db", "process cron (pid 99)")


TABLE = """\
def load(key):
    locks[key].acquire()
    try:
        ask()
    finally:
        locks[key].release()
"""


@pytest.mark.parametrize("past", [1, 2])
def test_a_lock_of_a_table_has_who_alone_is_past_the_line_that_takes_one(past: int) -> None:
    """Two may have two of them."""
    scene = Scene(rules={})
    at = site("locks[key]", 2, "load", how="acquire")
    waiters = [scene.thread(f"w-{n}") for n in range(3)]
    for tid in waiters:
        scene.do(tid, [frame("load", 2, acquires=at)], waits_for(0x100, kind="Lock"))
    owners = [scene.thread(f"o-{n}") for n in range(past)]
    for tid in owners:
        scene.do(tid, [frame("ask", 90), frame("load", 4)], recv())
    scene.play(4)
    found = Tracker(Wakes(lambda file: TABLE.split("\n") if file == FILE else ())).blame(Window(scene.history))
    assert found is not None
    assert [c.path[0].owners for c in found.causes if c.path] == ([(owners[0],)] if past == 1 else [])
    assert (found.unexplained > 0.5) == (past == 2)


@pytest.mark.parametrize("told", [False, True])
def test_a_statement_is_known_by_the_database_that_it_sleeps_for_and_who_has_it_by_the_block(told: bool) -> None:
    """Its line does not look like one; and the connection lies where no variable leads to."""
    from concview.model import FileLock, FileLocks

    scene = Scene(rules={})
    job, web = scene.thread("job"), scene.thread("web")
    scene.do(job, [frame("nightly", 4)], SLEEP)
    scene.do(web, [frame("save", 9, text="run(it)")], Wait(WaitKind.SLEEP, "clock_nanosleep", timed=True, via="native"))
    scene.play(1)
    if told:
        row = FileLock("/srv/a.db", "SQLite", "WRITE", (web,), 1, "")
        scene.history.apply(FileLocks(scene.history.now_ns, (row,)))
    scene.play(8)
    lines = ["def nightly():", "    with db.atomic():", "        save(1)", "        wait()", ""]
    found = Tracker(Wakes(lambda file: lines if file == FILE else ())).blame(Window(scene.history))
    assert found is not None
    assert [c.path[0].owners for c in found.causes if c.path] == ([(job,)] if told else [])


def test_a_librarys_own_thread_makes_room_in_a_queue_that_it_takes_from() -> None:
    """Its source is not read: that it refers to the queue, in its main loop, is all that is known."""
    scene = Scene(rules={})
    web, listener = scene.thread("web-0"), scene.thread("listener")
    scene.do(web, [stdlib("Queue.put", "queue.py"), frame("work", 3)], waits_for(0x40, via="Queue.put", kind="Queue"))
    scene.do(listener, [frame("Remote.emit", 9), stdlib("QueueListener._monitor", "logging/handlers.py")], recv())
    scene.play(1)
    by = Reference(
        listener, 1, "local", "self.queue", "QueueListener._monitor", "/usr/lib/python3.12/logging/handlers.py", 1
    )
    row = Related(0x40, "Queue", "Queue", "q", (web,), 20, 20, references=(by,), complete=True)
    scene.history.apply(Relations(scene.history.now_ns, (row,), 2, 2))
    scene.play(6)
    found = tracker().blame(Window(scene.history))
    assert found is not None
    room = next(c for c in found.causes if c.path and c.path[0].via == "room")
    assert (room.kind, room.path[0].owners) == ("peer", (listener,))


ANSWERS = """\
def value(self):
    return self._box.get()
def client(number):
    while True:
        promise = Promise()
        value(promise)
def worker():
    while True:
        promise = requests.get()
        work()
        promise._box.put(1)
def letters(box):
    while True:
        box.get()
"""


def test_an_answer_that_has_not_come_is_no_empty_queue() -> None:
    lines = ANSWERS.split("\n")
    scene = Scene(rules={})
    get = stdlib("Queue.get", "queue.py")
    clients = [scene.thread(f"client-{i}") for i in range(4)]
    worker, letters = scene.thread("worker"), scene.thread("letters")
    for i, tid in enumerate(clients):
        stack = [get, frame("value", 2), frame("client", 6)]
        scene.do(tid, stack, waits_for(0x100 + i, via="Queue.get", kind="Queue"))
    scene.do(worker, [frame("worker", 10)], recv())
    scene.do(letters, [get, frame("letters", 14)], waits_for(0x200, via="Queue.get", kind="Queue"))
    scene.play(1)
    # The request of one is in the worker's hands, those of the others still lie in a queue.
    rows = [
        Related(
            0x100 + i,
            "Queue",
            "Queue",
            "self._box",
            (tid,),
            0,
            0,
            complete=True,
            references=(
                Reference(tid, 1, "local", "self._box", "value", FILE, 2),
                Reference(tid, 2, "local", "promise._box", "client", FILE, 6),
                *((Reference(worker, 0, "local", "promise._box", "worker", FILE, 10, will="put"),) if not i else ()),
            ),
        )
        for i, tid in enumerate(clients)
    ]
    box = Related(
        0x200,
        "Queue",
        "Queue",
        "box",
        (letters,),
        0,
        0,
        references=(Reference(letters, 1, "local", "box", "letters", FILE, 14),),
    )
    scene.history.apply(Relations(scene.history.now_ns, (*rows, box), 6, 6))
    scene.play(12)
    found = Tracker(Wakes(lambda file: lines if file == FILE else ())).blame(Window(scene.history))
    assert found is not None and found.unexplained == 0
    answer = next(c for c in found.causes if c.path)
    assert (answer.path[0].via, answer.path[0].owners, set(answer.threads)) == ("result", (worker,), set(clients))
    # Four wait for one: they queue. Nobody is called clear who stands still.
    assert (found.verdict, found.severity) == ("waits", Severity.INFO)
    assert "wait for an answer in self._box (app.py:2), computed by worker" in found.sentence
    assert (letters,) in [q.tids for q in found.quiets if q.kind == "idle"]


SQL = """
def begins(db):
    db.execute("begin immediate")
    for row in rows:
        db.execute("insert into t values (1)")
        work(row)
    db.execute("commit;")
"""


def test_a_statement_that_ends_a_transaction_is_known_by_its_text() -> None:
    from concview.source.uses import Uses

    uses = Uses(lambda _: SQL.split("\n"))
    uses.refill()
    parsed = uses.file(FILE)
    function = parsed.function("begins", 5) if parsed is not None else None
    assert function is not None and [c.method for c in function.calls if c.path] == ["execute", "execute", "commit"]


def test_waits_for_the_gil_alone_are_a_warning_only_by_rules() -> None:
    from concview.analysis.blame.verdict import judge
    from concview.analysis.history import History
    from concview.snapshot import Blame, BlameCause, BlameStep

    def said(via: str) -> Severity | None:
        step = BlameStep(via, "it", "web", FILE, 1, "work", Confidence.EXACT, (1,), (2,))
        cause = BlameCause("taken", "cpu", "runs", FILE, 2, "work", 0.8, 80.0, (1,), path=(step,), ends="web")
        return judge(Blame(10.0, 10.0, 10.0, 0.2, 0.8, 0, 0, 0, 0, causes=(cause,)), History()).severity

    assert (said("gil"), said("lock")) == (Severity.INFO, Severity.WARN)


def test_places_are_short() -> None:
    assert Place("/srv/app.py", 7, "f").short == "app.py:7"
    assert isinstance(frame("f"), Frame)


def test_without_a_gil_those_at_one_object_and_those_that_are_stopped_wait_for_whoever_runs() -> None:
    scene = Scene(rules={})
    one, two, third = (scene.thread(f"t-{i}") for i in range(3))
    at_list = waits_for(0x40, kind="list", via="object")
    stopped = waits_for(0, kind="", via="stop-the-world")
    leaf = [frame("work", 11, text="data.append(i)")]

    def in_turn(at: float) -> None:
        runs = int(at * 100) % 2
        scene.do((one, two)[runs], leaf)
        scene.do((two, one)[runs], leaf, at_list)
        scene.do(third, [frame("other", 20)], stopped)

    scene.play(3, in_turn)
    told = tracker().blame(Window(scene.history))
    assert told is not None and told.unexplained < 0.05
    steps = {s.via: s for c in told.causes for s in c.path}
    assert steps["object lock"].what == "a list" and set(steps["object lock"].owners) <= {one, two}
    assert set(steps["stop"].owners) <= {one, two}
    assert {s.confidence for s in steps.values()} == {"inferred"}


@pytest.mark.parametrize("address", ["127.0.0.9:53", "[::1]:53"])
def test_names_that_nobody_answers_for_are_told_and_quick_lookups_are_not(address: str) -> None:
    server = Peer("udp", address, "", "")
    text = "for res in _socket.getaddrinfo(host, port):"
    asks = [frame("getaddrinfo", 962, "/usr/lib/python3.12/socket.py", "stdlib", text), frame("work", 4)]
    for share in (1.0, 0.05):
        scene = Scene(rules={})
        tids = [scene.thread(f"dns-{i}") for i in range(4)]

        def script(at: float, scene: Scene = scene, tids: list[int] = tids, share: float = share) -> None:
            for tid in tids:
                looks = (at * 10) % 10 < 10 * share
                scene.do(tid, asks if looks else asks[1:], Wait(WaitKind.IO, "poll", 7, server) if looks else SLEEP)

        scene.play(6, script)
        found = tracker().blame(Window(scene.history))
        assert found is not None and (found.verdict == "name lookup") is (share == 1.0)
        if share == 1.0:
            assert found.severity is Severity.WARN
            assert "4 threads (dns)" in found.sentence and f"looked up by {address}" in found.sentence

"""The lock views and the chains of a snapshot, from a window."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable

import msgspec

from concview.analysis.graph import LINKS, Chain, Edge, chains
from concview.analysis.history import History
from concview.analysis.known_places import lent
from concview.analysis.lock_identity import Registry
from concview.analysis.locks import LockWindow, held_by_itself, holds_of, waited_lock
from concview.analysis.records import ThreadHistory
from concview.analysis.window import Window
from concview.model import NO_STACK, Confidence, Site, State
from concview.snapshot import ANOTHER_PROCESS, ChainView, EdgeView, HolderView, LockView
from concview.text import plural, waits

#: Locks and chains in a snapshot.
MOST = 200
MOST_CHAINS = 50


def lock_views(window: Window) -> tuple[LockView, ...]:
    """Most waited for first."""
    waiting: dict[str, list[int]] = defaultdict(list)
    holding: dict[str, int] = {}
    for edge in window.edges:
        waiting[edge.key].append(edge.waiter)
        holding[edge.key] = edge.holder
    every = sorted(window.locks.values(), key=lambda lock: (-lock.wait_ns, -lock.held_ns))
    return tuple(_lock_view(lock, waiting.get(lock.key, []), holding, window) for lock in every[:MOST])


def _lock_view(lock: LockWindow, waiting: list[int], holding: dict[str, int], window: Window) -> LockView:
    certain = lock.confidence
    holders = tuple(
        HolderView(tid, window.name(tid), share, Confidence.UNKNOWN if lock.ambiguous else certain)
        for tid, share in lock.holder_shares()[:20]
    )
    if lock.held_elsewhere:
        other = HolderView(0, ANOTHER_PROCESS, lock.held_elsewhere, Confidence.INFERRED)
        holders = tuple(sorted((*holders, other), key=lambda h: -h.share))
    last = window.end_ns
    now = tuple(w.tid for w in lock.waits if w.end_ns >= last and w.run.end_ns == 0)
    holder_now = holding.get(lock.key, 0)
    if not holder_now and not lock.ambiguous:
        holder_now = next((h.tid for h in lock.holds if h.run.end_ns == 0), 0)
    numbers = window.lock_stats(lock)
    made = next((p for p in lock.places if p.made), None)
    return LockView(
        key=lock.key,
        address=lock.address,
        kind=lock.kind,
        site=_site(lock, window),
        held_share=lock.held_share,
        waiters_now=len(now),
        waiters_mean=lock.waiters_mean,
        waiters_max=lock.waiters_max,
        wait_s=lock.wait_ns / 1e9,
        holders=() if lock.ambiguous else holders,
        waiting=now or tuple(waiting),
        holder_now=holder_now,
        confidence=Confidence.UNKNOWN if lock.ambiguous else certain,
        places=tuple(lock.places[:20]),
        made=f"{made.file}:{made.made}" if made is not None else "",
        holds=numbers.holds,
        holds_ended=numbers.holds_ended,
        resolution_s=numbers.resolution,
        hold_p50_s=numbers.hold_p50,
        hold_p95_s=numbers.hold_p95,
        hold_max_s=numbers.hold_max,
        hold_sure=numbers.hold_sure,
        waits=numbers.waits,
        wait_mean_s=numbers.wait_mean,
        wait_max_s=numbers.wait_max,
        wait_each_s=numbers.wait_each,
        doing=numbers.doing[:8],
        handoffs_per_s=numbers.handoffs_per_s,
        workers=numbers.workers,
        speedup_cap=numbers.speedup_cap,
    )


def _site(lock: LockWindow, window: Window) -> Site:
    """Where it is taken; of what has no such place in the source, as a queue or a library's pool, where the one waits
    who waited last."""
    if lock.site.expression or not lock.waits:
        return lock.site
    stack = max(lock.waits, key=lambda w: w.end_ns).run.stack
    leaf = stack.user_leaf
    known = window.history.depths.last(lock.address)
    wanted = lent(stack)
    name = known[0].name if known is not None else wanted[0] if wanted is not None else ""
    return Site(name, leaf.file, leaf.line, leaf.function) if leaf is not None else lock.site


def as_of_now(views: tuple[LockView, ...], threads: Iterable[ThreadHistory], exact: bool) -> tuple[LockView, ...]:
    """The same locks with who holds and who waits at the last tick: a window is older, and the states of the threads
    that are shown beside it are of that tick."""
    registry = Registry()
    runs = [(t.tid, t.current) for t in threads if t.current is not None]
    for _, run in runs:
        registry.learn(*waited_lock(run))
        for hold in holds_of(run, exact):
            registry.learn(hold.site, hold.lock)
    waiting: dict[str, list[int]] = defaultdict(list)
    holding: dict[str, int] = {}
    for tid, run in runs:
        own = held_by_itself(run)
        wanted, _ = registry.key(*waited_lock(run))
        if wanted:
            waiting[wanted].append(tid)
        for hold in holds_of(run, exact):
            held, _ = registry.key(hold.site, hold.lock)
            if held and (held != wanted or hold is own):
                holding.setdefault(held, tid)
    sites = Counter(view.site.key for view in views)
    found: list[LockView] = []
    for view in views:
        # By its site only where that means this lock alone: its address may not be known at this tick.
        keys = (view.key, view.site.key) if sites[view.site.key] == 1 else (view.key,)
        waits = next((tuple(waiting[key]) for key in keys if key in waiting), ())
        holder = 0 if view.confidence is Confidence.UNKNOWN else next((holding[k] for k in keys if k in holding), 0)
        if (waits, len(waits), holder) != (view.waiting, view.waiters_now, view.holder_now):
            view = msgspec.structs.replace(view, waiting=waits, waiters_now=len(waits), holder_now=holder)
        found.append(view)
    return tuple(found)


# ---------------------------------------------------------------- chains


def chain_views(edges: list[Edge], history: History, locks: Iterable[LockView]) -> tuple[ChainView, ...]:
    """Who waits behind whom in these edges: every circle, then the longest queue first. `locks` name those of which the
    edges know no name."""
    sites = {lock.key: lock.site for lock in locks}
    return tuple(
        _chain_view(chain, history, sites) for i, chain in enumerate(chains(edges)) if chain.cycle or i < MOST_CHAINS
    )


def _chain_view(chain: Chain, history: History, sites: dict[str, Site]) -> ChainView:
    return ChainView(
        root=chain.root,
        text=chain_text(chain, history),
        edges=tuple(_edge_view(e, sites) for e in chain.edges),
        cycle=chain.cycle,
        exact=chain.exact,
        deadlock=chain.deadlock,
    )


def _edge_view(edge: Edge, sites: dict[str, Site]) -> EdgeView:
    site = edge.site
    if site is None or not site.expression:
        site = sites.get(edge.key)
    what = site.expression if site is not None and site.expression else edge.hold.kind or "a lock"
    if edge.via:
        what = LINKS[edge.via].what
    return EdgeView(edge.waiter, edge.holder, edge.key, what, edge.confidence, edge.via)


def chain_text(chain: Chain, history: History) -> str:
    """'12 threads wait for worker-3, which waits for tcp 127.0.0.1:5432'."""
    waiters = set(chain.waiters)
    if chain.cycle:
        more = len(waiters - set(chain.cycle))
        if len(chain.cycle) == 1:
            behind = f"; {plural(more, 'more thread waits', 'more threads wait')} behind it" if more else ""
            return f"{history.name(chain.root)} waits for a lock that it holds itself{behind}"
        circle = " -> ".join(history.name(tid) for tid in (*chain.cycle, chain.cycle[0]))
        behind = f"; {plural(more, 'more thread waits', 'more threads wait')} behind them" if more else ""
        return f"{circle} wait for each other{behind}"
    first = next(iter(chain.edges))
    who = history.name(first.waiter) if len(waiters) == 1 else plural(len(waiters), "thread")
    verb = waits(len(waiters))
    return f"{who} {verb} for {history.name(chain.root)}, which {_does(chain)}"


def _does(chain: Chain) -> str:
    run = chain.run
    if run.stack is NO_STACK and run.state is State.UNKNOWN:
        return "cannot be read"
    peer = run.wait.peer
    if run.state is State.IO and peer is not None:
        kind = peer.known_as or peer.kind
        return f"waits for {peer.shown if peer.name.startswith(kind) else f'{kind} {peer.shown}'}"
    reason = run.classification.reason
    words = {
        State.RUNNING: "runs",
        State.RUNNABLE: "waits for a CPU",
        State.IO: f"is {reason}" if reason.startswith("in ") else f"does {reason}",
    }
    user = run.stack.user_leaf
    place = f" in {user.place}" if user is not None and run.state in (State.RUNNING, State.SLEEP) else ""
    return words.get(run.state, reason) + place

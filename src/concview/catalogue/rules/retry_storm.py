"""What fails is tried again and again, and the retries are the load.

What it sees:
    A function that calls another one several times for each time it is called itself, sleeps once for every further
    one, and talks to somebody else over a connection while it does.

Why it hurts:
    A peer that is too busy to answer gets each request several times: that keeps it busy. With retries on several
    levels they multiply. Here, every retry holds a thread and a connection for the attempt and the pause.

How it is measured:
    Attempts and operations counted exactly by yappi: retries are the attempts beyond one for each operation, and count
    as such when the function slept as often, within 5 %. The value is retries / attempts, from ten retries a second
    on. Thresholds 0.1 and 0.2 [S: a retry budget of 10 % of requests as in Google's SRE book, 20 % as in Linkerd and
    Finagle]: on the demo pair 0.67 (bad) and 0.05 (fixed). The peer is that of samples that stand in the attempt. That
    they are retries, and not parts of one job with pauses between them, is inferred from the counts.

Fix:
    A budget: retry only while retries are few, and let pauses grow and differ.

        if budget.take():                       # refilled by successes: 5 % of them
            time.sleep(random.uniform(0, base * 2 ** attempt))
        else:
            raise

    Retry on one level only, and never what cannot succeed (a refused login, a bad request).

When it is fine:
    A few seconds after a peer restarted. Polling, which should be measured by its own rate.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import ClassVar

from concview.analysis.calls import Function
from concview.analysis.window import Window
from concview.catalogue import evidence
from concview.catalogue.base import Observation, Thresholds
from concview.catalogue.rules import _exact
from concview.model import Confidence, Stack, State
from concview.source.origin import is_module
from concview.text import count, percent

LEAST_PER_S = 10.0
LEAST_OPERATIONS = 20
ALIKE = 0.05
_CONNECTIONS = {"tcp", "udp", "unix"}


def _sleeps(function: Function) -> bool:
    builtin = function.name == "sleep" and not function.line
    return builtin or (function.name == "sleep" and is_module(function.file, "asyncio/tasks.py"))


class RetryStorm:
    id: ClassVar[str] = "retry-storm"
    title: ClassVar[str] = "Retries are a large part of the load"
    group: ClassVar[str] = "Async and I/O"
    thresholds: ClassVar[Thresholds] = Thresholds(
        0.1, 0.2, "share of attempts", "[S] retry budgets of 10 % (Google SRE) and 20 % (Finagle, Linkerd)"
    )
    needs: ClassVar[tuple[str, ...]] = ("stacks", "peers", "calls")
    permanent: ClassVar[bool] = True
    measure: ClassVar[str] = "retries of all attempts"

    def observe(self, window: Window) -> Iterable[Observation]:
        exact = _exact.Exact(window)
        for operation in exact.functions.values():
            slept, _ = exact.calls_of(operation, _sleeps)
            if operation.calls < LEAST_OPERATIONS or not slept:
                continue
            for attempt, attempts, _ in exact.callees(operation):
                retries = attempts - operation.calls
                if _sleeps(attempt) or not attempt.line or exact.rate(retries) < LEAST_PER_S:
                    continue
                if abs(slept - retries) > ALIKE * retries:
                    continue
                peer, tid, stack = _peer(window, attempt)
                if not peer:
                    continue
                share = retries / attempts
                yield Observation(
                    subject=f"{operation.file}:{operation.line}:{attempt.name}",
                    value=share,
                    lower=share,
                    samples=window.samples,
                    episodes=retries,
                    confidence=Confidence.INFERRED,
                    title=f"{percent(share)} of the requests to {peer} are retries",
                    summary=(
                        f"{_exact.spot(operation)} called {attempt.name} {count(exact.rate(attempts))} times a second "
                        f"for {count(exact.rate(operation.calls))} operations, and slept in between: "
                        f"{count(exact.rate(retries))} retries a second to {peer}."
                    ),
                    gain=f"{percent(share)} of the load on {peer}, and of the threads' time in it.",
                    check_next=f"Why does {attempt.name} fail, and does anybody above {operation.name} retry, too?",
                    where=(_exact.place(operation), _exact.place(attempt)),
                    threads=tuple(sorted(t for t in operation.threads if t)),
                    stacks=evidence.shown("attempt", tid, window.name(tid), stack),
                )


def _peer(window: Window, attempt: Function) -> tuple[str, int, Stack | None]:
    """(the connection that samples inside the attempt wait at most, thread, stack); '' when none does."""
    names: Counter[str] = Counter()
    seen: dict[str, tuple[int, Stack]] = {}
    for thread, slice_ in window.slices():
        peer = slice_.run.wait.peer
        if slice_.run.state is not State.IO or peer is None or peer.kind not in _CONNECTIONS:
            continue
        frames = slice_.run.stack.frames
        if any(f.file == attempt.file and _exact.bare(f.function) == _exact.bare(attempt.name) for f in frames):
            names[peer.name] += slice_.ns
            seen[peer.name] = (thread.tid, slice_.run.stack)
    if not names:
        return "", 0, None
    name = names.most_common(1)[0][0]
    return name, *seen[name]


RULE = RetryStorm()

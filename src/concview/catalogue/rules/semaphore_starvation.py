"""Threads queue for the permits of a semaphore.

What it sees:
    A semaphore whose permits are all out, and threads that wait for one, several at a time.

Why it hurts:
    No more threads make progress than there are permits, however many threads there are. All others also wait for what
    a thread does while it has a permit that it does not need for that; a permit that is never given back is one less
    for good.

How it is measured:
    The mean number of threads that wait in acquire(), on the lower end of the 95 % interval; threads that have waited
    for five seconds without a break are counted, not estimated. Who has a permit is read from frames that refer to the
    semaphore and have yet to come to release() where that can be seen, else inferred: threads at a later line of the
    function that waits. Thresholds 0.5 and 1.5 [H]: demo pair 5.8 to 6.0 (bad), up to 0.1 (fixed).

Fix:
    Take the permit late and give it back early, around only what must be limited; then as many permits as the
    service can take.

        with permits: answer = ask()         # nobody waits for what comes after it
        page = render(answer)

When it is fine:
    The service allows no more at once: then the semaphore protects it, and the queue shows that it is the limit.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import ClassVar

from concview.analysis.window import WaitProfile, Window
from concview.catalogue import evidence
from concview.catalogue.base import Observation, Thresholds
from concview.catalogue.rules import _crowd
from concview.catalogue.rules._crowd import Crowd
from concview.model import Confidence, Related
from concview.text import percent

MIN_THREADS = 2


class SemaphoreStarvation:
    id: ClassVar[str] = "semaphore-starvation"
    title: ClassVar[str] = "Threads queue for a semaphore's permits"
    group: ClassVar[str] = "Locks"
    thresholds: ClassVar[Thresholds] = Thresholds(0.5, 1.5, "waiters", "[H] calibrated on the demo pair")
    needs: ClassVar[tuple[str, ...]] = ("stacks", "waits")
    permanent: ClassVar[bool] = False
    measure: ClassVar[str] = "mean number of threads that wait for a permit"
    task_twin: ClassVar[str] = "async-semaphore-saturated"

    def observe(self, window: Window) -> Iterable[Observation]:
        for crowd in _crowd.crowds(window, _wanted):
            if len(crowd.tids) >= MIN_THREADS:
                yield _one(window, crowd)


def _wanted(profile: WaitProfile) -> tuple[str, str] | None:
    if profile.classification.via != "Semaphore.acquire":
        return None
    return _crowd.named(profile, "a semaphore")


def _one(window: Window, crowd: Crowd) -> Observation:
    known = _crowd.related(window, crowd)
    name = known.name if known is not None and known.name else crowd.name
    kept = crowd.beyond()
    exact = [r for r in known.references if r.will == "release" and r.tid not in known.waiters] if known else []
    owners = list(dict.fromkeys(r.tid for r in exact)) or _crowd.by_time(kept)
    meanwhile = _crowd.doing(kept)
    what, stack = meanwhile.words, meanwhile.stack
    # Over the window more threads have one than there are permits.
    span = max(1, window.end_ns - window.start_ns)
    at_a_time = round(sum(slice_.ns for _, slice_ in kept) / span)
    out = known.most - known.value if known is not None and known.most > 0 else max(1, min(len(owners), at_a_time))
    summary = (
        f"{crowd.waiting(f'for a permit of {name} in {crowd.spot}')}, at most {crowd.most} at once{_counts(known)}"
    )
    if owners and what:
        has = "has" if len(owners) == 1 else "have"
        turn = " in turn" if len(owners) > out else ""
        summary += (
            f"; {evidence.who(window, owners)} {has} one{turn}, mostly {what} ({percent(meanwhile.share)} of that time)"
        )
    elif not owners:
        summary += "; nobody is seen who has one and will come to release it"
    exactly = exact or crowd.key.startswith("0x")
    return replace(
        crowd.in_turn(Confidence.EXACT if exactly else Confidence.INFERRED, owners, meanwhile),
        label=name,
        title=f"{crowd.at_once('queues', 'queue')} for a permit of {name}",
        summary=summary + crowd.lasting_words + ".",
        fix=(
            f"Take a permit of {name} late and give it back early, around only what must be limited.\n\n"
            f"    with {name}: answer = ask()         # nobody waits for what comes after it\n"
            "    page = render(answer)\n\n"
            "If the other side handles more at once, give it more permits; release() belongs in a finally."
        ),
        gain=_gain(crowd, out if owners else 0, what),
        check_next=(
            f"Must a permit be kept at {evidence.frame_spot(stack.user_leaf)}? What limits the other side?"
            if stack is not None
            else f"Who took the permits of {name}, and on which way is release() missed?"
        ),
        stacks=meanwhile.shown("has a permit") + crowd.evidence(),
        explains=(("lock-contention", crowd.key), ("lock-held-across-io", crowd.key)),
    )


def _counts(known: Related | None) -> str:
    if known is None or known.value < 0:
        return ""
    free = f"{known.value} of {known.most}" if known.most > 0 else str(known.value)
    return f" ({free} free)"


def _gain(crowd: Crowd, out: int, what: str) -> str:
    """`out`: permits that are in use at a time."""
    if not out or not what:
        return ""
    permits = out + round(crowd.mean)
    return f"With {permits} permits nobody would wait, if the service it protects allows that many at once."


RULE = SemaphoreStarvation()

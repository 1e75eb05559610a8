"""A permit of a semaphore: each thread that is past `acquire` and not past `release`.

Read where they are in a `with` of it; else by the source around the very object, which its own count may confirm; else
by names alone. Who has one of multiprocessing's is recorded only where it is a thread of this process.
"""

from __future__ import annotations

from typing import ClassVar

from concview.analysis.blame.kinds._ways import inside_block, on_the_way
from concview.analysis.blame.kinds.signal import no_work
from concview.analysis.blame.nouns import End, Link, Node, Root, Via
from concview.analysis.blame.ties import Ties, ties, without_others
from concview.analysis.blame.world import Look, Waiter
from concview.analysis.known_places import of_a_library
from concview.model import Confidence, State


class Permit:
    order: ClassVar[int] = 60
    fixed: ClassVar[bool] = False

    def applies(self, look: Look) -> bool:
        return look.via == "Semaphore.acquire"

    def follow(self, waiter: Waiter) -> Root | Link:
        frame, address = waiter.frame, waiter.wait.lock
        site = waiter.run.classification.site
        _, on = waiter.source.waited(frame.function, frame.line)
        what = (site.expression if site is not None else "") or on or "a semaphore"
        held = [t for t in waiter.moment.holders.get(address, ()) if t != waiter.tid] if address else []
        told = ties(waiter)
        if told is not None and told.have:
            every = list(dict.fromkeys([*held, *(t for t in told.have if t != waiter.tid)]))
            read = told.counted or all(t in held or t in told.sure for t in every)
            return waiter.link(Via.PERMIT, what, every, Confidence.EXACT if read else Confidence.INFERRED)
        if held:
            return waiter.link(Via.PERMIT, what, held, Confidence.EXACT)
        makers = [t for t in told.make if t != waiter.tid] if told is not None else []
        if makers:
            # Nobody has taken one, and somebody will give one: a semaphore as a signal, or handed on in a ring.
            return waiter.link(Via.SIGNAL, f"a permit of {what}", makers, settle=no_work(waiter, what, makers))
        if waiter.wait.timed and of_a_library(waiter.look.stack):
            # Of what is seen of others only likeness of names would tell, and nothing of the program is kept by it.
            return waiter.end(End.PACE, f"a library's own thread waits for a permit of {what}, with a time limit")
        others = inside_block(waiter) or without_others(waiter, on, on_the_way(waiter, on, "acquire")[0])
        if not others and site is not None:
            others = [t for t in waiter.moment.inferred_holders.get(site.key, ()) if t not in waiter.same]
        otherwise = waiter.end(End.UNEXPLAINED, f"a permit of {what}: {nobody(told)}")
        if not others and on and waiter.source.handed_on(on, "acquire"):
            others = _at_work(waiter)
        elif told is not None and told.dry:
            otherwise = waiter.end(End.NOBODY, "all are out, and no thread has one that it will give back")
        return waiter.link(Via.PERMIT, what, others, otherwise=otherwise)


def _at_work(waiter: Waiter) -> list[Node]:
    """Those at work in the file that handed on what gives a permit back, or in what they call for it: it was handed to
    one of them, with what he does."""
    there, looks = waiter.frame.file, waiter.moment.look
    runs = waiter.moment.runs
    return [t for t in runs if t not in waiter.same and looks(t).state is not State.IDLE and _stands(looks(t), there)]


def _stands(look: Look, file: str) -> bool:
    return any(f.file == file for f in look.own)


def nobody(told: Ties | None) -> str:
    """Why it is not known who has one."""
    if told is not None and told.row.complete and not told.known:
        return "no thread refers to it any more"
    if told is not None and told.row.complete:
        return "no thread that refers to it is seen to have one"
    return "not seen who has one"


KIND = Permit()

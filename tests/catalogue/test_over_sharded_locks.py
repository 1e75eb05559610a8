"""over-sharded-locks: many locks of one table that nobody waits for, and what only looks like it."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from build import RUNNING, SLEEP, Scene, frame, holds, site, waits_for

from concview import registry
from concview.catalogue.rules.over_sharded_locks import picked
from concview.model import Severity, Site

RULE = "over-sharded-locks"
OF = site("self._locks[key % 64]", 10, "Cache.put", "app.py::Cache")
BASE = 0x7F0000001000


def scene(without: tuple[str, ...] = ()) -> Scene:
    return Scene(
        without=without, rules={RULE: registry.everything("concview.catalogue.rules", "RULE")["over_sharded_locks"]}
    )


def taking(
    one: Scene,
    workers: int = 8,
    locks: int = 64,
    every: int = 25,
    ticks: int = 1,
    at_once: int = 1,
    of: Site = OF,
    waits: int = 0,
) -> Callable[[float], None]:
    """Every so many ticks `at_once` threads hold a lock each for some ticks; the next ones wait every `waits` ticks."""
    tids = [one.thread(f"web-{n}") for n in range(workers)]
    outer = frame("serve", 30)
    n = 0

    def script(at: float) -> None:
        nonlocal n
        turn, phase = divmod(n, every)
        n += 1
        for number, tid in enumerate(tids):
            place = (number - turn) % workers
            address = BASE + 32 * ((turn * at_once + place) * 7 % locks)
            if place < at_once and phase < ticks:
                one.do(tid, [frame("Cache.put", 11), outer], RUNNING, holds(address, of))
            elif waits and place == at_once and n % waits == 0:
                one.do(tid, [frame("Cache.put", 10, acquires=of), outer], waits_for(BASE))
            else:
                one.do(tid, [outer], SLEEP)

    return script


def test_many_locks_without_a_waiter() -> None:
    one = scene()
    one.play(12, taking(one))
    found = one.found(RULE)
    assert found is not None and found.severity is Severity.INFO
    assert found.measured.value >= 16
    assert (found.where[0].line, found.where[0].function) == (10, "Cache.put")
    assert "self._locks[key % 64]" in found.title and "less than 0.05 % of the time" in found.summary
    first = one.first(RULE)
    assert first is not None and first > 4.8, "3,900 samples of 8 threads are not there earlier"


def test_however_many_it_is_an_information() -> None:
    one = scene()
    one.play(15, taking(one, locks=1000, every=4, ticks=1, workers=16))
    assert one.found(RULE) is None, "at a quarter of the time held, one lock might be too few"
    one = scene()
    one.play(15, taking(one, locks=1000, every=10, workers=16))
    found = one.found(RULE)
    assert found is not None and found.measured.value > 90 and found.severity is Severity.INFO


@pytest.mark.parametrize(
    "of",
    [
        site("self._lock", 10, "Account.pay", "app.py::Account"),  # a lock in every object
        site("LOCKS[0]", 10, "pay"),  # always the same one
        site("", 10, "pay"),  # the source does not say
    ],
)
def test_what_is_not_picked_by_a_key(of: Site) -> None:
    one = scene()
    one.play(12, taking(one, of=of))
    assert not one.ever() and not one.judgement.pending


@pytest.mark.parametrize(
    "how",
    [
        {"locks": 12},
        {"every": 2},  # held half of the time: at one lock they would queue
        {"at_once": 6, "every": 10, "ticks": 2},  # in step
        {"waits": 40},  # 2.5 % of one thread's time
    ],
)
def test_what_needs_its_locks(how: dict[str, int]) -> None:
    one = scene()
    one.play(15, taking(one, **how))  # type: ignore[arg-type]
    assert not one.ever()
    assert one.judgement.clear == (RULE,)


def test_few_threads_do_not_tell() -> None:
    """Two threads give 2,000 samples in a window: not enough to say that nobody waits."""
    one = scene()
    one.play(15, taking(one, workers=2))
    assert not one.ever()
    (pending,) = one.judgement.pending
    assert "more samples" in pending.needs and "--rate" in pending.needs


def test_without_addresses() -> None:
    one = scene(without=("held-locks",))
    one.play(3)
    assert one.judgement.not_applicable[0].id == RULE


@pytest.mark.parametrize(
    ("expression", "table"),
    [
        ("self._locks[key % 64]", "self._locks"),
        ("shards[hash(key) & 15].lock", "shards"),
        ("self._lock_for(key)", "self._lock_for"),
        ("self._lock", ""),
        ("locks['a']", ""),
        ("lock()", ""),
        ("self._locks[key %", ""),
        ("", ""),
    ],
)
def test_picked(expression: str, table: str) -> None:
    assert picked(expression) == table

"""Looks beside the samples: what is looked for now and then, each as often as the budget allows.

A look says how often it would like its turn. It is given CPU time to use, is charged what it really used, and comes
later where it used more than its part and what others leave of theirs: the more costly, the rarer. What its first turns
cost, when everything is new, is given to each once: else the first one would be the last of the first ten seconds. One
that can stop half way and go on the next time gets through everything all the same.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable

from concview.engines.base import Look
from concview.model import LookStats

#: All looks together use at most this share of the budget; what they leave goes to the samples. Of 5 % it is 1 % of a
#: core: with half of that, a dozen threads that change their request were told 2 to 4 s late.
SHARE = 0.2
#: A look that is asked for at all gets at least so much CPU time a turn, nanoseconds.
LEAST_NS = 1_000_000
#: CPU nanoseconds that each look may use once beside its part.
FIRST_NS = 100_000_000
#: Until a look has been through everything once, its next turn comes after so long at most: the first turns find all of
#: it new, and a person waits to see something. Nanoseconds.
FIRST_WAIT_NS = 3_000_000_000
#: A look may have saved up so many of its periods.
_SAVED = 4


class _Account:
    __slots__ = ("balance", "credit", "done", "due_ns", "look", "settled_ns", "spent", "through", "turns")

    def __init__(self, look: Look, now_ns: int) -> None:
        self.look = look
        self.due_ns = self.settled_ns = now_ns
        self.balance = 0.0  #: CPU nanoseconds that it may use
        self.credit = FIRST_NS  #: left of what it was given at the beginning
        self.spent = self.turns = self.done = 0  #: since the last report
        self.through = False  #: it has seen everything once


class Looks:
    """`turn` between two samples. `earn` turns a time in nanoseconds into the CPU time that the budget gives for it."""

    def __init__(
        self, looks: Iterable[Look], earn: Callable[[int], int], clock: Callable[[], int] = time.process_time_ns
    ) -> None:
        self._earn, self._clock = earn, clock
        self._accounts = [_Account(look, 0) for look in looks]
        self._reported_ns = 0
        self._left = 0.0  #: CPU nanoseconds that some leave of their parts, for those that need more
        self.due_ns = 0 if self._accounts else 1 << 62  #: until then `turn` has nothing to do

    def turn(self, now_ns: int) -> None:
        """One look at most, the one that is due longest: samples wait for no more than that."""
        accounts = self._accounts
        if not accounts:
            return
        one = min(accounts, key=lambda a: a.due_ns)
        if one.due_ns <= now_ns:
            self._give(one, now_ns)
        self.due_ns = min(a.due_ns for a in accounts)

    def behind(self, moment_ns: int, now_ns: int) -> bool:
        """Whether one is due that has not had a turn since that moment."""
        return any(a.settled_ns < moment_ns and a.due_ns <= now_ns for a in self._accounts)

    def _give(self, one: _Account, now_ns: int) -> None:
        part = SHARE / len(self._accounts)
        period = one.look.every_ns
        if one.settled_ns:
            one.balance += part * self._earn(now_ns - one.settled_ns)
        most = part * self._earn(_SAVED * max(period, 500_000_000))
        self._left = min(self._left + max(0.0, one.balance - most), SHARE * self._earn(1_000_000_000))
        one.balance = min(one.balance, most)
        one.settled_ns = now_ns
        allowed = max(LEAST_NS, int(one.balance))
        before = self._clock()
        complete = one.look.look(now_ns, allowed)
        spent = self._clock() - before
        given = min(spent, one.credit)
        one.credit -= given
        one.balance -= spent - given
        if one.balance < 0:
            taken = min(self._left, -one.balance)
            one.balance += taken
            self._left -= taken
        one.spent += spent
        one.turns += 1
        one.done += complete
        one.through = one.through or complete
        # When it can pay for what this turn has cost once more.
        income = part * max(1, self._earn(1_000_000_000))
        again = int(1e9 * max(0.0, min(spent, LEAST_NS) - one.balance - one.credit) / income)
        if not one.through:
            again = min(again, FIRST_WAIT_NS)
        one.due_ns = now_ns + max(period if complete else 0, again, 1)

    def report(self, now_ns: int) -> tuple[LookStats, ...]:
        """What each has cost and managed since the last report."""
        elapsed = max(1, now_ns - self._reported_ns)
        self._reported_ns = now_ns
        found = []
        for one in self._accounts:
            found.append(LookStats(one.look.name, one.turns, one.done, 100 * one.spent / elapsed))
            one.spent = one.turns = one.done = 0
        return tuple(found)

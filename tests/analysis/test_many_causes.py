"""A program with very many places: what the verdict is about is not cut off with the small causes."""

from __future__ import annotations

from concview.analysis.blame.nouns import End, Family, Place, Root, Row, Step, Via
from concview.analysis.blame.summary import MOST_CAUSES, Merged, _kept, merged
from concview.analysis.blame.verdict import _problem
from concview.analysis.history import History
from concview.snapshot import Blame, BlameCause


def _merged(family: Family, line: int) -> Merged:
    return Merged(Root(End.CPU, "x", Place("app.py", line, "f")), (), family)


def _cause(m: Merged, share: float) -> BlameCause:
    place = m.root.place
    return BlameCause(m.family, m.root.kind, "x", place.file, place.line, "f", share, share * 100, (place.line,))


def test_the_largest_of_each_sort_is_kept() -> None:
    own = [_merged(Family.OWN, i) for i in range(MOST_CAUSES + 20)]
    taken = [_merged(Family.TAKEN, 1000 + i) for i in range(60)]
    kept = _kept([*own, *taken])
    assert kept == [*own[:MOST_CAUSES], taken[0]]
    assert _kept(own[:5]) == own[:5]
    causes = tuple(_cause(m, 0.005 if m.family is Family.TAKEN else 0.01) for m in kept)
    blame = Blame(10.0, 10.0, 10.0, 0.6, 0.3, 0.0, 0.0, 0.1, 0.0, causes=causes)
    problem = _problem(blame, History())
    assert problem is not None and problem[0] == "held up"


def test_those_in_front_are_counted_with_those_that_wait_for_the_same() -> None:
    """'held in turn by 2 threads (watch), which wait for b' must not count one that waits for something else."""
    a, b, c = (Place("shop.py", n, "f") for n in (1, 2, 3))
    end = Root(End.SLEEP, "sleeps", Place("shop.py", 9, "g"))
    first = Step(Via.LOCK, "a", "web", a)

    def row(second: Step, ns: int, owner: int) -> Row:
        return Row(end, (first, second), {1: ns}, [{owner}, {8}])

    of_b, of_c = Step(Via.LOCK, "b", "watch", b), Step(Via.LOCK, "c", "calc", c)
    (one,) = merged([row(of_c, 4, 11), row(of_b, 5, 12), row(of_c, 3, 13), row(of_b, 6, 14)])
    assert one.path[1] == of_b and one.owners[0] == {12, 14}
    assert one.total == 18

"""The call tree adds up."""

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from concview.analysis import calltree
from concview.model import Frame, Stack

A, B, C = (Frame(n, "app.py", i) for i, n in enumerate("abc", 1))
A2 = Frame("a", "app.py", 9)
LIB, LIB2 = Frame("lib", "lib.py", 1, "", "library"), Frame("deep", "lib.py", 2, "", "stdlib")


def test_own_and_total() -> None:
    root = calltree.tree([(Stack((C, B, A)), 30), (Stack((B, A)), 20), (Stack((A2,)), 50)])
    (a,) = root.sorted_children()
    assert (root.total_ns, a.total_ns, a.own_ns) == (100, 100, 50)
    (b,) = a.sorted_children()
    assert (b.total_ns, b.own_ns) == (50, 20)
    by_line = calltree.tree([(Stack((B, A)), 20), (Stack((A2,)), 50)], by_line=True)
    assert [n.total_ns for n in by_line.sorted_children()] == [50, 20]


def test_library_frames_fold_into_the_call_that_was_made() -> None:
    root = calltree.tree([(Stack((LIB2, LIB2, LIB, A)), 10)], fold=True)
    (a,) = root.sorted_children()
    (lib,) = a.sorted_children()
    assert lib.frame is LIB and lib.folded == 2 and lib.own_ns == 10 and not lib.children


def test_recursion_counts_once_in_the_table() -> None:
    (a,) = calltree.table([(Stack((A, A, A)), 10)])
    assert (a.own_ns, a.total_ns) == (10, 10)


FRAMES = st.sampled_from([A, B, C, A2, LIB, LIB2])
STACKS = st.lists(FRAMES, min_size=1, max_size=8).map(lambda f: Stack(tuple(f)))


@given(st.lists(st.tuples(STACKS, st.integers(1, 1000)), max_size=20), st.booleans(), st.booleans())
def test_everything_adds_up(stack_times: list[Any], by_line: bool, fold: bool) -> None:
    root = calltree.tree(stack_times, by_line, fold)
    whole = sum(ns for _, ns in stack_times)
    assert root.total_ns == whole

    def check(node: calltree.Node) -> int:
        own = node.own_ns + sum(check(c) for c in node.children.values())
        assert own == node.total_ns
        return own

    check(root)
    assert sum(e.own_ns for e in calltree.table(stack_times, by_line)) == whole

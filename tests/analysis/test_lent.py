"""What a thread that waits to be notified is about to be lent: asked for in the head of a `with`."""

from __future__ import annotations

import pytest

from concview.analysis import known_places
from concview.analysis.known_places import lent
from concview.model import Frame, Stack

WAIT = Frame("Condition.wait", "/usr/lib/python3/threading.py", 300, "", "stdlib")
TAKE = Frame("Pool.take", "/srv/pool.py", 7, "self.cond.wait(5)", "user")
ENTER = Frame("_GeneratorContextManager.__enter__", "/usr/lib/python3/contextlib.py", 137, "", "stdlib")
GENERATOR = Frame("connection", "/srv/app.py", 20, "c = pool.take()", "user")


@pytest.mark.parametrize(("text", "inner", "name"), [
    ("with connection():", [WAIT, TAKE, GENERATOR, ENTER], "connection()"),
    ("with connection(): query()", [WAIT, TAKE, GENERATOR, ENTER], "connection()"),
    ("with pool.of(names[1:]) as c: query(c)", [WAIT, TAKE, ENTER], "pool.of(names[1:])"),
    ("with connection(): query()", [WAIT, TAKE, Frame("query", "/srv/app.py", 30, "x.get()", "user")], None),
    ("with pool.take() as c: c.take()", [WAIT, TAKE], None),  # either of them
    ("with pool.take() as c: c.run()", [WAIT, TAKE], "pool.take()"),
    ("with closing(x):", [WAIT, Frame("Pool.__exit__", "/srv/pool.py", 9, "", "user")], None),
])  # fmt: skip
def test_the_head_of_a_block(text: str, inner: list[Frame], name: str | None) -> None:
    found = lent(Stack((*inner, Frame("handle", "/srv/app.py", 12, text, "user"))))
    assert (found[0] if found else None) == name


@pytest.mark.parametrize(("file", "origin", "same"), [
    ("/usr/lib/python3.12/site-packages/multiprocess/pool.py", "library", True),
    ("/opt/app/lib/multiprocess/pool.py", "library", True),
    ("/srv/multiprocess/pool.py", "user", False),
    ("/usr/lib/python3.12/site-packages/multiprocess/other.py", "library", False),
])  # fmt: skip
def test_the_copy_of_multiprocessing_is_known_as_it(file: str, origin: str, same: bool) -> None:
    frame = Frame("worker", file, 1, "", origin)
    assert known_places.is_file(frame, "multiprocessing/pool.py") == same
    assert known_places.among(frame, known_places.WORKERS) == same

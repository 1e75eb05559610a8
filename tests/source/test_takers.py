"""Who takes something out of a pool and does not give it back on every way, by the source."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from concview.source.takers import Taken, gives_back, takers, takes

POOL = Taken("pool", "get")
PUT = frozenset({"put"})

SOURCE = """
def nowhere():
    c = pool.get()
    query(c)

def early(n):
    c = self.pool.get()
    if n:
        return
    pool.put(c)

def works(n):
    c = pool.get()
    query(c)
    pool.put(c)

def hands():
    c = pool.get()
    return c

def straight():
    return pool.get()

def good():
    c = pool.get()
    try:
        query(c)
    finally:
        pool.put(c)

def closes():
    c = pool.get()
    try:
        query(c)
    finally:
        c.close()

def entered():
    with pool.get() as c:
        query(c)

def closing_():
    with closing(pool.get()) as c:
        query(c)

def other():
    c = jobs.get()

class Service:
    def fetch(self):
        c = self.pool.get(timeout=3)
        self.kept.append(c)
""".splitlines()


def test_who_may_not_give_it_back() -> None:
    found = {t.function: (t.how, t.back) for t in takers(SOURCE, POOL, PUT)}
    assert found == {
        "nowhere": ("nowhere", 0),
        "early": ("early", 10),
        "works": ("early", 15),
        "hands": ("returned", 0),
        "straight": ("returned", 0),
        "fetch": ("nowhere", 0),
    }


@pytest.mark.parametrize(("line", "found"), [
    ("db = self.pool.get()", POOL),
    ("with engine.connect() as db: db.execute(query)", Taken("engine", "connect")),
    ("with engine.connect() as db:", Taken("engine", "connect")),
    ("sem.acquire()", Taken("sem", "acquire")),
    ("a = x.get() + y.get()", None),
    ("while True:", None),
    (")(", None),
])  # fmt: skip
def test_what_a_line_takes(line: str, found: Taken | None) -> None:
    assert takes(["", f"    {line}"], 2) == found


def test_the_very_thing_is_given_back() -> None:
    lent = ["def web():", "    c = pool.get()", "    pool.put(c)"]
    work = ["def work():", "    n = pool.get()", "    pool.put(n.next)", "    pool.put(1)"]
    assert gives_back(lent, 2, POOL, PUT)
    assert not gives_back(lent, 9, POOL, PUT)
    assert not gives_back([x.replace("n.next", "m") for x in work], 2, POOL, PUT)


@given(st.lists(st.text(max_size=40), max_size=8), st.integers(0, 9))
def test_any_text_is_borne(lines: list[str], line: int) -> None:
    takes(lines, line)
    assert takers(lines, POOL, PUT) == [] or any("def" in x for x in lines)
    gives_back(lines, line, POOL, PUT)

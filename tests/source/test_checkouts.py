"""What is taken out of a queue and put back: in the source."""

from __future__ import annotations

from pathlib import Path

import pytest

from concview.source.facts import SourceFacts

POOL = """
def serve():
    while True:
        db = connections.get()
        rows = query(db)
        connections.put(db)
        render(rows)

class Pool:
    def one(self):
        thing = self._idle.get(timeout=5)
        try:
            yield thing
        finally:
            self._idle.put_nowait(thing)
"""


def _lookup(folder: Path, source: str, function: str, line: int) -> tuple[str, str] | None:
    file = folder / "pool.py"
    file.write_text(source)
    found = SourceFacts(None, file.stat().st_mtime + 10).lookup(function, str(file), line).checkout
    return (found.how, found.expression) if found is not None else None


@pytest.mark.parametrize(
    ("function", "line", "expected"),
    [
        ("serve", 4, ("get", "connections")),
        ("serve", 5, ("kept", "connections")),
        ("serve", 6, None),
        ("serve", 7, None),
        ("Pool.one", 11, ("get", "self._idle")),
        ("one", 13, ("kept", "self._idle")),  # before 3.11 there are bare names
        ("Pool.one", 15, None),
    ],
)
def test_a_pool(tmp_path: Path, function: str, line: int, expected: tuple[str, str] | None) -> None:
    assert _lookup(tmp_path, POOL, function, line) == expected


@pytest.mark.parametrize(
    "body",
    [
        "job = jobs.get()\n    work(job)",  # a worker
        "job = jobs.get()\n    try: work(job)\n    except Exception: jobs.put(job)",  # a retry
        "job = jobs.get()\n    if not work(job): jobs.put(job)",
        "job = jobs.get()\n    results.put(job)",  # a stage of a pipeline
        "job = jobs.get()\n    jobs.put(None)",  # the next one is to end, too
        "job = table.get('x')\n    table.put('x', job)",
        "job = make().get()\n    make().put(job)",
    ],
)
def test_what_only_looks_like_one(tmp_path: Path, body: str) -> None:
    assert _lookup(tmp_path, f"def f():\n    {body}\n", "f", 2) is None


@pytest.mark.parametrize(
    ("filling", "item"),
    [
        ("boxes.put(Box(1))", "Box"),
        ("def fill():\n    for _ in range(4):\n        boxes.put_nowait(shapes.Box())", "Box"),
        ("boxes.put(Box(1))\nboxes.put(Lid())", ""),
        ("boxes.put(make(1))", ""),
        ("other.put(Box(1))", ""),
        ("def fill(boxes):\n    boxes.put(Box(1))", ""),  # any queue
    ],
)
def test_what_is_in_it(tmp_path: Path, filling: str, item: str) -> None:
    file = tmp_path / "pool.py"
    file.write_text(f"def use():\n    box = boxes.get()\n    work(box)\n    boxes.put(box)\n\n{filling}\n")
    facts = SourceFacts(None, file.stat().st_mtime + 10)
    for line in (2, 3):
        found = facts.lookup("use", str(file), line).checkout
        assert found is not None and found.item == item

"""The difference flame graph, of recordings whose content is known to the nanosecond."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET
from html.parser import HTMLParser
from pathlib import Path

import pytest

from concview.analysis.work import NO_WORK
from concview.codec import STREAM_VERSION, Writer
from concview.commands.base import CommandError
from concview.commands.compare import _labels, _picture
from concview.compare import flame as flames
from concview.compare import measure
from concview.compare.comparison import GROUPS
from concview.compare.flame import Node, flame
from concview.compare.flame_page import WIDTH, page, svg
from concview.model import (
    CAPABILITIES,
    Bye,
    Capability,
    Confidence,
    Frame,
    FrameDef,
    Hello,
    Hold,
    HoldsDef,
    Label,
    LabelDef,
    Site,
    StackDef,
    Target,
    ThreadDef,
    Tick,
    Wait,
    WaitDef,
    WaitKind,
    Work,
    WorkItem,
    WorkKind,
)
from concview.session.recording import Recording
from concview.snapshot import RouteView

TICK = 10_000_000
HOSTILE = "</svg><script>alert(1)</script>&\"' "


def recorded(
    path: Path, ticks: int, spent: dict[str, int], lock: int = 0x10, hostile: str = "", label: str = ""
) -> Recording:
    """One thread that spends so many of the ticks in each: 'run', 'lock' (behind another thread), 'sleep'; all of it in
    the name of a request `label`."""
    can = {name: Capability(True) for name in CAPABILITIES}
    target = Target(1, "3.13.0", ("app.py",), 0.0)
    site = Site("self._lock", "/srv/cache.py", 41, "Cache.get")
    with path.open("wb") as out:
        writer = Writer(out)
        writer.add(Hello(STREAM_VERSION, "0", target, "direct", 100, 5, TICK, 100.0, can))
        for number, (name, line) in enumerate((("main", 3), ("Cache.get" + hostile, 40 + ticks), ("nap", 9)), 1):
            writer.add(FrameDef(number, Frame(name, "/srv/cache.py", line)))
        writer.add(StackDef(1, (2, 1)))
        writer.add(StackDef(2, (3, 1)))
        writer.add(WaitDef(1, Wait(WaitKind.RUNNING)))
        writer.add(WaitDef(2, Wait(WaitKind.FUTEX, lock=lock, lock_kind="Lock")))
        writer.add(WaitDef(3, Wait(WaitKind.SLEEP)))
        writer.add(HoldsDef(1, (Hold(lock, "Lock", site, Confidence.EXACT),)))
        writer.add(ThreadDef(7, "worker"))
        writer.add(ThreadDef(8, "holder"))
        if label:
            writer.add(LabelDef(5, Label(WorkKind.REQUEST, "flask", label)))
            writer.add(Work(0, (WorkItem(1, 5, 0, 0, (7,)),)))
        rows = {"run": (1, 1), "lock": (1, 2), "sleep": (2, 3)}
        order = [what for what, count in spent.items() for _ in range(count)]
        assert len(order) == ticks
        for number, what in enumerate([*order, order[-1]]):
            stack, wait = rows[what]
            writer.add(Tick((number + 1) * TICK, TICK, 0, False, (7, stack, wait, 0, 8, 2, 3, 1)))
        writer.add(Bye((ticks + 1) * TICK, "stopped"))
        writer.flush()
    return Recording(path)


def _find(node: Node, *names: str) -> Node:
    for name in names:
        node = node.children[name]
    return node


def test_weights_are_threads_on_average_whatever_the_length(tmp_path: Path) -> None:
    """Lines move and locks have other addresses in the next run: both are the same place."""
    before = recorded(tmp_path / "a", 400, {"run": 100, "lock": 100, "sleep": 200})
    after = recorded(tmp_path / "b", 100, {"run": 75, "sleep": 25}, lock=0x20)
    found = flame([before], [after])
    assert found.root.base == pytest.approx(2, rel=0.03) and found.root.new == pytest.approx(2, rel=0.03)
    get = _find(found.root, "main (cache.py)", "Cache.get (cache.py)")
    assert get.own
    assert get.base == pytest.approx(0.5, abs=0.02) and get.new == pytest.approx(0.75, abs=0.02)
    waits = _find(get, "[lock]", "[self._lock (cache.py)]")
    assert waits.base == pytest.approx(0.25, abs=0.02) and waits.new == 0
    changes = {(p.function, p.state, p.lock): round(p.change, 1) for p in found.places}
    assert changes["Cache.get", "lock", "self._lock (cache.py)"] in (-0.2, -0.3)
    assert changes["Cache.get", "running", ""] == 0.5
    assert changes["nap", "sleep", ""] in (-0.2, -0.3)
    assert [abs(p.change) for p in found.places] == sorted((abs(p.change) for p in found.places), reverse=True)
    assert all(p.p is None for p in found.places)


def test_runs_are_tested_against_runs(tmp_path: Path) -> None:
    base = [recorded(tmp_path / f"a{i}", 100, {"run": 10 + i, "sleep": 90 - i}) for i in range(4)]
    new = [recorded(tmp_path / f"b{i}", 100, {"run": 50 + i, "sleep": 50 - i}) for i in range(4)]
    by = {(p.function, p.state): p for p in flame(base, new).places}
    assert by["Cache.get", "running"].significant and by["Cache.get", "running"].p == pytest.approx(2 / 70)
    same = flame(base, [base[1], base[0], base[3], base[2]])
    assert not same.places


def test_what_is_gone_and_what_is_new_are_both_drawn(tmp_path: Path) -> None:
    """In one picture alone a box without time on that side has no width."""
    before = recorded(tmp_path / "a", 100, {"lock": 50, "sleep": 50}, hostile=HOSTILE)
    after = recorded(tmp_path / "b", 100, {"run": 50, "sleep": 50})
    found = flame([before], [after])
    tree = ET.fromstring(svg(found))
    titles = [t.text or "" for t in tree.iter("{http://www.w3.org/2000/svg}title")]
    assert any(t.startswith("Cache.get (cache.py): 0.00 to ") for t in titles)
    assert any("<script>" in t and " to 0.00 threads" in t for t in titles)
    rects = [r for g in tree.iter("{http://www.w3.org/2000/svg}g") for r in g.iter("{http://www.w3.org/2000/svg}rect")]
    assert all(float(r.get("x", "-1")) + float(r.get("width", "-1")) <= WIDTH + 0.2 for r in rects)
    reds = {r.get("fill") for r in rects}
    assert len(reds) > 2


def test_the_page_is_closed_and_loads_nothing(tmp_path: Path) -> None:
    before = recorded(tmp_path / "a", 100, {"lock": 50, "sleep": 50}, hostile=HOSTILE)
    after = recorded(tmp_path / "b", 100, {"run": 50, "sleep": 50}, hostile=HOSTILE)
    text = page(flame([before], [after]), "t" + HOSTILE, [("base", HOSTILE)], [HOSTILE])
    tags: list[str] = []

    class Reader(HTMLParser):
        def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
            tags.append(tag)
            assert not {name for name, _ in attrs} & {"src", "href", "onload", "onclick"}

    Reader().feed(text)
    assert "script" not in tags and tags.count("svg") == 1
    assert "default-src 'none'" in text
    assert not re.findall(r"url\(|@import", text)


def test_the_tree_is_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(flames, "MOST_NODES", 4)
    found = flame(
        [recorded(tmp_path / "a", 100, {"lock": 50, "sleep": 50})], [recorded(tmp_path / "b", 100, {"run": 100})]
    )  # fmt: skip
    assert found.cut

    def count(node: Node) -> int:
        return 1 + sum(map(count, node.children.values()))

    assert count(found.root) <= 4 + 4  # one '(more)' a place where something was cut
    assert found.root.new == pytest.approx(2, rel=0.03)


def test_the_suffix_says_the_form() -> None:
    assert _picture("x.svg") == Path("x.svg")
    assert _picture(None) is None
    with pytest.raises(CommandError, match="--flame"):
        _picture("x.png")


def test_in_whose_name(tmp_path: Path) -> None:
    spent = {"run": 4, "sleep": 4}
    base = recorded(tmp_path / "base", 8, spent, label="GET /a")
    new = recorded(tmp_path / "new", 8, spent, label="GET /b")
    root = flame([base], [new], by_label=True).root
    assert set(root.children) == {"GET /a", "GET /b", NO_WORK}
    first, second = root.children["GET /a"], root.children["GET /b"]
    assert (round(first.base, 3), first.new, second.base, round(second.new, 3)) == (1.0, 0, 0, 1.0)
    only = flame([base], [new], labels=["GET /b"])
    assert (only.root.base, round(only.root.new, 3)) == (0, 1.0) and set(only.root.children) == {"main (cache.py)"}


def test_a_name_that_is_in_neither_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    spent = {"run": 4, "sleep": 4}
    base = recorded(tmp_path / "base", 8, spent, label="GET /a")
    new = recorded(tmp_path / "new", 8, spent, label="GET /b")
    names = flame([base], [new], labels=["GET /x"]).names
    assert names == {"GET /a", "GET /b"}
    _labels(["GET /a"], names)  # in one of them
    _labels(["GET /?"], names)
    assert not capsys.readouterr().err
    with pytest.raises(CommandError, match="named 'GET /x'") as failure:
        _labels(["GET /x"], names)
    assert failure.value.remedy == "there are: GET /a, GET /b"
    _labels(["GET /x", "GET /b"], names)
    assert "'GET /x'" in capsys.readouterr().err
    with pytest.raises(CommandError) as failure:
        _labels(["GET /x"], [f"GET /{n:04}" for n in range(1000)])
    assert failure.value.remedy.endswith("GET /0019, ... 980 more")
    with pytest.raises(CommandError) as failure:
        _labels(["GET /x"], [])
    assert "--labels safe" in failure.value.remedy


def test_requests_are_compared_by_name_and_no_more_than_so_many() -> None:
    run = measure.Run("x")
    now: dict[measure.Metric, float | None] = {}
    shares = (0.0,) * 8

    def route(kind: WorkKind, name: str, exact: bool = True) -> RouteView:
        return RouteView(kind, "flask", name, "", 3, 2.0, 0.5, 0.9, exact, shares, 0.0)

    for one in (
        route(WorkKind.REQUEST, "GET /a"),
        route(WorkKind.REQUEST, "GET /a", False),
        route(WorkKind.QUERY, "SELECT 1"),
    ):
        measure._route(run, now, one)
    assert {(m.name, m.unit): v for m, v in now.items()} == {
        ("GET /a in flight", "on average"): 4.0,
        ("GET /a median", "s"): 0.5,
        ("GET /a p95", "s"): 0.9,
    }
    for i in range(1000):
        measure._route(run, now, route(WorkKind.JOB, f"job_{i}"))
    assert len(run.routes) == measure.MOST_ROUTES and all(m.group in GROUPS for m in now)

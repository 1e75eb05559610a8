"""What may be told: nothing that came with a request, in any kind."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from concview.commands import run
from concview.labels.base import Raw
from concview.labels.policy import label
from concview.labels.reader import joined
from concview.model import WorkKind

SECRET = "xyzzysecret"
REQUEST, JOB, QUERY, CALL = WorkKind.REQUEST, WorkKind.JOB, WorkKind.QUERY, WorkKind.CALL


@pytest.mark.parametrize(
    ("raw", "name", "missing"),
    [
        (Raw(REQUEST, (), method="GET", path=f"/reset/{SECRET}"), "GET", "route"),
        (Raw(REQUEST, (), method="GET", path=f"/o/{SECRET}", route="/o/<id>"), "GET /o/<id>", ""),
        (Raw(REQUEST, (), method=SECRET, path="/"), "?", "route"),
        (Raw(REQUEST, (), method="post", route=f"/x?token={SECRET}"), "POST", "route"),
        (Raw(REQUEST, (), method="GET", route=f"/x#{SECRET}"), "GET", "route"),
        (Raw(REQUEST, (), method="GET", route=f"/x {SECRET}"), "GET", "route"),
        (Raw(JOB, (), name="shop.tasks.mail", id="3b1f8a52-97d4-4a56-b5a1-000000000000"), "shop.tasks.mail", ""),
        (Raw(JOB, (), name=f"mail to {SECRET}", id=f"user-{SECRET}"), "", "name"),
        (Raw(JOB, (), name="shop.Order.<locals>.send", id=""), "shop.Order.<locals>.send", ""),
        (Raw(QUERY, (), statement=f"SELECT a FROM t WHERE b = '{SECRET}'"), "SELECT a FROM t WHERE b = ?", ""),
        (Raw(QUERY, (), statement=SECRET), "", "statement"),
        (Raw(CALL, (), method="GET", host="api.example:84", detail=f"https://x/{SECRET}"), "GET api.example:84", ""),
        (Raw(CALL, (), method="GET", host=f"{SECRET}@host"), "GET", "host"),
        (Raw(CALL, (), method="RPC", rpc="/shop.Orders/Get", host="db:1"), "RPC /shop.Orders/Get db:1", ""),
        (Raw(CALL, (), method="RPC", rpc=f"/shop.Orders/Get?{SECRET}"), "RPC", "host"),
        (Raw(QUERY, (), command="BLPOP"), "BLPOP", ""),
        (Raw(QUERY, (), command="CLIENT PAUSE"), "CLIENT PAUSE", ""),
        (Raw(QUERY, (), command=f"GET key:{SECRET}"), "", "statement"),
        (Raw(QUERY, (), command="find", name="orders"), "find orders", ""),
        (Raw(QUERY, (), command="find", name=f"orders of {SECRET}"), "find", ""),
        (Raw(CALL, (), method="GET", host=f"host/{SECRET}"), "GET", "host"),
        (Raw(WorkKind.SPAN, (), name=SECRET, id="0af7651916cd43dd8448eb211c80319c"), "", ""),
    ],
)
def test_safe(raw: Raw, name: str, missing: str) -> None:
    found = label(raw, full=False)
    assert (found.name, found.missing, found.detail) == (name, missing, "")
    assert SECRET not in repr(found)


def test_ids_that_a_library_made_are_told() -> None:
    assert label(Raw(JOB, (), name="a.b", id="3b1f8a52-97d4-4a56-b5a1-000000000000"), False).id
    assert not label(Raw(JOB, (), name="a.b", id="order-of-bob"), False).id


def test_full_is_cleaned_and_cut() -> None:
    found = label(Raw(REQUEST, (), method="GET", path="/a\x1b[31m\u202e" + "b" * 5000), full=True)
    assert "\x1b" not in found.detail and "\u202e" not in found.detail and len(found.detail) <= 1000


def test_server_and_framework_are_one_request() -> None:
    server = Raw(REQUEST, ("gunicorn", 1), method="GET", path="/api/o/5", local=7.0, system="gunicorn")
    framework = Raw(REQUEST, ("flask", 2), method="GET", path="/o/5", route="/o/<id>", system="flask")
    (one,) = joined([framework, server])
    assert (one.key, one.route, one.local, one.system) == (("gunicorn", 1), "/o/<id>", 7.0, "flask")


@pytest.mark.parametrize(
    "inner",
    [
        Raw(REQUEST, ("flask", 2), method="POST", path="/o/5"),
        Raw(REQUEST, ("flask", 2), method="GET", path="/other"),
        Raw(QUERY, ("sqlite3", 2), statement="SELECT 1"),
    ],
)
def test_a_request_inside_another_stays_apart(inner: Raw) -> None:
    server = Raw(REQUEST, ("gunicorn", 1), method="GET", path="/o/5")
    assert joined([inner, server]) == [inner, server]


def test_an_orm_and_its_driver_are_one_query() -> None:
    driver = Raw(QUERY, ("sqlite3", 2), statement="SELECT 1")
    orm = Raw(QUERY, ("sqlalchemy", 1), statement="SELECT 1")
    assert [r.key for r in joined([driver, orm])] == [("sqlalchemy", 1)]
    other = Raw(QUERY, ("sqlalchemy", 1), statement="SELECT 2")
    assert len(joined([driver, other])) == 2


@pytest.mark.parametrize("arguments", [("--labels", "full"), ("--labels", "everything")])
def test_a_recording_with_full_labels_is_asked_for_once_more(
    arguments: tuple[str, ...], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "x.concview"
    assert run(["record", str(os.getpid()), "-o", str(out), "--duration", "1", *arguments]) == 2
    assert ("--keep-full-labels" if arguments[1] == "full" else "off, safe or full") in capsys.readouterr().err
    assert not out.exists()

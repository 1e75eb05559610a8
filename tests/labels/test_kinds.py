"""Kinds on made-up frames, with the names that were seen in the real libraries, and how several tell of one request."""

from __future__ import annotations

from concview.labels.base import Raw
from concview.labels.policy import label
from concview.labels.reader import joined
from concview.model import WorkKind

REQUEST = WorkKind.REQUEST


def test_a_template_inside_mounts_is_the_whole_one() -> None:
    server = Raw(REQUEST, ("asgi", 1), method="GET", path="/api/v1/o/5", system="uvicorn")
    outer = Raw(REQUEST, ("asgi", 1), method="GET", path="/api/v1/o/5", mount="/api", system="starlette")
    inner = Raw(REQUEST, ("asgi", 1), method="GET", path="/api/v1/o/5", mount="/v1/", system="starlette")
    route = Raw(REQUEST, ("asgi", 1), method="GET", path="/api/v1/o/5", route="/o/{id}", system="starlette")
    (one,) = joined([route, inner, outer, server])
    assert one.route == "/api/v1/o/{id}"


def test_a_handler_stands_where_there_is_no_template() -> None:
    found = label(Raw(REQUEST, (), method="GET", path="/secret", handler="OrderHandler"), False)
    assert (found.name, found.missing) == ("GET OrderHandler", "")
    assert label(Raw(REQUEST, (), method="GET", handler="a b"), False).missing == "route"
    assert label(Raw(REQUEST, (), method="GET", route="/o/{id}", handler="O"), False).name == "GET /o/{id}"

"""Kinds on made-up frames, with the names that were seen in the real libraries, and how several tell of one request."""

from __future__ import annotations

import struct
from typing import Any

import pytest

from concview import registry
from concview.labels.base import Kind, Raw
from concview.labels.policy import label
from concview.labels.reader import joined
from concview.model import WorkKind

REQUEST = WorkKind.REQUEST
KINDS: dict[str, Kind] = registry.everything("concview.labels.kinds", "KIND")


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


FREE = "it's xyzzysecret, /x?token=xyzzysecret"


class _Anything:
    """Whatever is asked for is there, and is text that came with a request."""

    address, type = 4096, FREE

    def __bool__(self) -> bool:
        return True

    def package(self) -> str:
        return "library"

    def attr(self, *names: str) -> _Anything:
        return self

    def item(self, key: str) -> _Anything:
        return self

    def at(self, index: int) -> _Anything:
        return self

    def first(self) -> tuple[_Anything, _Anything]:
        return self, self

    def text(self, limit: int = 0) -> str:
        return FREE

    def function_name(self) -> str:
        return FREE

    def float(self) -> float:
        return 1.0

    def integer(self) -> int:
        return 1

    def truth(self) -> bool:
        return False

    def word(self, offset: int) -> _Anything:
        return self

    def raw(self, offset: int, size: int) -> bytes:
        return bytes(size)


class _Scope(_Anything):
    def text(self, limit: int = 0) -> str:
        return "http" if limit == 16 else FREE


class _Operation(_Anything):
    """Of GraphQL: it says of itself which kind it is."""

    def text(self, limit: int = 0) -> str:
        return "query" if limit == 16 else FREE


class _Begun(_Anything):
    """A connection that has a transaction open: not closed, the third one."""

    type = "psycopg2.extensions.connection"

    def raw(self, offset: int, size: int) -> bytes:
        return struct.pack("<qqi", 0, 3, 2)[:size].ljust(size, b"\0")


class _Handler(_Anything):
    """Of aiogram: filters are called as handlers are."""

    type = "HandlerObject"


class _View:
    def __init__(self, ref: _Anything) -> None:
        self._ref = ref

    def local(self, name: str) -> _Anything:
        return self._ref

    def call(self, types: frozenset[str], methods: frozenset[str]) -> tuple[_Anything, _Anything]:
        return self._ref, self._ref

    def function(self) -> str:
        return "Worker.on_message"

    def taking(self) -> frozenset[str]:
        return frozenset()


@pytest.mark.parametrize("name", sorted(KINDS))
@pytest.mark.parametrize("ref", [_Anything(), _Scope(), _Operation(), _Begun(), _Handler()])
def test_no_kind_lets_free_text_through(name: str, ref: _Anything) -> None:
    raw = KINDS[name].read(_View(ref))  # type: ignore[arg-type]
    if raw is None:
        assert not isinstance(ref, _Scope) or name in (
            "aiogram",
            "graphql",
            "transactions",
        )  # what is read of a scope must be that of a request
        return
    told = label(raw, False)
    assert "xyzzysecret" not in repr(told) and (told.missing or not told.name or told.name.isascii())


EVERY = (_Anything(), _Scope(), _Operation(), _Begun(), _Handler())


def test_what_graphql_is_asked_for_belongs_to_its_request() -> None:
    server = Raw(REQUEST, ("asgi", 1), method="POST", path="/graphql", route="/graphql", system="starlette")
    asked = Raw(REQUEST, ("graphql", 1), operation="query user, slow", name="SecretName", system="graphql")
    again = Raw(REQUEST, ("graphql", 1), operation="query user, slow", name="SecretName", system="graphql")
    (one,) = joined([again, asked, server])
    assert one.key == server.key and label(one, False).name == "POST /graphql query user, slow"
    assert label(asked, False).name == "query user, slow"
    assert label(Raw(REQUEST, (), method="POST", operation="query x y"), False).name == "POST"
    two = Raw(REQUEST, ("graphql", 2), operation="mutation pay")  # one in a test client's request inside another
    assert len(joined([two, asked, server])) == 2


def test_every_kind_reads_something_of_a_frame_that_has_it_all() -> None:
    read = {n for n, k in KINDS.items() for r in EVERY if k.read(_View(r)) is not None}  # type: ignore[arg-type]
    assert read == set(KINDS)


class _Call:
    """Locals of `ClientSession._request`: the session and the address are the same for many calls at once."""

    def __init__(self, timer: int, headers: int) -> None:
        self.of = {"tm": timer, "headers": headers, "self": 1, "str_or_url": 2, "method": 3}

    def local(self, name: str) -> _Anything:
        found = _Anything()
        found.address = self.of.get(name, 4)
        return found


def test_calls_of_one_session_to_one_address_are_told_apart() -> None:
    read: Any = KINDS["aiohttp_client"].read
    one, again, other = (read(_Call(*made)) for made in ((10, 20), (10, 20), (11, 21)))
    assert one.key == again.key != other.key

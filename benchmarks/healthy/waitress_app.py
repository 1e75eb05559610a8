"""A WSGI application under waitress with four threads; each page asks somebody for 5 ms."""

from __future__ import annotations

import time
from typing import Any, Callable  # noqa: UP035

from _stand import browse, free_port, perform, start

NEEDS = ("waitress",)


def app(environ: dict[str, Any], respond: Callable[..., Any]) -> list[bytes]:
    time.sleep(0.005)
    respond("200 OK", [("Content-Type", "text/plain")])
    return [b"hello" * 200]


def program() -> None:
    from waitress import serve

    port = free_port()
    start("server", lambda: serve(app, host="127.0.0.1", port=port, threads=4, _quiet=True))
    browse(port)


if __name__ == "__main__":
    perform(program)

"""A WSGI application under cheroot's ten threads, with a few browsers."""

from __future__ import annotations

import threading
import time

from _stand import browse, free_port

NEEDS = ("cheroot",)


def app(environ, respond):  # type: ignore[no-untyped-def]
    time.sleep(0.005)
    respond("200 OK", [("Content-Length", "5")])
    return [b"hello"]


if __name__ == "__main__":
    from cheroot.wsgi import Server

    port = free_port()
    threading.Timer(1, print, ("ready",), {"flush": True}).start()
    browse(port)
    Server(("127.0.0.1", port), app).start()

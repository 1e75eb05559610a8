"""The metrics over HTTP: on a loopback address, or on a Unix socket that only this user may use."""

from __future__ import annotations

import os
import socket
import socketserver
import stat
import struct
import threading
from pathlib import Path
from typing import Any
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer

from prometheus_client import CollectorRegistry, make_wsgi_app
from prometheus_client.registry import Collector

LOOPBACK = "127.0.0.1"
#: A client that says nothing is let go after so many seconds.
SILENCE_S = 10.0
#: Requests that are answered at a time; further ones wait.
AT_ONCE = 4


class CannotServe(Exception):
    """The address or socket cannot be had. The message says why; `remedy` what would help."""

    def __init__(self, message: str, remedy: str = "") -> None:
        super().__init__(message)
        self.remedy = remedy


class _Handler(WSGIRequestHandler):
    timeout = SILENCE_S

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002  # its name in the base class
        pass  # a scrape every few seconds is no news

    def address_string(self) -> str:
        return str(self.client_address[0]) if self.client_address else ""


class _Server(socketserver.ThreadingMixIn, WSGIServer):
    daemon_threads = True
    allow_reuse_address = True

    def __init__(self, address: Any, handler: type[WSGIRequestHandler]) -> None:
        self._room = threading.BoundedSemaphore(AT_ONCE)
        super().__init__(address, handler)

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        with self._room:
            super().process_request_thread(request, client_address)

    def handle_error(self, request: Any, client_address: Any) -> None:
        pass  # a client that goes in the middle of an answer


class _UnixServer(_Server):
    address_family = socket.AF_UNIX

    def server_bind(self) -> None:
        socketserver.TCPServer.server_bind(self)
        Path(str(self.server_address)).chmod(0o600)
        self.server_name, self.server_port = "localhost", 0
        self.setup_environ()

    def get_request(self) -> tuple[Any, Any]:
        connected, _ = self.socket.accept()
        return connected, ("", 0)

    def verify_request(self, request: Any, client_address: Any) -> bool:
        """The socket's mode keeps others out already; root, and who got hold of a descriptor, is told here."""
        raw = request.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))
        return struct.unpack("3i", raw)[1] in (os.geteuid(), 0)


class Endpoint:
    """`url` says where it is; `close()` ends it and removes the socket."""

    def __init__(self, collector: Collector, port: int = 0, path: str = "") -> None:
        """On 127.0.0.1:`port` (0: any free one), or on the Unix socket `path`. CannotServe."""
        registry = CollectorRegistry(auto_describe=False)
        registry.register(collector)
        self._path = path
        try:
            if path:
                _make_room(Path(path))
                self._server: _Server = _UnixServer(path, _Handler)
                self.url = f"unix:{path}"
            else:
                self._server = _Server((LOOPBACK, port), _Handler)
                self.url = f"http://{LOOPBACK}:{self._server.server_port}/metrics"
        except OSError as error:
            where = path or f"{LOOPBACK}:{port}"
            hint = "choose another with --socket" if path else "choose another with --port; 0 takes any free one"
            raise CannotServe(f"{where}: {error.strerror or error}", hint) from None
        self._server.set_app(make_wsgi_app(registry))
        self._thread = threading.Thread(
            target=self._server.serve_forever, args=(0.2,), name="concview-serve", daemon=True
        )
        self._thread.start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        if self._path:
            Path(self._path).unlink(missing_ok=True)


def _make_room(path: Path) -> None:
    """A socket that nobody listens at any more is removed; anything else that is there stays."""
    try:
        if not stat.S_ISSOCK(path.lstat().st_mode):
            raise CannotServe(f"{path} exists and is not a socket", "choose another path")
    except FileNotFoundError:
        return
    with socket.socket(socket.AF_UNIX) as trial:
        trial.settimeout(1)
        try:
            trial.connect(str(path))
        except ConnectionRefusedError:
            path.unlink()
            return
        except OSError as error:
            raise CannotServe(f"{path}: {error.strerror or error}", "choose another path") from None
    raise CannotServe(f"another program listens at {path}", "choose another path, or end it")

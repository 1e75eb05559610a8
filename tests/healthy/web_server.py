"""A threading HTTP server that logs every request; eight browsers on kept connections, forty pages a second."""

from __future__ import annotations

import logging
import tempfile
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from _program import client, perform, start

BROWSERS = """
import http.client, random
def browse():
    connection = http.client.HTTPConnection("127.0.0.1", int(sys.argv[1]), timeout=10)
    while True:
        connection.request("GET", "/")
        connection.getresponse().read()
        time.sleep(random.uniform(0.1, 0.3))
for _ in range(8):
    threading.Thread(target=browse, daemon=True).start()
    time.sleep(0.03)
time.sleep(10**6)
"""
log = logging.getLogger("web")


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        time.sleep(0.005)  # look something up
        page = b"<p>" * 500
        self.send_response(200)
        self.send_header("Content-Length", str(len(page)))
        self.end_headers()
        self.wfile.write(page)

    def log_message(self, format: str, *arguments: Any) -> None:  # noqa: A002 - as the base class has it
        for level in (logging.INFO, logging.WARNING):
            log.log(level, format, *arguments)


def program() -> None:
    file = tempfile.TemporaryFile("w")  # noqa: SIM115 - open as long as the program runs
    logging.basicConfig(stream=file, level=logging.INFO, format="%(asctime)s %(threadName)s %(message)s")
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    start("server", server.serve_forever)
    client(BROWSERS, server.server_address[1])


if __name__ == "__main__":
    perform(program)

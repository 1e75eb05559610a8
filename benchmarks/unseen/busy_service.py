"""Eight threads: each request is retried with pauses (0.2 s, doubled up to 1 s), because the server says 503."""

import http.server
import threading
import time
import urllib.request
import urllib.error
import _go

EXPECT = "retry"


class H(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(503)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *a):
        pass


srv = http.server.ThreadingHTTPServer(("127.0.0.1", 0), H)
threading.Thread(target=srv.serve_forever, daemon=True).start()


def fetch(path):
    pause = 0.2
    while True:
        try:
            return urllib.request.urlopen(f"http://127.0.0.1:{srv.server_address[1]}{path}").read()
        except urllib.error.HTTPError as e:
            if e.code != 503:
                raise
            time.sleep(pause)
            pause = min(pause * 2, 1)


def worker(n):
    for i in range(10**6):
        fetch(f"/{n}/{i}")


for n in range(8):
    threading.Thread(target=worker, args=(n,), name=f"worker-{n}", daemon=True).start()
_go.ready(3)
threading.Event().wait()

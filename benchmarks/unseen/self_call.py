"""A server of one thread that asks itself."""

import http.server
import threading
import urllib.request
import subprocess
import sys
import _go

EXPECT = "says not everybody moves"


class H(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        if self.path == "/inner":
            b = b"1"
        else:
            b = urllib.request.urlopen("http://127.0.0.1:%d/inner" % srv.server_port).read()
        self.send_response(200)
        self.end_headers()
        self.wfile.write(b)

    def log_message(self, *a):
        pass


srv = http.server.HTTPServer(("127.0.0.1", 0), H)
_go.ready()
c = subprocess.Popen(
    [
        sys.executable,
        "-c",
        "import urllib.request,signal;signal.alarm(900);urllib.request.urlopen('http://127.0.0.1:%d/')"
        % srv.server_port,
    ]
)
srv.serve_forever()

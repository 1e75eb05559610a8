"""werkzeug, threaded=False: a slow upstream, eight clients (in another process) wait to be accepted."""

import logging
import os
import signal
import socket
import threading
import time
import urllib.request
import _go
from werkzeug.serving import make_server

NEEDS = ("werkzeug",)
EXPECT = "named all-workers-busy or named pool-undersized or held up or waits"
logging.getLogger("werkzeug").disabled = True
up = socket.create_server(("127.0.0.1", 0))
if (kid := os.fork()) == 0:

    def slow(c):
        c.recv(100)
        time.sleep(0.5)
        c.sendall(b"x")
        c.close()

    while True:
        threading.Thread(target=slow, args=(up.accept()[0],), daemon=True).start()
port = up.getsockname()[1]
up.close()


def app(env, start):
    with socket.create_connection(("127.0.0.1", port)) as c:
        c.sendall(b"?")
        c.recv(10)
    start("200 OK", [])
    return [b"ok"]


srv = make_server("127.0.0.1", 0, app, threaded=False)
p = srv.server_port
if (kid2 := os.fork()) == 0:

    def get():
        while True:
            try:
                urllib.request.urlopen(f"http://127.0.0.1:{p}/", timeout=60).read()
            except OSError:
                pass

    for _ in range(8):
        threading.Thread(target=get).start()
    time.sleep(600)
    os._exit(0)
signal.signal(signal.SIGTERM, lambda *_: (os.kill(kid, 9), os.kill(kid2, 9), os._exit(0)))
_go.ready(3)
srv.serve_forever()

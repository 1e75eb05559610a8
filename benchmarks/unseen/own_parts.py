"""cheroot: four workers, each in a view that asks its own server for a part of the page."""

import threading
import urllib.request

import _go
from cheroot.wsgi import Server

NEEDS = ("cheroot",)
EXPECT = "stuck"


def app(env, start):
    if env["PATH_INFO"] == "/page":
        urllib.request.urlopen(f"http://127.0.0.1:{server.bind_addr[1]}/part").read()
    start("200 OK", [("Content-Length", "2")])
    return [b"ok"]


server = Server(("127.0.0.1", 0), app, numthreads=4, max=4, timeout=600)
server.prepare()
threading.Thread(target=server.serve, name="http", daemon=True).start()


def browser():
    while True:
        urllib.request.urlopen(f"http://127.0.0.1:{server.bind_addr[1]}/page").read()


for n in range(6):
    threading.Thread(target=browser, name=f"browser-{n}", daemon=True).start()
_go.ready(3)
threading.Event().wait()

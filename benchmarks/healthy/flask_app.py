"""Flask's own server, a thread a request, with a few browsers."""

from __future__ import annotations

import logging
import threading

from _stand import browse, free_port

NEEDS = ("flask",)

if __name__ == "__main__":
    from flask import Flask

    app = Flask(__name__)
    app.add_url_rule("/", view_func=lambda: "hello")
    logging.getLogger("werkzeug").disabled = True
    port = free_port()
    threading.Timer(1, print, ("ready",), {"flush": True}).start()
    browse(port)
    app.run(port=port, threaded=True)

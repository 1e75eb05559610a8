"""An error is logged with its object, whose repr takes the lock that is held (getsentry/sentry-python#5586)."""

import logging
import threading

import _go

EXPECT = "named self-deadlock"
log = logging.getLogger("span")
logging.basicConfig(filename="/dev/null")


class Span:
    def __init__(self):
        self._lock = threading.Lock()
        self.attributes = {}

    def end(self):
        with self._lock:
            try:
                self.attributes["x"]
            except KeyError:
                log.exception("span %r", self)

    def __repr__(self):
        with self._lock:
            return "Span(%r)" % self.attributes


t = threading.Thread(target=Span().end, name="tracer", daemon=True)
t.start()
_go.ready()
t.join()

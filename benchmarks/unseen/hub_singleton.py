"""Lazy singleton: its maker holds the class lock and waits until its worker is ready; the worker asks for the singleton."""

import threading
import _go

EXPECT = "stuck"


class Hub:
    _lock = threading.Lock()
    _one = None

    @classmethod
    def get(cls):
        if cls._one is None:
            with cls._lock:
                if cls._one is None:
                    cls._one = cls()
        return cls._one

    def __init__(self):
        self.ready = threading.Event()
        threading.Thread(target=self.pump, name="pump", daemon=True).start()
        self.ready.wait()

    def pump(self):
        settings = Hub.get().settings if Hub._one else Hub.get()
        self.ready.set()


def request():
    Hub.get()


for n in range(4):
    threading.Thread(target=request, name=f"http-{n}", daemon=True).start()
_go.ready(3)
threading.Event().wait()

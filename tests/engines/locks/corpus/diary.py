"""What the programs of the corpus use to keep a diary of their own holds and waits. Python 3.8+.

    log.asks(lock)          # before it is taken
    with lock:
        log.has(lock)
        log.pause()
        log.leaves(lock)
    log.left(lock)          # after it was given back

Between `has` and `leaves` it is surely held, between `asks` and `left` perhaps; between `asks` and `has` the thread
waits, or has just got it. `how` says by which style it is taken. Each thread writes into a list of its own.
"""

import json
import random
import sys
import threading
import time


def identity(lock):
    """The object that stands for a lock: a Condition's is the lock it was made with."""
    if isinstance(lock, int):
        return lock
    return id(lock._lock) if isinstance(lock, threading.Condition) else id(lock)


class Diary:
    def __init__(self):
        self.on = True
        self._mine = threading.local()
        self._all = []
        self._forgotten = []
        self._threads = []

    def _write(self, what, lock, how):
        try:
            mine = self._mine.events
        except AttributeError:
            mine = self._mine.events = []
            self._all.append((threading.get_native_id(), threading.current_thread().name, mine))
        frame = sys._getframe(2)
        code = frame.f_code
        mine.append((what, identity(lock), how, code.co_filename, frame.f_lineno, code.co_name, time.monotonic_ns()))

    def asks(self, lock, how="with"):
        self._write("asks", lock, how)

    def has(self, lock, how="with"):
        self._write("has", lock, how)

    def leaves(self, lock):
        self._write("leaves", lock, "")

    def left(self, lock):
        self._write("left", lock, "")

    def failed(self, lock):
        """It was asked for in vain: timeout, or non-blocking."""
        self._write("failed", lock, "")

    def waits(self, thing, how):
        """Waits for something that is no lock, until `done`: how='Queue.get', 'Event.wait', ..."""
        self._write("waits", thing, how)

    def done(self, thing):
        self._write("done", thing, "")

    def forget(self, lock):
        """The lock is about to be freed: its address says nothing any more."""
        self._forgotten.append((identity(lock), time.monotonic_ns()))

    def pause(self):
        """What is done under a lock: some of each."""
        luck = random.random()
        if luck < 0.7:
            time.sleep(random.uniform(0.004, 0.02))
        elif luck < 0.9:
            end = time.monotonic() + random.uniform(0.001, 0.006)
            while time.monotonic() < end:
                sum(range(50))

    def rest(self):
        time.sleep(random.uniform(0.001, 0.012))

    def thread(self, function, *args):
        name = f"{function.__module__}.{function.__name__}"
        thread = threading.Thread(target=function, args=args, name=name, daemon=True)
        self._threads.append(thread)
        thread.start()
        return thread

    def dump(self, path):
        """After everything has stopped."""
        self.on = False
        end = time.monotonic() + 10
        for thread in self._threads:
            thread.join(max(0.1, end - time.monotonic()))
        with open(path, "w") as file:
            json.dump(
                {
                    "threads": [{"tid": tid, "name": name, "events": events} for tid, name, events in self._all],
                    "forgotten": self._forgotten,
                    "stuck": [t.name for t in self._threads if t.is_alive()],
                },
                file,
            )


def main():
    """main.py PATH PROGRAM...: run the programs until a line comes on standard input, then write the diary to PATH."""
    import importlib

    path, names = sys.argv[1], sys.argv[2:]
    log = Diary()
    for name in names:
        importlib.import_module(name).start(log)
    print("ready", flush=True)
    sys.stdin.readline()
    log.dump(path)
    print("written", flush=True)


if __name__ == "__main__":
    main()

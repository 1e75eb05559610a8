"""Six threads with known lives. Each logs its own intervals on the monotonic clock; at the end they are printed.

Runs on every Python from 3.8. Usage: workload.py SECONDS. Prints 'ready', after SIGUSR1 or that time one JSON line:
{thread name: {"tid": ..., "cpu_ns": [[at, thread CPU so far], ...], "intervals": [[state, from, to], ...]}}.

CPU is burnt in hashing, which gives up the GIL, so that nobody's wait is prolonged by somebody else's Python code and
the intervals measured here are what the kernel and the interpreter really did.
"""

import hashlib
import json
import os
import random
import signal
import socket
import subprocess
import sys
import threading
import time

DEADLINE = time.monotonic() + float(sys.argv[1])  # at the latest; SIGUSR1 ends it sooner
LOG = {}
LOCK = threading.Lock()
BLOCK = b"x" * 400_000

ECHO = """
import socket, sys, time
connection = socket.socket(fileno=int(sys.argv[1]))
while True:
    asked = connection.recv(16)
    if not asked:
        break
    time.sleep(int(asked) / 1000)
    connection.sendall(b"ok")
"""


class Diary:
    def __init__(self, name):
        self.intervals = []
        self.cpu = []
        self.random = random.Random(name)
        LOG[name] = {"tid": threading.get_native_id(), "intervals": self.intervals, "cpu_ns": self.cpu}

    def note(self, state, start):
        end = time.monotonic_ns()
        self.intervals.append([state, start, end])
        self.cpu.append([end, time.thread_time_ns()])


def burn(diary, seconds):
    start = time.monotonic_ns()
    end = start + int(seconds * 1e9)
    while time.monotonic_ns() < end:
        hashlib.sha256(BLOCK).digest()
    diary.note("running", start)


def rest(diary, seconds):
    start = time.monotonic_ns()
    time.sleep(seconds)
    diary.note("sleep", start)


def until_done(step):
    while time.monotonic() < DEADLINE:
        step()


def sleeper():
    diary = Diary("sleeper")
    until_done(lambda: rest(diary, diary.random.uniform(0.05, 0.2)))


def burner():
    diary = Diary("burner")

    def step():
        burn(diary, diary.random.uniform(0.03, 0.09))
        rest(diary, diary.random.uniform(0.05, 0.15))

    until_done(step)


def mixed():
    diary = Diary("mixed")

    def step():
        rest(diary, diary.random.uniform(0.02, 0.08))
        burn(diary, diary.random.uniform(0.01, 0.04))

    until_done(step)


def locker(name):
    diary = Diary(name)

    def step():
        start = time.monotonic_ns()
        with LOCK:
            diary.note("lock", start)
            rest(diary, diary.random.uniform(0.04, 0.16))
        rest(diary, diary.random.uniform(0.02, 0.06))

    until_done(step)


def caller():
    diary = Diary("caller")
    ours, theirs = socket.socketpair()
    echo = subprocess.Popen([sys.executable, "-S", "-c", ECHO, str(theirs.fileno())], pass_fds=[theirs.fileno()])
    theirs.close()

    def step():
        ours.sendall(b"%d" % diary.random.randint(30, 150))
        start = time.monotonic_ns()
        ours.recv(16)
        diary.note("io", start)
        rest(diary, diary.random.uniform(0.03, 0.09))

    until_done(step)
    ours.close()
    echo.wait()


def end(*_):
    global DEADLINE
    DEADLINE = 0.0


def main():
    signal.signal(signal.SIGUSR1, end)
    jobs = [(sleeper, ()), (burner, ()), (mixed, ()), (locker, ("locker-1",)), (locker, ("locker-2",)), (caller, ())]
    threads = [threading.Thread(target=job, args=args, name=(args or (job.__name__,))[0]) for job, args in jobs]
    for thread in threads:
        thread.start()
    print("ready", flush=True)
    for thread in threads:
        thread.join()
    print(json.dumps(LOG), flush=True)
    sys.stdin.read()  # stay until the test has looked


if __name__ == "__main__":
    assert os.name == "posix"
    main()

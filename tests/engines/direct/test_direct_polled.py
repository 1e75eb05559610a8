"""Locks on files that threads try for again and again: which file, and who has it, by what their frames refer to."""

from __future__ import annotations

import json

import pytest
from direct_helpers import KeepingSink, tick_until_passes, watching

from concview.model import FileLock, FileLocks
from interpreters import Interpreter, target

TARGET = """
import fcntl, json, os, subprocess, sys, tempfile, threading, time
folder = tempfile.mkdtemp()
names = ("opened", "named", "relative", "free")
HOLD = "import fcntl, sys, time; f = [open(p, 'w') for p in sys.argv[1:]]; [fcntl.flock(one, 2) for one in f]; " \
    "print(1, flush=True); time.sleep(1000)"
taken = [folder + "/" + name for name in names[:3]]
child = subprocess.Popen([sys.executable, "-c", HOLD, *taken], stdout=subprocess.PIPE)
child.stdout.readline()
os.chdir(folder)
tids = {}
class Lock:
    def __init__(self, path, keep):
        self.path, self.file = path, open(path, "w") if keep else None
    def acquire(self):
        while True:
            file = self.file or open(self.path, "w")
            try:
                return fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                if file is not self.file: file.close()
            pause()
def pause(): time.sleep(0.2)
def work(name, path, keep):
    tids[name] = threading.get_native_id()
    Lock(path, keep).acquire()
    time.sleep(1000)
for name, path, keep in (
    ("opened", taken[0], True), ("named", taken[1], False), ("relative", "./relative", False), ("free", "free", True)
):
    threading.Thread(target=work, args=(name, path, keep), daemon=True).start()
while len(tids) < 4: time.sleep(0.01)
print("ready", flush=True)
print(json.dumps([tids, child.pid, folder]), flush=True)
time.sleep(1000)
"""


def _locks(sink: KeepingSink) -> dict[str, FileLock]:
    said = next((e for e in reversed(sink.events) if isinstance(e, FileLocks)), None)
    return {lock.path.rpartition("/")[2]: lock for lock in said.locks} if said is not None else {}


@pytest.mark.few
def test_who_has_what_is_tried_for(direct_python: Interpreter) -> None:
    with target(direct_python, TARGET) as process, watching(process.pid) as (engine, sink):
        tids, child, folder = json.loads(process.line())

        def told() -> None:
            assert len(_locks(sink)) == 3
            for name, lock in _locks(sink).items():
                assert (lock.path, lock.holder, lock.waiters) == (f"{folder}/{name}", child, (tids[name],))
                assert (lock.kind, lock.mode, lock.polled) == ("flock", "WRITE", True)
                assert "python" in lock.holder_name

        tick_until_passes(engine, told, looks=True, pause=0.05)

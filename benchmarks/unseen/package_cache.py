"""fasteners: an InterProcessLock that another process has, tried for again and again (harlowja/fasteners)."""

import os
import signal
import subprocess
import sys
import tempfile
import threading
import _go
import fasteners

NEEDS = ("fasteners",)
EXPECT = "held up: file lock or named file-lock-contention"
p = os.path.join(tempfile.mkdtemp(), "cache.lock")
other = subprocess.Popen(
    [
        sys.executable,
        "-c",
        f"import fcntl,time\nf=open({p!r},'a')\nfcntl.lockf(f,fcntl.LOCK_EX)\nprint(1,flush=True)\ntime.sleep(600)",
    ],
    stdout=subprocess.PIPE,
)
other.stdout.readline()


def install():
    with fasteners.InterProcessLock(p):
        pass


ts = [threading.Thread(target=install, daemon=True, name=f"install-{i}") for i in range(2)]
for t in ts:
    t.start()
signal.signal(signal.SIGTERM, lambda *a: (other.kill(), os._exit(0)))
_go.ready()
for t in ts:
    t.join()

"""Another process has the lock on the file for which three threads wait."""

import fcntl
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

EXPECT = "held up: file lock"
path = Path(tempfile.mkdtemp()) / "state"
path.touch()
code = "import fcntl,sys,time; f=open(sys.argv[1]); fcntl.flock(f,fcntl.LOCK_EX); print(1,flush=True); time.sleep(600)"
holder = subprocess.Popen([sys.executable, "-c", code, str(path)], stdout=subprocess.PIPE)
assert holder.stdout is not None
holder.stdout.readline()


def work() -> None:
    with path.open() as file:
        fcntl.flock(file, fcntl.LOCK_EX)


for number in range(3):
    threading.Thread(target=work, daemon=True, name=f"job-{number}").start()
print("ready", flush=True)
try:
    time.sleep(600)
finally:
    holder.kill()

"""Popen.wait, and a pipe that nobody reads."""

import signal
import subprocess
import sys
import threading
import time

EXPECT = "named child-pipe-deadlock"
signal.alarm(600)


def tell():
    time.sleep(1.5)
    print("ready", flush=True)
    time.sleep(100)


threading.Thread(target=tell, daemon=True).start()
p = subprocess.Popen(
    [sys.executable, "-c", "import sys\nfor i in range(100000): sys.stdout.write('frame %d\\n' % i)"],
    stdout=subprocess.PIPE,
)
p.wait()

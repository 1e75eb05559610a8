"""A thread waits for a child to end; the child waits until somebody reads its output, which nobody does."""

import subprocess
import sys
import threading
import time

EXPECT = "stuck by child-pipe-deadlock or found by child-pipe-deadlock"  # by how long it was watched
child = subprocess.Popen([sys.executable, "-c", "print('x' * 500000)"], stdout=subprocess.PIPE)
threading.Thread(target=child.wait, daemon=True, name="waits").start()
time.sleep(0.5)
print("ready", flush=True)
try:
    time.sleep(600)
finally:
    child.kill()

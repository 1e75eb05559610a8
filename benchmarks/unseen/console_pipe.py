"""Importers that log into a full pipe, which nobody reads."""

import logging
import subprocess
import sys
import threading
import time
import _go

EXPECT = "held up: lock"
pager = subprocess.Popen(["sleep", "600"], stdin=subprocess.PIPE)
h = logging.StreamHandler(open(pager.stdin.fileno(), "w", closefd=False, buffering=1))
log = logging.getLogger("imports")
log.addHandler(h)
log.setLevel(logging.INFO)


def importer(n):
    row = 0
    while True:
        row += 1
        log.info("importer %d row %d %s", n, row, "x" * 200)
        time.sleep(0.001)


for i in range(6):
    threading.Thread(target=importer, args=(i,), name="importer-%d" % i).start()
_go.ready()

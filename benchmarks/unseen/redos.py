"""A regular expression that keeps the GIL."""

import re
import signal
import threading
import time

EXPECT = "named native-gil-hold"
signal.alarm(600)
R = re.compile(r"^(\w+\s?)*$")


def validate():
    while True:
        R.match("aaaaaaaaaaaaaaaaaaaaaaaaa!")


def serve():
    while True:
        time.sleep(0.01)


threading.Thread(target=validate, name="validate", daemon=True).start()
for i in range(3):
    threading.Thread(target=serve, name=f"serve-{i}", daemon=True).start()
time.sleep(1)
print("ready", flush=True)
while True:
    time.sleep(1)

"""A module that starts a thread in its body, and waits for it.

The module fetches something with a thread while it is imported, and the thread needs the module.

bad:   the body of the module starts the thread and joins it; the thread imports the module, which is not there yet.
fixed: the module has a function for it, which is called when the import is done.

Look at: the thread that waits at `import`, and the one in the module's body that joins it.
"""

from __future__ import annotations

import os
import sys
import tempfile
import time

from _stage import perform, start  # type: ignore[import-not-found]

ID = "import-deadlock"
GROUP = "Locks"

folder = tempfile.mkdtemp(prefix="modules-")
sys.path.insert(0, folder)

BAD = """
import threading

def load():
    import rates
    rates.table = {"EUR": 1.0}

loader = threading.Thread(target=load, name="loader", daemon=True)
loader.start()
loader.join()
"""
FIXED = """
import threading

def load():
    import rates
    rates.table = {"EUR": 1.0}

def start():
    loader = threading.Thread(target=load, name="loader", daemon=True)
    loader.start()
    loader.join()
"""


def write(text: str) -> None:
    with open(os.path.join(folder, "rates.py"), "w") as file:  # noqa: PTH118
        file.write(text)


def work_bad() -> None:
    import rates  # type: ignore[import-not-found]

    print(rates.table)


def work_fixed() -> None:
    import rates

    rates.start()
    while True:
        time.sleep(0.1)


def bad() -> None:
    write(BAD)
    start("main-work", work_bad)


def fixed() -> None:
    write(FIXED)
    start("main-work", work_fixed)


if __name__ == "__main__":
    perform(bad, fixed)

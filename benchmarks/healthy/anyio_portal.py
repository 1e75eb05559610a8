"""A thread that calls into anyio's loop by a portal twice a second."""

from __future__ import annotations

import time

NEEDS = ("anyio",)

if __name__ == "__main__":
    import anyio
    import anyio.from_thread

    with anyio.from_thread.start_blocking_portal() as portal:
        portal.call(anyio.sleep, 0.1)
        print("ready", flush=True)
        while True:
            portal.call(anyio.sleep, 0.01)
            time.sleep(0.5)

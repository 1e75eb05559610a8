"""A Jupyter kernel whose notebook runs a short cell twice a second. The kernel is the process that is watched."""

from __future__ import annotations

import sys
import time
from typing import Callable  # noqa: UP035

from _stand import perform

NEEDS = ("ipykernel", "jupyter_client")


def program() -> Callable[[], None]:
    from jupyter_client.manager import KernelManager

    manager = KernelManager(kernel_name="python3")
    manager.kernel_spec.argv[0] = sys.executable
    manager.start_kernel()
    notebook = manager.blocking_client()
    notebook.start_channels()
    notebook.wait_for_ready(timeout=60)
    notebook.execute("import ctypes; ctypes.CDLL(None).prctl(1, 9)", reply=True, timeout=30)  # it dies with us
    print("watch", manager.provisioner.pid, flush=True)

    def forever() -> None:
        while True:
            notebook.execute("sum(i * i for i in range(50_000))", reply=True, timeout=30)
            time.sleep(0.5)

    return forever


if __name__ == "__main__":
    perform(program)

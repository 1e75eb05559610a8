"""Command lines run by children of one process that has imported what commands need.

The tests run some five hundred of them, and a quarter of a second of CPU goes to imports each time. A child of `Ready`
has the same `main`, arguments, environment, folder, standard streams and end as `python -m concview` has. What depends
on how Python itself starts (an encoding from the environment, signals while it imports) is run without this.
"""

from __future__ import annotations

import ctypes
import json
import os
import signal
import socket
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from functools import cache

_PR_SET_PDEATHSIG = 1

_SOURCE = """
import gc, json, os, signal, socket, sys
from concview import __main__, registry
import concview.api, concview.commands, concview.session
run = concview.commands.run
for package, name in (("commands", "COMMAND"), ("exporters", "EXPORTER"), ("catalogue.rules", "RULE")):
    registry.everything("concview." + package, name)
concview.commands.run = run  # not the command of that name
gc.freeze()
orders = socket.socket(fileno=int(sys.argv[1]))
while True:
    said, fds, _, _ = socket.recv_fds(orders, 1 << 20, 3)
    if not said:
        sys.exit()
    if os.fork():  # by the grandchild that waits for the command
        for fd in fds:
            os.close(fd)
        while True:
            try:
                if os.waitpid(-1, os.WNOHANG)[0] == 0:
                    break
            except ChildProcessError:
                break
        continue
    orders.close()
    out, errors, answer = fds
    command = os.fork()
    if command:
        os.close(out)
        os.close(errors)
        os.write(answer, b"%d " % command)
        os.write(answer, b"%d" % os.waitstatus_to_exitcode(os.waitpid(command, 0)[1]))
        os._exit(0)
    os.close(answer)
    order = json.loads(said)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    os.dup2(out, 1)
    os.dup2(errors, 2)
    os.closerange(3, max(fds) + 2)
    os.chdir(order["folder"])
    os.environ.clear()
    os.environ.update(order["environment"])
    sys.argv = [__main__.__file__, *order["arguments"]]
    sys.exit(__main__.main())
"""
_libc = ctypes.CDLL(None)


class Ready:
    """The process that forks. One for each of pytest's workers, which it ends with."""

    def __init__(self) -> None:
        self._orders, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._process = subprocess.Popen(
            [sys.executable, "-c", _SOURCE, str(theirs.fileno())],
            stdin=subprocess.DEVNULL,
            # What the children write to is a pipe, and their streams are those that Python made for these.
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            pass_fds=[theirs.fileno()],
            cwd="/",
            preexec_fn=lambda: _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL),
        )
        theirs.close()

    def run(self, arguments: list[str], timeout: float) -> subprocess.CompletedProcess[str]:
        """As subprocess.run with pipes, text and no input. TimeoutExpired when it had to be killed."""
        pipes = [os.pipe() for _ in range(3)]
        order = {"arguments": arguments, "environment": dict(os.environ), "folder": "/"}
        socket.send_fds(self._orders, [json.dumps(order).encode()], [theirs for _, theirs in pipes])
        for _, theirs in pipes:
            os.close(theirs)
        said = [b"", b"", b""]

        def read(number: int) -> None:
            with open(pipes[number][0], "rb") as stream:
                while data := stream.read1(1 << 16):
                    said[number] += data

        readers = [threading.Thread(target=read, args=(n,), daemon=True) for n in range(3)]
        for reader in readers:
            reader.start()
        readers[2].join(timeout)
        if readers[2].is_alive():
            os.kill(int(said[2].split()[0]), signal.SIGKILL)
            raise subprocess.TimeoutExpired(arguments, timeout)
        for reader in readers[:2]:
            reader.join(timeout)
        return subprocess.CompletedProcess(
            arguments, int(said[2].split()[1]), said[0].decode(), said[1].decode(errors="replace")
        )


#: Its one thread starts the process, which is told of the end of the thread that started it, not of its process.
_starter = ThreadPoolExecutor(1, "starts what forks")
_one = threading.Lock()


def ready() -> Ready:
    with _one:
        return _made()


@cache
def _made() -> Ready:
    return _starter.submit(Ready).result()

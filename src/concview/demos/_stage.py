"""The stage the demo scripts stand on: arguments, signals, threads, a database to talk to.

The scripts run on the target's interpreter (3.8 and later) where concview is not installed, so this file is
found as their neighbour, uses the standard library only, and keeps to what Python 3.8 understands.
"""

from __future__ import annotations

import argparse
import asyncio
import inspect
import os
import signal
import subprocess
import sys
import sysconfig
import threading
import time
from typing import Any, Callable, NoReturn

Workload = Callable[[], Any]

#: One line in, one line out, `latency` seconds later, any number of clients. A process of its own, so that its
#: thread does not show among the demo's. It ends when its stdin does: also when the demo is killed with SIGKILL.
_DATABASE = """
import asyncio, os, signal, sys, threading
signal.signal(signal.SIGINT, signal.SIG_IGN)

async def client(reader, writer):
    try:
        while True:
            line = await reader.readline()
            if not line:
                break
            await asyncio.sleep(float(sys.argv[1]))
            writer.write(b"row for " + line)
            await writer.drain()
    except ConnectionError:
        pass
    finally:
        writer.close()

async def main():
    server = await asyncio.start_server(client, "127.0.0.1", 0, backlog=256)
    print(server.sockets[0].getsockname()[1], flush=True)
    await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)
    os._exit(0)

asyncio.run(main())
"""


def perform(bad: Workload, fixed: Workload, free_threaded: bool = False, deaf: bool = False) -> NoReturn:
    """Run the script's `bad` or `fixed` workload until SIGTERM, Ctrl-C or the end of --seconds. `free_threaded`: it
    shows what happens on builds without a GIL alone, and ends with code 2 on others. `deaf`: its Python code comes to
    a stand as a whole, and could not answer a signal: the kernel ends it by the signal."""
    parser = argparse.ArgumentParser(description=sys.modules["__main__"].__doc__)
    parser.add_argument("variant", choices=["bad", "fixed"])
    parser.add_argument("--seconds", type=float, default=0.0, help="stop after so long (default: run until killed)")
    options = parser.parse_args()
    if free_threaded and not sysconfig.get_config_var("Py_GIL_DISABLED"):
        parser.exit(2, "needs a free-threaded build of Python (3.13t and later), this is %s\n" % sys.executable)
    play(bad if options.variant == "bad" else fixed, options.seconds, deaf)


def play(workload: Workload, seconds: float = 0.0, deaf: bool = False) -> NoReturn:
    """Run one workload: it starts threads and returns, or is a coroutine function that runs for ever, or prepares
    what it needs and returns a function that runs for ever in the main thread."""
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGALRM):
        # os._exit: half the demos have threads that would never end in an orderly way
        signal.signal(number, signal.SIG_DFL if deaf else lambda *_: os._exit(0))

    def ready() -> None:
        # Not counted from the start: a busy machine may take as long to start what the demo needs.
        signal.setitimer(signal.ITIMER_REAL, seconds)
        print("ready", flush=True)

    if inspect.iscoroutinefunction(workload):
        ready()
        asyncio.run(workload())
    else:
        forever = workload()
        ready()
        if forever is not None:
            forever()
    while True:
        # Not for an hour: a signal that comes just before the sleep begins is answered when it is over.
        time.sleep(5)


def start(name: str, function: Callable[..., Any], *arguments: Any) -> threading.Thread:
    """A running daemon thread with a name that says what it is for."""
    thread = threading.Thread(target=function, args=arguments, name=name, daemon=True)
    thread.start()
    return thread


_databases: list[subprocess.Popen[bytes]] = []  # kept: a collected Popen closes its pipe, and with it ends the database


def database(latency: float) -> tuple[str, int]:
    """Start a 'database' process and return its address; each line sent to it is answered `latency` seconds later."""
    process = subprocess.Popen(
        [sys.executable, "-c", _DATABASE, str(latency)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    _databases.append(process)
    assert process.stdout is not None
    return "127.0.0.1", int(process.stdout.readline())


def die_with_parent() -> None:
    """Initializer of worker processes: end soon after the demo ends, however it ends."""
    parent = os.getppid()
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)  # a result that nobody is left to take: no traceback

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(0.25)
        os._exit(0)

    start("die-with-parent", watch)


def rounds_for(seconds: float, work: Callable[[int], Any]) -> int:
    """How many rounds of `work(rounds)` take `seconds` of CPU here, so that a demo weighs the same everywhere."""
    rounds, spent = 1000, 0.0
    while spent < 0.02:
        rounds *= 2
        began = time.thread_time()
        work(rounds)
        spent = time.thread_time() - began
    return max(1, int(rounds * seconds / spent))

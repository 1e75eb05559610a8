"""A process that C code has forked without telling Python: its thread state keeps the number of the parent's thread."""

from __future__ import annotations

import os
import signal

import pytest
from direct_helpers import tick_until, watching

from concview.model import WaitKind
from interpreters import Interpreter, target

FORKED = """
import ctypes, os, sys, threading, time
def serve():
    while True:
        time.sleep(0.01)
child = ctypes.PyDLL(None).fork()  # as uWSGI makes its workers; the GIL is kept meanwhile
if child:
    print("ready", flush=True)
    print(child, flush=True)
    time.sleep(100000)
serve()
"""


@pytest.mark.few
def test_its_thread_is_its_own(direct_python: Interpreter) -> None:
    with target(direct_python, FORKED) as process:
        child = int(process.json())
        try:
            with watching(child) as (engine, sink):
                tick_until(engine, lambda: any(name == "serve" for name, _, _ in sink.stack_of(child)))
                assert list(sink.names) == [child]
                tick_until(engine, lambda: (wait := sink.wait_of(child)) and wait.kind is WaitKind.SLEEP)
        finally:
            os.kill(child, signal.SIGKILL)

"""`python -m concview.collector --pid N`: the stream goes to standard output, closing standard input ends it.

When it cannot begin, the last line on standard error is a JSON object: error, remedy and code (see
`errors.Code`); it ends with the exit code of that. Commands arrive on standard input (`control`).

`--nursery FD`: no collector, but what forks them (`nursery`).
"""

from __future__ import annotations

import argparse
import ctypes
import gc
import json
import os
import resource
import signal
import sys

from concview.collector import nursery
from concview.collector.loop import Collector
from concview.errors import CannotAttach
from concview.registry import everything

_PR_SET_PDEATHSIG = 1
#: Whoever was told to end and cannot is ended after this time (seconds).
END_S = 8
#: Who samples faster than this uses up to half a core: on a full machine neither the target nor the screen shall wait
#: for that. Not below it: few samples are all that tells of a machine where every thread lacks a CPU.
FAST_HZ, FAST_NICE = 200.0, 5


def _end_with_parent() -> None:
    """Linux tells us when the dashboard is killed: no child of ours stays behind. In an orderly way: a request to the
    target is withdrawn, files are removed."""
    parent = os.getppid()
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0)
    if os.getppid() != parent:  # it died before we asked
        os._exit(1)


def _allow_descriptors() -> None:
    """Two files a thread are kept open: ask for what the hard limit allows, within reason."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = 65_536 if hard == resource.RLIM_INFINITY else min(hard, 65_536)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="concview.collector")
    which = parser.add_mutually_exclusive_group(required=True)
    which.add_argument("--pid", type=int)
    which.add_argument("--nursery", type=int, metavar="FD")
    parser.add_argument("--engine", default="auto")
    parser.add_argument("--rate", type=float, default=100.0)
    parser.add_argument("--budget", type=float, default=5.0)
    parser.add_argument("--blocking", action="store_true")
    parser.add_argument("--labels", default="safe")
    parser.add_argument("--gentle", action="store_true")
    parser.add_argument("--forked", action="store_true")
    options = parser.parse_args(arguments)
    if options.nursery is not None:
        everything("concview.labels.kinds", "KIND")  # the one thing that is imported when it is needed
        return nursery.serve(options.nursery, main)
    collector = Collector(
        options.pid,
        options.engine,
        options.rate,
        options.budget,
        options.blocking,
        options.labels,
        options.gentle,
        options.forked,
    )

    def stop(*_: object) -> None:
        collector.stop()
        signal.alarm(END_S)

    signal.signal(signal.SIGTERM, stop)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the command decides what Ctrl-C means
    if options.rate > FAST_HZ:
        os.nice(FAST_NICE)
    _end_with_parent()
    _allow_descriptors()
    try:
        collector.begin(sys.stdout.buffer)
    except CannotAttach as error:
        sys.stderr.write(json.dumps({"error": str(error), "remedy": error.remedy, "code": error.code}) + "\n")
        return error.exit_code
    # What was made so far lives as long as we do; the loop makes no cycles worth a collection every few ticks.
    gc.freeze()
    gc.disable()
    try:
        collector.run(sys.stdin.fileno())
    except BrokenPipeError:
        # The reader is gone: there is nobody to tell. Keep the interpreter from flushing into the closed pipe.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return 0


if __name__ == "__main__":
    sys.exit(main())

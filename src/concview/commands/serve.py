"""`concview serve PID...`: metrics of running processes for Prometheus, on the loopback address or a Unix socket."""

from __future__ import annotations

import argparse
import time

from concview.commands import _options
from concview.commands.base import Command, CommandError, Exit, complain

_DEFAULT_PORT = "9732"


def configure(parser: argparse.ArgumentParser) -> None:
    parser.usage = "concview serve [OPTIONS] PID... | --match PATTERN"
    parser.add_argument("pids", metavar="PID", nargs="*", help="processes to watch")
    parser.add_argument(
        "--match",
        metavar="PATTERN",
        default="",
        help="watch every Python process whose command line matches (*, ?), now and later",
    )
    parser.add_argument(
        "--port",
        metavar="N",
        default=_DEFAULT_PORT,
        help=f"port on 127.0.0.1 (default {_DEFAULT_PORT}; 0: any free one)",
    )
    parser.add_argument("--socket", metavar="PATH", default="", help="a Unix socket of this user's instead of a port")
    _options.add_sampling(parser)


def run(options: argparse.Namespace) -> int:
    try:
        from concview.fleet.endpoint import CannotServe, Endpoint
        from concview.fleet.metrics import SnapshotCollector
    except ImportError as error:
        raise CommandError(
            f"serving metrics needs {(error.name or '').partition('.')[0]}", Exit.USAGE, "pip install 'concview[fleet]'"
        ) from None
    from concview.commands._open import attach_failed
    from concview.fleet.watch import Watch
    from concview.session import AttachError, Session

    pids = list(dict.fromkeys(_options.pid_of(text) for text in options.pids))
    if not pids and not options.match:
        raise CommandError("what to watch?", Exit.USAGE, "give PIDs, or --match PATTERN")
    if not (options.port.isascii() and options.port.isdecimal() and int(options.port) < 65536):
        raise CommandError(f"--port: must be a number from 0 to 65535, not '{options.port}'", Exit.USAGE)
    config = _options.settings(options)
    number = max(1, len(pids))
    watch = Watch(
        pids, options.match, lambda source: Session(source, config=config.rules), config.engine, config.rate,
        config.budget / number, complain,
    )  # fmt: skip
    try:
        endpoint = Endpoint(SnapshotCollector(watch.watched), int(options.port), options.socket)
    except CannotServe as error:
        raise CommandError(str(error), Exit.OUTPUT, error.remedy) from None
    try:
        try:
            watch.start()
        except AttachError as error:
            raise attach_failed(error) from None
        complain(f"metrics at {endpoint.url}; Ctrl-C ends it")
        while not watch.all_ended():
            time.sleep(0.2)
        complain("everything that was watched has ended")
        return Exit.FINE
    finally:
        endpoint.close()
        watch.close()


COMMAND = Command(
    name="serve",
    summary="metrics of running processes for Prometheus",
    description="Watch processes and offer what is seen as Prometheus metrics: states of threads by group, waits for\n"
    "locks, the GIL, queues, findings, where thread time went, and what watching costs.\n"
    "Listens on 127.0.0.1 only, or on a Unix socket that only this user can use; nothing is stored.\n"
    "The budget is shared by the processes given. Needs prometheus-client: pip install 'concview[fleet]'.",
    configure=configure,
    run=run,
    order=45,
)

"""`concview serve PID...`: metrics of running processes for Prometheus, on the loopback address or a Unix socket."""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

from concview.commands import _options, _several
from concview.commands.base import Command, CommandError, Exit, complain

if TYPE_CHECKING:
    from opentelemetry.proto.profiles.v1development.profiles_pb2 import ProfilesData
    from prometheus_client.core import Metric

    from concview.fleet.push import Pushing
    from concview.fleet.watch import Watched
    from concview.session import LiveSource, Session
    from concview.session.recording import Recording
    from concview.session.rolling_recording import RollingRecording

_DEFAULT_PORT = "9732"


def configure(parser: argparse.ArgumentParser) -> None:
    parser.usage = "concview serve [OPTIONS] PID... | --tree PID | --match PATTERN"
    parser.add_argument("pids", metavar="PID", nargs="*", help="processes to watch")
    _several.add(parser)
    parser.add_argument(
        "--match",
        metavar="PATTERN",
        default="",
        help="watch every Python process whose command line matches (*, ?), now and later",
    )
    parser.add_argument(
        "--port",
        metavar="N",
        help=f"port on 127.0.0.1 (default {_DEFAULT_PORT}; 0: any free one)",
    )
    parser.add_argument("--socket", metavar="PATH", default="", help="a Unix socket of this user's instead of a port")
    parser.add_argument(
        "--otlp",
        metavar="URL",
        default="",
        help="push the metrics there by OTLP over HTTP (http://127.0.0.1:4318), and listen only where --port or "
        "--socket says so",
    )
    parser.add_argument(
        "--profiles",
        metavar="S",
        help="with --otlp: push profiles, too, every S seconds: stacks with states, locks and peers. A development "
        "signal of OpenTelemetry, which may still change",
    )
    parser.add_argument("--every", metavar="S", default="10", help="with --otlp: seconds between two pushes (10)")
    parser.add_argument(
        "--label",
        metavar="NAME",
        action="append",
        default=[],
        help="series of their own only for requests, jobs, queries and calls of this name ('GET /orders*'; *, ?); the "
        "others are added up. May be given again",
    )
    _options.add_sampling(parser)


def run(options: argparse.Namespace) -> int:
    try:
        from concview.fleet.endpoint import CannotServe, Endpoint
        from concview.fleet.metrics import SnapshotCollector
    except ImportError as error:
        raise CommandError(
            f"serving metrics needs {(error.name or '').partition('.')[0]}", Exit.USAGE, "pip install 'concview[fleet]'"
        ) from None
    from concview.analysis.work_totals import Totals
    from concview.commands._open import attach_failed
    from concview.fleet.watch import Together, Watch
    from concview.session import AttachError, Session

    pids = list(dict.fromkeys(_options.pid_of(text) for text in options.pids))
    if not pids and not options.match:
        raise CommandError("what to watch?", Exit.USAGE, "give PIDs, or --match PATTERN")
    if options.tree and (options.match or not pids):
        raise CommandError("--tree: with PIDs, and without --match", Exit.USAGE, "concview serve --tree PID")
    port = options.port or _DEFAULT_PORT
    if not (port.isascii() and port.isdecimal() and int(port) < 65536):
        raise CommandError(f"--port: must be a number from 0 to 65535, not '{port}'", Exit.USAGE)
    config = _options.settings(options)
    watch: Watch | Together
    rolling = _rolling(options)

    def open_session(source: LiveSource) -> Session:
        source.rolling = rolling() if rolling is not None else None
        return Session(source, config=config.rules, totals=totals())

    def totals() -> Totals:
        return Totals(tuple(options.label))

    if options.tree:
        each = (lambda _member: rolling()) if rolling is not None else None
        watch = Together(_several.unstarted(options, config, pids, rolling=each, totals=totals))
    else:
        watch = Watch(
            pids,
            options.match,
            open_session,
            config.engine,
            config.rate,
            config.budget / max(1, len(pids)),
            complain,
            config.labels,
        )
    collector = SnapshotCollector(watch.watched)
    pushes = _pushes(options, collector.collect, watch.watched) if options.otlp else []
    endpoint: Endpoint | None = None
    try:
        if not pushes or options.port or options.socket:
            try:
                endpoint = Endpoint(collector, int(port), options.socket)
            except CannotServe as error:
                raise CommandError(str(error), Exit.OUTPUT, error.remedy) from None
        try:
            watch.start()
        except AttachError as error:
            raise attach_failed(error) from None
        if endpoint is not None:
            complain(f"metrics at {endpoint.url}; Ctrl-C ends it")
        for push in pushes:
            push.start()
            complain(f"{push.what} go to {push.url}; Ctrl-C ends it")
        while not watch.all_ended():
            time.sleep(0.2)
        complain("everything that was watched has ended")
        return Exit.FINE
    finally:
        for push in pushes:
            push.close()
        if endpoint is not None:
            endpoint.close()
        watch.close()


def _rolling(options: argparse.Namespace) -> Callable[[], RollingRecording] | None:
    if options.profiles is None:
        return None
    if not options.otlp:
        raise CommandError("--profiles: only with --otlp", Exit.USAGE)
    every = _options.seconds_of(options.profiles, "--profiles")
    try:
        from concview.fleet.profiles import rolling
    except ImportError:
        raise CommandError(
            "--profiles needs opentelemetry-proto with profiles", Exit.USAGE, "pip install 'concview[fleet]'"
        ) from None
    return lambda: rolling(every)


def _pushes(
    options: argparse.Namespace, collect: Callable[[], Iterable[Metric]], watched: Callable[[], list[Watched]]
) -> list[Pushing]:
    every = _options.seconds_of(options.every, "--every")
    try:
        from concview.fleet.push import BadEndpoint, Push
    except ImportError as error:
        raise CommandError(
            f"--otlp needs {(error.name or '').rpartition('.')[0] or error.name}",
            Exit.USAGE,
            "pip install 'concview[fleet]'",
        ) from None
    try:
        pushes: list[Pushing] = [Push(options.otlp, every, collect, complain)]
        if options.profiles is not None:
            from concview.analysis.samples import Selection
            from concview.exporters import otlp
            from concview.exporters.base import Request
            from concview.fleet.profiles import ProfilePush

            def make(recording: Recording, from_s: float) -> ProfilesData:
                return otlp.profiles(recording, Request(Selection(from_s=from_s)))[0]

            every = _options.seconds_of(options.profiles, "--profiles")
            pushes.append(ProfilePush(options.otlp, every, watched, make, complain))
        return pushes
    except BadEndpoint as error:
        raise CommandError(f"--otlp: {error}", Exit.USAGE, "for example http://127.0.0.1:4318") from None


COMMAND = Command(
    name="serve",
    summary="metrics of running processes for Prometheus",
    description="Watch processes and offer what is seen as Prometheus metrics: states of threads by group, waits for\n"
    "locks, the GIL, queues, findings, where thread time went, and what watching costs.\n"
    "Listens on 127.0.0.1 only, or on a Unix socket that only this user can use; nothing is stored.\n"
    "With --otlp they are pushed to an OpenTelemetry Collector instead, and nothing listens.\n"
    "The budget is shared by the processes given. Needs prometheus-client: pip install 'concview[fleet]'.",
    configure=configure,
    run=run,
    order=45,
)

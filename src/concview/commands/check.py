"""`concview check PID | FILE | -- CMD`: watch for a while, then say what is wrong. For scripts and CI."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from concview.commands import _agent, _options
from concview.commands.base import Command, CommandError, Exit, complain

if TYPE_CHECKING:
    from concview.api import Observation
    from concview.commands._target_process import Child
    from concview.config import Config
    from concview.snapshot import Snapshot


def configure(parser: argparse.ArgumentParser) -> None:
    parser.usage = "concview check [OPTIONS] PID | FILE | -- CMD..."
    parser.add_argument("subject", metavar="PID | FILE", nargs="?", help="a process, or a recording")
    parser.add_argument("--duration", metavar="S", default="10", help="seconds to watch (default 10)")
    parser.add_argument("--format", choices=["text", "json"], default="text")
    parser.add_argument(
        "--fail-on", choices=["info", "warn", "never"], default="warn", help="exit with 1 from here on (default warn)"
    )
    parser.add_argument("--output", metavar="FILE", help="with -- CMD: what it prints goes here, not to stderr")
    _agent.add(parser)
    _options.add_python(parser)
    _options.add_sampling(parser)


def run(options: argparse.Namespace) -> int:
    from concview.commands import _build, _schema, _text, _text_writer

    if (options.subject is None) == (not options.rest):
        raise CommandError("what to check?", Exit.USAGE, "give a PID, a recording, or '-- CMD'; one of them")
    if options.output and not options.rest:
        raise CommandError("--output: only with '-- CMD'", Exit.USAGE)
    _agent.check(options, ours=bool(options.rest))
    if options.agent and options.subject is not None and not options.subject.isdecimal():
        raise CommandError("--agent: a recording has what was seen then", Exit.USAGE)
    config = _options.settings(options)
    duration = _options.seconds_of(options.duration, "--duration")
    snapshot = _observe(options, config, duration)
    if snapshot.target is None or not (snapshot.samples or snapshot.threads):
        why = f" ({snapshot.ending})" if snapshot.ending else ""
        raise CommandError(f"nothing was seen{why}", Exit.NO_TARGET)
    if (ending := _build.unusual_ending(snapshot)) and options.format == "json" and not options.rest:
        complain(ending)  # the text says it itself
    if options.format == "json":
        sys.stdout.write(_schema.encode(_build.check_out(snapshot)))
    else:
        sys.stdout.write(_text.check_text(snapshot, _text_writer.Pen()))
    return _verdict(snapshot, options.fail_on)


def _verdict(snapshot: Snapshot, fail_on: str) -> int:
    """Recent findings count: they fired while we watched."""
    counted = {"info": ("info", "warn"), "warn": ("warn",), "never": ()}[fail_on]
    return Exit.FINDINGS if any(f.severity.value in counted for f in snapshot.findings) else Exit.FINE


def _observe(options: argparse.Namespace, config: Config, duration: float) -> Snapshot:
    from concview.commands import _launch, _open, _preflight, _target_process

    child: Child | None = None
    observation: Observation | None = None
    try:
        if options.rest:
            command = _target_process.python_command(options.rest, options.python)
            child = _target_process.Child(command, Path(options.output) if options.output else None, headless=True)
            observation = _launch.attach(child, config, options.blocking)
        elif options.subject.isdecimal():
            # A wrong PID is told by the collector, too; this says it without starting one.
            pid = _options.pid_of(options.subject)
            _preflight.look_at(pid)
            observation = _open.watch_process(pid, config, options.blocking)
        else:
            observation = _open.read_recording(options.subject, config)
        if options.agent:
            _agent.invite(observation.session, options.calls)
        snapshot = _open.finish(observation, duration, progress="watching")
        if options.agent and snapshot.refusal is not None:
            complain(f"no view from inside: {snapshot.refusal.text}", snapshot.refusal.remedy)
        return snapshot
    finally:
        if observation is not None:
            observation.close()
        if child is not None:
            child.close()


COMMAND = Command(
    name="check",
    summary="watch without a dashboard and say what is wrong; the exit code tells a script",
    description="Watch a process for a while, read a recording, or run a command; then say what is wrong.\n"
    "Ends early when the process does. Exit code 1 when there are findings from --fail-on upwards.",
    configure=configure,
    run=run,
    order=20,
    rest="dashes",
)

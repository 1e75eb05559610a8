"""`concview check PID | FILE | -- CMD`: watch for a while, then say what is wrong. For scripts and CI."""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from concview.commands import _agent, _core, _options, _recorded, _several
from concview.commands.base import Command, CommandError, Exit, Terminated, complain
from concview.text import plural

if TYPE_CHECKING:
    from concview.api import Observation
    from concview.commands._target_process import Child
    from concview.commands._verdicts.base import Process
    from concview.compare.measure import Run
    from concview.config import Config
    from concview.session.several import Cast
    from concview.snapshot import Snapshot

#: Also the names of the files in `_verdicts`; listed so that --help need not import them. A test compares.
FORMATS = ("text", "json", "md", "sarif", "junit", "github")
MOST_RUNS = 1000


def configure(parser: argparse.ArgumentParser) -> None:
    parser.usage = "concview check [OPTIONS] PID... | FILE | --core FILE | -- CMD..."
    parser.add_argument("subjects", metavar="PID | FILE", nargs="*", help="a process (or several), or a recording")
    _several.add(parser)
    _recorded.add(parser)
    parser.add_argument("--duration", metavar="S", default="10", help="seconds to watch (default 10)")
    parser.add_argument("--format", choices=FORMATS, default="text")
    parser.add_argument("--brief", action="store_true", help="text: only the verdict and a line for each finding")
    parser.add_argument(
        "--save", metavar="FORMAT=FILE", action="append", default=[], help="write another format, too; may be repeated"
    )
    parser.add_argument(
        "--fail-on",
        metavar="LEVEL",
        action="append",
        default=[],
        help="exit with 1 from here on: info, warn (default) or never; RULE=LEVEL for single rules ('lock-*=info'), "
        "comma-separated",
    )
    parser.add_argument("--runs", metavar="N", help="with -- CMD: run it so many times, each watched anew")
    parser.add_argument(
        "--baseline",
        metavar="FILE",
        action="append",
        default=[],
        help="a recording, or a folder of them, of before: what it has fails nothing, and what differs is told",
    )
    parser.add_argument("--output", metavar="FILE", help="with -- CMD: what it prints goes here, not to stderr")
    _core.add(parser)
    _agent.add(parser)
    _options.add_python(parser)
    _options.add_sampling(parser)


def run(options: argparse.Namespace) -> int:
    from concview import registry
    from concview.commands import _fail_on
    from concview.commands._verdicts.base import Checked, VerdictForm

    if bool(options.subjects) + bool(options.rest) + (options.core is not None) != 1:
        raise CommandError(
            "what to check?", Exit.USAGE, "give a PID, a recording, --core FILE or '-- CMD'; one of them"
        )
    running = [f"--{name}" for name in ("tree", "baseline", "agent", "blocking", "process") if getattr(options, name)]
    _core.check(options, *running)
    if len(options.subjects) > 1 and not all(s.isdecimal() for s in options.subjects):
        raise CommandError("more than one can be given only of processes", Exit.USAGE, "give PIDs, or one recording")
    several = not options.rest and _several.wanted(options, options.subjects)
    if options.rest and options.tree:
        raise CommandError("--tree: only with processes that run already", Exit.USAGE)
    options.subject = options.subjects[0] if options.subjects else None
    if options.process is not None and (options.rest or options.subject.isdecimal()):
        raise CommandError("--process: only with a recording", Exit.USAGE)
    for option, value in (("--output", options.output), ("--runs", options.runs)):
        if value and not options.rest:
            raise CommandError(f"{option}: only with '-- CMD'", Exit.USAGE)
    if options.brief and options.format != "text":
        raise CommandError("--brief: only with --format text", Exit.USAGE)
    _agent.check(options, ours=bool(options.rest))
    if options.agent and options.subject is not None and not options.subject.isdecimal():
        raise CommandError("--agent: not with a recording, which holds only what was seen then", Exit.USAGE)
    config = _options.settings(options)
    duration = _options.seconds_of(options.duration, "--duration")
    fail_on = _fail_on.parse(options.fail_on)
    saves = [_save_of(text) for text in options.save]
    runs = _number_of_runs(options.runs)
    if options.baseline and several:
        raise CommandError("--baseline: one process, recording or command at a time", Exit.USAGE)
    baseline = _baseline(options.baseline, config)
    watch = _Watch(options, config, duration)
    if several:
        runs = 0
        watch.several()
    elif options.subject is not None and not options.subject.isdecimal():
        cast = _recorded.cast_of(options.subject)
        chosen = _recorded.chosen(cast, options.process, options.subject)
        watch.number = chosen.number if chosen is not None else 0
        if cast.processes and chosen is None:
            if baseline:
                _recorded.one(cast, None, options.subject)
            runs = 0
            watch.recorded(cast)
    for number in range(1, runs + 1):
        watch.run(f"run {number} of {runs}: " if runs > 1 else "")
        if watch.interrupt is not None:
            break
    comparison = None
    if baseline and watch.measured:
        from concview.compare.comparison import compare, known_findings

        comparison = compare(baseline, watch.measured)
        fail_on = dataclasses.replace(fail_on, known=known_findings(baseline))
    checked = Checked(
        tuple(watch.seen),
        fail_on,
        tuple(watch.missed),
        watch.interrupt is not None,
        options.brief,
        tuple(watch.processes),
        comparison,
        watch.across,
    )
    for form, path in [*saves, (options.format, None)]:
        verdict: VerdictForm = registry.load("concview.commands._verdicts", form, "VERDICT")
        text = verdict.write(checked)
        if path is not None:
            path.write_text(text, encoding="utf-8", errors="backslashreplace")
        else:
            sys.stdout.write(text)
    if watch.interrupt is not None:
        return Exit.TERMINATED if isinstance(watch.interrupt, Terminated) else Exit.INTERRUPTED
    if checked.failed:
        return Exit.FINDINGS
    if checked.unjudged:
        return Exit.UNJUDGED
    if watch.without_agent:
        return Exit.NOT_PERMITTED
    return Exit.NO_TARGET if checked.missed else Exit.FINE


def _baseline(names: list[str], config: Config) -> list[Run]:
    if not names:
        return []
    from concview.commands.compare import measured, recordings

    paths = recordings(names)
    for path in paths:
        _recorded.one(_recorded.cast_of(path), None, path)
    return [measured(path, config) for path in paths]


def _save_of(text: str) -> tuple[str, Path]:
    form, equals, path = text.partition("=")
    if not equals or not path or form not in FORMATS:
        raise CommandError(f"--save: FORMAT=FILE, not '{text}'", Exit.USAGE, f"formats: {', '.join(FORMATS)}")
    return form, Path(path)


def _number_of_runs(text: str | None) -> int:
    if text is None:
        return 1
    if not (text.isascii() and text.isdecimal() and 1 <= int(text[:10]) <= MOST_RUNS):
        raise CommandError(f"--runs: must be a number from 1 to {MOST_RUNS}, not '{text}'", Exit.USAGE)
    return int(text)


class _Watch:
    """What was seen, run after run. The first Ctrl-C or SIGTERM ends the watching, not what is said of it."""

    def __init__(self, options: argparse.Namespace, config: Config, duration: float) -> None:
        self.options, self.config, self.duration = options, config, duration
        self.seen: list[Snapshot] = []
        self.missed: list[str] = []
        self.processes: list[Process] = []
        self.measured: list[Run] = []  #: for --baseline
        self.number = 0  #: of the process to look at, in a recording of several
        from concview.session.across import Found

        self.across = Found()
        self.kept = contextlib.ExitStack()  #: files that are read from
        self.interrupt: KeyboardInterrupt | None = None
        self.without_agent = False  #: it was asked for, and did not come or would not do what was asked

    def several(self) -> None:
        """Watch several processes at once. CommandError where none of them was seen."""
        from concview.commands._verdicts.base import Process, explained

        made = _several.group(self.options, self.config, self.options.subjects)
        try:
            try:
                parts = _several.finish(made, self.duration, "watching")
            except KeyboardInterrupt as interrupt:
                self.interrupt = interrupt
                parts = made.finish()
            self.across = made.across
            if made.more:
                self.missed.append(f"{plural(made.more, 'process', 'processes')} beyond the first {made.most}")
            for part in parts:
                snapshot, member = part.last, part.member
                if part.why:
                    if not part.ended:
                        self.missed.append(f"{member.name} ({member.pid}): {part.why}")
                elif snapshot.target is not None and (snapshot.samples or snapshot.threads):
                    self.seen.append(snapshot)
                    self.processes.append(
                        Process(
                            member.pid,
                            member.start_ticks,
                            member.parent,
                            member.role,
                            member.name,
                            part.ended,
                            part.late,
                        )
                    )
        finally:
            made.close()
        if not self.seen:
            raise self.interrupt or CommandError("nothing was seen of any of them", Exit.NO_TARGET)
        self.seen = list(explained(self.seen, self.processes, self.across))

    def recorded(self, cast: Cast) -> None:
        """All processes of a recording. CommandError where nothing was seen of them."""
        found = _recorded.checked(Path(self.options.subject), cast, self.config.rules)
        self.seen, self.processes = list(found.runs), list(found.processes)
        self.missed, self.across = list(found.missed), found.across
        if not self.seen:
            raise CommandError("nothing was seen of any of them", Exit.NO_TARGET)

    def run(self, which: str) -> None:
        """Watch once. CommandError where nothing was seen; of one run among several it is noted instead."""
        from concview.commands import _build

        try:
            snapshot = self._observe(which)
            if snapshot.target is None or not (snapshot.samples or snapshot.threads):
                if self.interrupt is not None and not self.seen:
                    raise self.interrupt
                why = f" ({snapshot.ending})" if snapshot.ending else ""
                raise CommandError(f"nothing was seen{why}", self._of_nothing(snapshot))
        except CommandError as error:
            if not which or error.code != Exit.NO_TARGET:
                raise
            complain(f"{which}{error.message}", error.remedy)
            self.missed.append(f"{which}{error.message}")
            return
        self.seen.append(snapshot)
        if (ending := _build.unusual_ending(snapshot)) and self.options.format != "text" and not self.options.rest:
            complain(ending)  # the text says it itself

    def _of_nothing(self, snapshot: Snapshot) -> Exit:
        """The exit code where nothing was seen: a file that breaks off is no process that has gone."""
        from concview.snapshot import Status

        options = self.options
        of_file = not options.rest and options.core is None and not options.subject.isdecimal()
        return Exit.BAD_FILE if of_file and snapshot.status is Status.LOST else Exit.NO_TARGET

    def _measure(self, observation: Observation, which: str, snapshot: Snapshot) -> None:
        from concview.compare import measure

        if observation.live:
            run = measure.of_observation(observation, which.rstrip(": ") or "this", snapshot.elapsed_s)
        else:
            run = measure.of_recording(Path(self.options.subject), self.config, self.number)
        if not run.windows:
            raise CommandError(f"{snapshot.elapsed_s:.1f} s are too short to compare", Exit.USAGE, "--duration 30")
        self.measured.append(run)

    def _observe(self, which: str) -> Snapshot:
        from concview.commands import _launch, _open, _preflight, _target_process

        options = self.options
        child: Child | None = None
        observation: Observation | None = None
        try:
            if options.rest:
                command = _target_process.python_command(options.rest, options.python)
                child = _target_process.Child(command, Path(options.output) if options.output else None, headless=True)
                observation = _launch.attach(child, self.config, options.blocking)
            elif options.core is None and options.subject.isdecimal():
                # A wrong PID is told by the collector, too; this says it without starting one.
                pid = _options.pid_of(options.subject)
                _preflight.look_at(pid)
                observation = _open.watch_process(pid, self.config, options.blocking)
            elif options.core is not None:
                observation = _open.read_recording(str(self.kept.enter_context(_core.recorded(options))), self.config)
            else:
                observation = _open.read_recording(options.subject, self.config, self.number)
            if options.agent:
                _agent.invite(observation.session, options.calls)
            try:
                snapshot = _open.finish(observation, self.duration, progress=f"{which}watching")
            except KeyboardInterrupt as interrupt:
                self.interrupt = interrupt
                snapshot = observation.leave()
            if options.agent and (problem := _agent.not_in(snapshot.agent, snapshot.refusal)) is not None:
                complain(*problem)
                self.without_agent = True
            if options.baseline:
                self._measure(observation, which, snapshot)
            return snapshot
        finally:
            if observation is not None:
                observation.close()
            if child is not None:
                child.close()
            self.kept.close()


COMMAND = Command(
    name="check",
    summary="watch without a dashboard and say what is wrong; the exit code tells a script",
    description="Watch a process for a while, read a recording, or run a command; then say what is wrong.\n"
    "Ends early when the process does, and on Ctrl-C; what was found until then is printed.\n"
    "Exit code 1: there is a finding of the --fail-on level or above, or the verdict has that level and no rule\n"
    "explains it (--fail-on verdict=never accepts that).\n"
    "--format: md for a job's summary, sarif for code scanning, junit for test reports, github for annotations.",
    configure=configure,
    run=run,
    reads=("subjects", "baseline"),
    order=20,
    rest="dashes",
)

"""`concview run script.py ARGS` / `concview run -m MODULE ARGS`: start a target and attach."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from concview.commands import _agent, _options
from concview.commands.base import Command, CommandError, Exit, complain

if TYPE_CHECKING:
    from concview.agent_host.inject.early import Early
    from concview.commands._target_process import Child, Ring
    from concview.session import Session

#: Lines of the target's output that are shown when the dashboard is left.
TAIL = 20


def configure(parser: argparse.ArgumentParser) -> None:
    parser.usage = "concview run [OPTIONS] [--] script.py ARGS...\n       concview run [OPTIONS] -m MODULE ARGS..."
    parser.add_argument("--output", metavar="FILE", help="what the target prints goes to this file, too")
    parser.add_argument("--from-start", action="store_true", help="with --agent: before the program's first line")
    _agent.add(parser, consent=False)
    _options.add_python(parser)
    _options.add_sampling(parser)


def run(options: argparse.Namespace) -> int:
    from concview.commands import _dashboard, _launch, _preflight, _target_process

    if not options.rest:
        raise CommandError("nothing to run", Exit.USAGE, "concview run script.py ARGS, or concview run -m MODULE ARGS")
    config = _options.settings(options)
    if options.from_start and not options.agent:
        raise CommandError("--from-start goes with --agent", Exit.USAGE)
    _agent.check(options, ours=True)
    command = _target_process.python_command(options.rest, options.python)
    _preflight.require_terminal(f"without one: 'concview check -- {' '.join(options.rest)}' runs and judges it")
    launch = _ProgramLaunch(command, options)
    child = launch.start(False)
    _dashboard.preload()
    failure: CommandError | None = None
    try:
        try:
            with _preflight.screen("the target is started …"):
                session = _launch.attach(child, config, options.blocking, keep=True).session
                launch.begun(session)
                _dashboard.show(session, config, options.blocking, child, child.ring, launch)
        except CommandError as error:
            failure = error
    finally:
        child = launch.last or child
        code = child.close()
        _tell(child, options.output)
    if failure is not None:
        # It ended by itself before anything was seen: that is its own affair, and so is its exit code.
        complain(failure.message, failure.remedy)
        return failure.code if not child.ended_by_itself else code
    return code


class _ProgramLaunch:
    """The program of the command line, also a second time. `last`: what was started last."""

    variant = ""

    def __init__(self, command: list[str], options: argparse.Namespace) -> None:
        self._command, self._options = command, options
        self.last: Child | None = None

    def start(self, other: bool) -> Child:
        from concview.commands import _launch, _target_process

        options = self._options
        early = _early(bool(options.calls)) if options.from_start else None
        try:
            child = _target_process.Child(
                self._command,
                Path(options.output) if options.output else None,
                environment=early.environment if early is not None else None,
            )
            if early is not None and not _launch.wait_for_agent(child) and child.running:
                complain(
                    "the agent could not come in before the first line: the program is not Python, or was told "
                    "not to load sitecustomize (-I, -E, -S); it is asked in now"
                )
        finally:
            if early is not None:
                early.close()
        self.last = child
        return child

    def begun(self, session: Session) -> None:
        if self._options.agent:
            _agent.invite(session, self._options.calls)

    def output(self, child: Child) -> Ring | None:
        return child.ring


def _early(calls: bool) -> Early:
    from concview.agent_host.attachment import own_yappi
    from concview.agent_host.inject.early import Early

    try:
        return Early(own_yappi(), calls)
    except OSError as error:
        raise CommandError(f"no folder for the agent's socket: {error.strerror}", Exit.OUTPUT) from None


def _tell(child: Child, output: str | None) -> None:
    """What the target printed last: the dashboard had the screen."""
    for line in child.ring.lines(TAIL):
        sys.stdout.write(line + "\n")
    if child.ring.dropped and not output:
        complain("more was printed than is kept; --output FILE keeps everything")
    if child.file_error:
        complain(f"{output}: {child.file_error}; what the target printed after that is not in the file")


COMMAND = Command(
    name="run",
    summary="start a script, module or command and watch it",
    description="Start a Python script ('script.py'), a module ('-m MODULE') or any command that becomes a Python\n"
    "process, and attach to it. Its exit code becomes concview's. It ends when you leave. It reads nothing from\n"
    "the terminal; key O shows what it prints, and its last lines are printed when you leave.",
    configure=configure,
    run=run,
    order=11,
    rest="script",
)

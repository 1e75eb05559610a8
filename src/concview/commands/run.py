"""`concview run script.py ARGS` / `concview run -m MODULE ARGS`: start a target and attach."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from concview.commands import _options
from concview.commands.base import Command, CommandError, Exit, complain

if TYPE_CHECKING:
    from concview.commands._child import Child

#: Lines of the target's output that are shown when the dashboard is left.
TAIL = 20


def configure(parser: argparse.ArgumentParser) -> None:
    parser.usage = "concview run [OPTIONS] [--] script.py ARGS...\n       concview run [OPTIONS] -m MODULE ARGS..."
    parser.add_argument("--output", metavar="FILE", help="what the target prints goes to this file, too")
    parser.add_argument("--agent", action="store_true", help="look inside, too, with an agent in the target")
    _options.add_python(parser)
    _options.add_sampling(parser)


def run(options: argparse.Namespace) -> int:
    from concview.commands import _agent, _child, _dashboard, _launch, _open

    if not options.rest:
        raise CommandError("nothing to run", Exit.USAGE, "concview run script.py ARGS, or concview run -m MODULE ARGS")
    config = _options.settings(options)
    command = _child.python_command(options.rest, options.python)
    _open.require_terminal(f"without one: 'concview check -- {' '.join(options.rest)}' runs and judges it")
    child = _child.Child(command, Path(options.output) if options.output else None)
    _dashboard.preload()
    failure: CommandError | None = None
    try:
        try:
            session = _launch.attach(child, config, options.blocking)
        except CommandError as error:
            failure = error
        else:
            if options.agent:
                _agent.invite(session)
            _dashboard.show(session, config, options.blocking, child, child.ring)
    finally:
        code = child.close()
        _tell(child, options.output)
    if failure is not None:
        # It ended by itself before anything was seen: that is its own affair, and so is its exit code.
        complain(failure.message, failure.remedy)
        return failure.code if not child.ended_by_itself else code
    return code


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
    "process, and attach to it. Its exit code becomes concview's. It is ended when you leave. It reads nothing from\n"
    "the terminal; what it prints is shown in a pane (key O), and its last lines again when you leave.",
    configure=configure,
    run=run,
    order=11,
    rest="script",
)

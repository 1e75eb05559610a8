"""`concview attach PID` (or `concview PID`): the dashboard. Without a PID: choose from the running processes."""

from __future__ import annotations

import argparse

from concview import text
from concview.commands import _agent, _options
from concview.commands.base import Command, CommandError, Exit
from concview.config import Config

INSTEAD = "without one: 'concview check PID' judges it, 'concview dump PID' shows its threads"


def configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("pids", metavar="PID", nargs="*", help="process to attach to (default: choose from a list)")
    parser.add_argument("--tree", action="store_true", help="the process and those below it, as they come and go")
    _agent.add(parser)
    _options.add_sampling(parser)


def run(options: argparse.Namespace) -> int:
    from concview.commands import _preflight

    config = _options.settings(options)
    _agent.check(options)
    several = options.tree or len(options.pids) > 1
    if options.tree and not options.pids:
        raise CommandError("--tree needs a process", Exit.USAGE, "concview attach --tree PID")
    if several:
        if options.agent:
            raise CommandError("--agent needs a process", Exit.USAGE, "concview attach PID --agent --yes")
        return _several_at_once(options, config)
    if not options.pids:
        if options.agent:
            raise CommandError("--agent needs a process", Exit.USAGE, "concview attach PID --agent --yes")
        _preflight.require_terminal(INSTEAD)
        with _preflight.screen("looking for Python processes …"):
            from concview.commands import _dashboard

            return _dashboard.show(None, config, options.blocking)
    pid = _options.pid_of(options.pids[0])
    target = _preflight.look_at(pid)
    _preflight.require_terminal(INSTEAD)
    with _preflight.screen(f"attaching to {pid}: {text.short_command(target.command)} …"):
        from concview.commands import _dashboard, _open

        _dashboard.preload()
        session = _open.open_live(pid, config, options.blocking)
        if options.agent:
            _agent.invite(session, options.calls)
        return _dashboard.show(session, config, options.blocking)


def _several_at_once(options: argparse.Namespace, config: Config) -> int:
    """The list of the processes, all of them watched under one budget; from there into each."""
    from concview.commands import _preflight, _several

    pids = _several.given(options, options.pids)
    _preflight.look_at(pids[0])
    _preflight.require_terminal(INSTEAD)
    with _preflight.screen(f"attaching to {', '.join(map(str, pids))} …"):
        from concview.commands import _dashboard

        _dashboard.preload()
        return _dashboard.show_service(_several.service(options, config, pids), config)


COMMAND = Command(
    name="attach",
    summary="the dashboard on a running Python process; without a PID, a list to choose from",
    description="Attach to a running Python process and show what its threads do. 'concview PID' is the same.\n"
    "The process is neither stopped nor changed, and goes on when you leave.",
    configure=configure,
    run=run,
    order=10,
)

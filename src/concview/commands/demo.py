"""`concview demo [ID]`: a workload that shows one anti-pattern, and the dashboard on it."""

from __future__ import annotations

import argparse
import difflib
import shutil
import sys
from typing import TYPE_CHECKING

from concview.commands import _agent, _options
from concview.commands.base import Command, CommandError, Exit

if TYPE_CHECKING:
    from concview.commands._target_process import Child

DEFAULT = "lock-held-across-io"


def configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("id", metavar="ID", nargs="?", default=DEFAULT, help=f"which one (default: {DEFAULT})")
    parser.add_argument("--fixed", action="store_true", help="the repaired variant: nothing should be found")
    parser.add_argument("--compare", action="store_true", help="the bad and the fixed variant side by side")
    parser.add_argument("--list", action="store_true", help="list the demos")
    parser.add_argument("--headless", action="store_true", help="only run the workload, and print its PID")
    _agent.add(parser, consent=False)
    _options.add_python(parser)
    _options.add_sampling(parser)


def run(options: argparse.Namespace) -> int:
    from concview.demos.base import demos

    known = demos()
    if options.compare and (options.fixed or options.headless or options.agent):
        raise CommandError("--compare runs both variants, on screen and without the agent", Exit.USAGE)
    if options.list:
        from concview.commands._groups import under_headings

        sys.stdout.write(under_headings((demo.group, demo.id, demo.title) for demo in known.values()))
        return Exit.FINE
    if options.id not in known:
        near = [i for i in known if options.id and options.id in i][:5] or difflib.get_close_matches(
            options.id, known, 3
        )
        hint = f"did you mean {', '.join(near)}?" if near else f"demos: {', '.join(known)}"
        raise CommandError(f"no such demo: {options.id}", Exit.USAGE, hint)
    demo, variant = known[options.id], "fixed" if options.fixed else "bad"
    if shutil.which(options.python) is None:
        raise CommandError(f"--python: no such interpreter: {options.python}", Exit.USAGE)
    config = _options.settings(options)
    _agent.check(options, ours=True)
    if options.headless:
        from concview.commands import _dashboard

        child = _dashboard.start(demo, variant, options.python)
        try:
            return _headless(child)
        finally:
            child.close()
    from concview.commands import _preflight

    if options.compare:
        _preflight.require_terminal("without one: 'concview compare BASE NEW' compares two recordings")
        with _preflight.screen(f"starting both variants of {demo.id} …"):
            from concview.commands import _dashboard

            _dashboard.load()
            return _dashboard.compare(demo, config, options.blocking, options.python)
    _preflight.require_terminal(f"without one: 'concview demo {demo.id} --headless' only runs the workload")
    with _preflight.screen(f"starting the demo {demo.id} …"):
        from concview.commands import _dashboard, _open

        _dashboard.preload()
        launch = _dashboard.DemoLaunch(demo, variant, options.python, options.agent, options.calls)
        child = launch.start(False)
        try:
            session = _open.open_live(child.pid, config, options.blocking)
            launch.begun(session)
            return _dashboard.show(session, config, options.blocking, child, launch.output(child), launch)
        finally:
            child.close()


def _headless(child: Child) -> int:
    print(child.pid, flush=True)
    if sys.stderr.isatty():
        sys.stderr.write("running; Ctrl-C ends it\n")
    child.wait()
    return Exit.FINE


COMMAND = Command(
    name="demo",
    summary="run the workload of an anti-pattern and watch it",
    description="Run a workload that shows one anti-pattern (or, with --fixed, its repair) and attach to it.\n"
    "A demo whose rule needs counted calls starts the agent in its own process.",
    configure=configure,
    run=run,
    order=12,
)

"""`concview replay FILE`: the dashboard on a recording."""

from __future__ import annotations

import argparse
import math

from concview import text
from concview.commands import _options
from concview.commands.base import Command, CommandError, Exit


def configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("file", metavar="FILE", help="a recording made by 'concview record'")
    parser.add_argument("--speed", metavar="X", default="1", help="1 plays in real time (default), 0 all at once")
    _options.add_config(parser)


def run(options: argparse.Namespace) -> int:
    from concview.commands import _preflight

    config = _options.settings(options)
    try:
        speed = float(options.speed)
    except ValueError:
        speed = math.nan
    if not 0 <= speed <= 1000:
        raise CommandError(f"--speed: must be a number from 0 to 1000, not '{options.speed}'", Exit.USAGE)
    _preflight.look_at_file(options.file)
    _preflight.require_terminal(f"without one: 'concview check {options.file}' judges the recording")
    with _preflight.screen(f"opening {text.clean(options.file)} …"):
        from concview.commands import _dashboard, _open

        # Before the recording is opened: its reader would take turns with the import.
        _dashboard.load()
        return _dashboard.show(_open.open_file(options.file, config, speed), config)


COMMAND = Command(
    name="replay",
    summary="the dashboard on a recording",
    configure=configure,
    run=run,
    order=50,
)

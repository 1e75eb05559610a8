"""`concview replay FILE`: the dashboard on a recording."""

from __future__ import annotations

import argparse
import math
from pathlib import Path
from typing import TYPE_CHECKING

from concview import text
from concview.commands import _options, _recorded
from concview.commands.base import Command, CommandError, Exit

if TYPE_CHECKING:
    from concview.config import Config
    from concview.session.service import RecordedService
    from concview.session.several import Cast


def configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("file", metavar="FILE", help="a recording made by 'concview record'")
    _recorded.add(parser)
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
    given = options.given.file
    cast = _recorded.cast_of(options.file)
    process = _recorded.chosen(cast, options.process, given)
    _preflight.require_terminal(f"without one: 'concview check {given}' judges the recording")
    with _preflight.screen(f"opening {text.clean(given)} …"):
        from concview.commands import _dashboard, _open

        # Before the recording is opened: its reader would take turns with the import.
        _dashboard.load()
        if cast.processes and process is None:
            return _dashboard.show_service(_service(options.file, cast, speed, config), config)
        number = process.number if process is not None else 0
        return _dashboard.show(_open.open_file(options.file, config, speed, number), config)


def _service(path: str, cast: Cast, speed: float, config: Config) -> RecordedService:
    from concview.session.service import RecordedService

    try:
        return RecordedService(Path(path), cast, speed, config.rules, text.clean(Path(path).name))
    except ValueError as error:  # a threshold alone can contradict the rule's own other one
        raise CommandError(f"settings: {error}", Exit.USAGE) from None


COMMAND = Command(
    name="replay",
    summary="the dashboard on a recording",
    configure=configure,
    run=run,
    reads=("file",),
    order=50,
)

"""`concview export FILE -o OUT --format NAME`: a recording in the format of another tool."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from concview import registry
from concview.commands.base import Command, CommandError, Exit, complain
from concview.text import size

if TYPE_CHECKING:
    from concview.model import AnyEvent

PACKAGE = "concview.exporters"


def configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("file", metavar="FILE", help="a recording made by 'concview record'")
    parser.add_argument("-o", "--output", metavar="OUT", required=True, help="where to")
    parser.add_argument("--format", metavar="NAME", required=True, help=f"one of {', '.join(registry.names(PACKAGE))}")
    parser.add_argument("--force", action="store_true", help="overwrite OUT")


def run(options: argparse.Namespace) -> int:
    from concview.codec import StreamError
    from concview.exporters.base import Exporter, Nothing

    try:
        exporter: Exporter = registry.load(PACKAGE, options.format, "EXPORTER")
    except LookupError:
        known = ", ".join(registry.names(PACKAGE))
        raise CommandError(f"--format: no such format: {options.format}", Exit.USAGE, f"formats: {known}") from None
    path = Path(options.file)
    if not path.exists():
        raise CommandError(f"{path}: no such file", Exit.BAD_FILE)
    try:
        content = exporter.convert(_events(path))
    except Nothing as nothing:
        raise CommandError(f"{path}: {nothing.why}", Exit.BAD_FILE, nothing.enable) from None
    except StreamError as error:
        raise CommandError(f"{path}: not a readable recording: {error}", Exit.BAD_FILE) from None
    except OSError as error:
        raise CommandError(f"{path}: {error.strerror or error}", Exit.BAD_FILE) from None
    _write(Path(options.output), content, options.force)
    sys.stderr.write(f"wrote {size(len(content))} to {options.output}\n")
    return Exit.FINE


def _events(path: Path) -> Iterator[AnyEvent]:
    from concview import codec

    with path.open("rb") as file:
        try:
            for block in codec.read_blocks(file):
                yield from block
        except codec.Damaged as error:  # what came before stands
            complain(f"{path} breaks off: {error}; what was read until there is exported")


def _write(path: Path, content: bytes, force: bool) -> None:
    try:
        with path.open("wb" if force else "xb") as file:
            file.write(content)
    except FileExistsError:
        raise CommandError(f"{path} exists already", Exit.USAGE, "--force overwrites it") from None
    except OSError as error:
        raise CommandError(f"{path}: {error.strerror}", Exit.OUTPUT) from None


COMMAND = Command(
    name="export",
    summary="a recording in the format of another tool",
    description="Write what a recording holds in the format of another tool: exact calls as pstat or callgrind.",
    configure=configure,
    run=run,
    order=52,
)

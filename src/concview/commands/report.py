"""`concview report FILE | PID -o OUT`: what was seen, for a ticket, a channel or a script."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from concview.commands import _options, _subject
from concview.commands.base import Command, CommandError, Exit, complain
from concview.snapshot import Status
from concview.text import size

if TYPE_CHECKING:
    from concview.config import RuleConfig
    from concview.session.account import Account

FORMATS = ("html", "md", "json")


def configure(parser: argparse.ArgumentParser) -> None:
    _subject.add(parser)
    parser.add_argument("-o", "--output", metavar="OUT", help="where to; '-' or nothing: standard output")
    parser.add_argument(
        "--format", choices=FORMATS, help="html: a page with pictures; md: twenty lines for a channel; json "
        "(default: what OUT ends with, else md)",
    )  # fmt: skip
    parser.add_argument("--force", action="store_true", help="overwrite OUT")
    group = parser.add_argument_group("what of it")
    group.add_argument("--from", metavar="TIME", dest="begin", help="from here on: seconds, m:ss or h:mm:ss")
    group.add_argument("--to", metavar="TIME", dest="end", help="up to here")


def _account(path: Path, rules: RuleConfig, begin: float, end: float | None) -> Account:
    from concview.commands._preflight import reading
    from concview.session import AttachError
    from concview.session.account import account_of_file

    try:
        with reading(str(path)):
            account = account_of_file(path, rules, begin, end)
    except AttachError as error:
        raise CommandError(f"{path}: {error}", Exit.BAD_FILE) from None
    except ValueError as error:  # a threshold alone can contradict the rule's own other one
        raise CommandError(f"settings: {error}", Exit.USAGE) from None
    if account.last.elapsed_s <= 0:
        why = f" ({account.last.ending})" if account.last.ending else ""
        raise CommandError(
            f"{path}: the recording holds no samples{why}", Exit.BAD_FILE, "concview record PID -o FILE --duration 10"
        )
    if account.last.status is Status.LOST and account.last.ending:
        complain(f"{path}: {account.last.ending}; what was read until there is reported")
    return account


def _text(account: Account, kind: str) -> str:
    from concview.session.brief import brief

    if kind == "md":
        return brief(account)
    from concview import __version__
    from concview.commands import _build, _schema
    from concview.session.account import unseen

    return _schema.encode(
        _schema.ReportOut(
            schema=_schema.SCHEMA,
            concview=__version__,
            service=account.service,
            began=round(account.began, 6),
            seconds=round(account.last.elapsed_s, 3),
            at_s=round(account.seconds_of(account.shown.at_ns), 3),
            over=account.over,
            text=brief(account),
            unseen=unseen(account),
            marks=[
                _schema.MarkOut(
                    m.id, m.severity.value, m.title, round(account.seconds_of(m.start_ns), 3),
                    round(account.seconds_of(m.end_ns), 3),
                )
                for m in account.timeline.marks
            ],
            check=_build.check_out(account.shown),
        )
    )  # fmt: skip


def run(options: argparse.Namespace) -> int:
    from concview.commands.export import interval

    begin, end = interval(options)
    output = None if options.output in (None, "-") else Path(options.output)
    suffix = output.suffix.lstrip(".").lower() if output is not None else ""
    kind = options.format or (suffix if suffix in FORMATS else "html" if suffix == "htm" else "md")
    if output is not None and output.exists() and not options.force:
        raise CommandError(f"{output} exists already", Exit.USAGE, "--force overwrites it")
    if kind == "html" and output is None:
        raise CommandError("--format html: where to?", Exit.USAGE, "-o OUT.html")
    config = _options.settings(options)
    with _subject.recorded(options) as path:
        if kind == "html":
            from concview.analysis.samples import Selection
            from concview.commands.export import write_file
            from concview.exporters.base import Request
            from concview.exporters.html import EXPORTER

            assert output is not None
            request = Request(Selection(from_s=begin, to_s=end), rules=config.rules)
            return write_file(EXPORTER, request, path, output, options.force)
        content = _text(_account(path, config.rules, begin, end), kind).encode()
    if output is None:
        sys.stdout.write(content.decode())
        return Exit.FINE
    try:
        with output.open("wb" if options.force else "xb") as file:
            file.write(content)
    except FileExistsError:
        raise CommandError(f"{output} exists already", Exit.USAGE, "--force overwrites it") from None
    except OSError as error:
        raise CommandError(f"{output}: {error.strerror}", Exit.OUTPUT) from None
    complain(f"wrote {size(len(content))} to {output}")
    return Exit.FINE


COMMAND = Command(
    name="report",
    summary="what was seen, for a ticket (html), a channel (md) or a script (json)",
    description="Write down what a recording shows, or a process that is recorded first: the verdict, who is to\n"
    "blame, stacks, what was measured, the fix, and what was not seen. html is one page that needs nothing else.",
    configure=configure,
    run=run,
    order=51,
)

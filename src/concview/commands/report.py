"""`concview report FILE | PID -o OUT`: what was seen, for a ticket, a channel or a script."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from concview.commands import _options, _recorded, _subject
from concview.commands._output import STDOUT
from concview.commands.base import Command, CommandError, Exit, complain
from concview.snapshot import Status
from concview.text import size

if TYPE_CHECKING:
    from concview.commands._verdicts.base import Checked
    from concview.config import RuleConfig
    from concview.session.account import Account
    from concview.session.several import Cast

FORMATS = ("html", "md", "json")


def configure(parser: argparse.ArgumentParser) -> None:
    _subject.add(parser)
    _recorded.add(parser)
    parser.add_argument("-o", "--output", metavar="OUT", help="where to; '-' or nothing: standard output")
    parser.add_argument(
        "--format",
        choices=FORMATS,
        help="html: a page with pictures; md: twenty lines for a channel; json "
        "(default: by the ending of OUT, else md)",
    )
    parser.add_argument("--force", action="store_true", help="overwrite OUT")
    group = parser.add_argument_group("which part")
    group.add_argument("--from", metavar="TIME", dest="begin", help="from here on: seconds, m:ss or h:mm:ss")
    group.add_argument("--to", metavar="TIME", dest="end", help="up to here")


def _account(path: Path, rules: RuleConfig, begin: float, end: float | None, number: int) -> Account:
    from concview.commands._preflight import reading
    from concview.session import AttachError
    from concview.session.account import account_of_file

    try:
        with reading(str(path)):
            account = account_of_file(path, rules, begin, end, number=number)
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


def _text(account: Account, kind: str, checked: Checked | None) -> str:
    """`checked`: all processes of the recording, of which the account is about one."""
    from concview.session.brief import brief

    if kind == "md":
        return brief(account) + (_others(account, checked) if checked is not None else "")
    from concview import __version__
    from concview.commands import _build, _schema
    from concview.commands._verdicts.json import several
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
                    m.id,
                    m.severity.value,
                    m.title,
                    round(account.seconds_of(m.start_ns), 3),
                    round(account.seconds_of(m.end_ns), 3),
                )
                for m in account.timeline.marks
            ],
            check=several(checked) if checked is not None else _build.check_out(account.shown),
        )
    )


def _others(account: Account, checked: Checked) -> str:
    """Below what is said of the worst one: all of them, a line each, and who waits for whom across processes."""
    from concview.commands._text_writer import Pen
    from concview.commands._tree_text import table

    pen = Pen(styled=False, width=160)
    shown = account.last.target
    pen.line(f"of {len(checked.processes)} processes; above: {shown.pid if shown is not None else 'the worst'}")
    table(checked, pen)
    rows = pen.text().rstrip().replace("`" * 3, "` ` `")
    return "\n".join(["", "```text", rows, "```"]) + "\n"


def _worst(cast: Cast, path: Path, rules: RuleConfig) -> tuple[int, Checked]:
    """(number of the process in which most is wrong, all of them)"""
    from concview.commands._tree_text import weight

    checked = _recorded.checked(path, cast, rules)
    if not checked.runs:
        raise CommandError(f"{path}: nothing was seen of any process", Exit.BAD_FILE)
    worst = max(range(len(checked.runs)), key=lambda n: weight(checked.runs[n]))
    key = (checked.processes[worst].pid, checked.processes[worst].start_ticks)
    return next(p.number for p in cast.watched if (p.pid, p.start_ticks) == key), checked


def run(options: argparse.Namespace) -> int:
    from concview.commands.export import interval

    begin, end = interval(options)
    output = None if options.output in (None, STDOUT) else Path(options.output)
    suffix = output.suffix.lstrip(".").lower() if output is not None else ""
    kind = options.format or (suffix if suffix in FORMATS else "html" if suffix == "htm" else "md")
    if output is not None and output.exists() and not options.force:
        raise CommandError(f"{output} exists already", Exit.USAGE, "--force overwrites it")
    if kind == "html" and options.output is None:
        raise CommandError("--format html needs an output file", Exit.USAGE, "-o OUT.html")
    config = _options.settings(options)
    with _subject.recorded(options) as path:
        cast, checked = _recorded.cast_of(path), None
        process = _recorded.chosen(cast, options.process, path)
        number = process.number if process is not None else 0
        if cast.processes and process is None:
            number, checked = _worst(cast, path, config.rules)
        if kind == "html":
            from concview.analysis.samples import Selection
            from concview.commands.export import write_file
            from concview.exporters.base import Request
            from concview.exporters.html import EXPORTER
            from concview.session.recording import Recording

            request = Request(Selection(from_s=begin, to_s=end), rules=config.rules)
            if checked is not None:
                shown = next(p for p in cast.processes if p.number == number)
                complain(
                    f"of {len(checked.processes)} processes the page shows {shown.name} ({shown.pid}), in which most "
                    f"is wrong; --process PID chooses another"
                )
            return write_file(EXPORTER, request, Recording(path, number), output or Path(STDOUT), options.force)
        content = _text(_account(path, config.rules, begin, end, number), kind, checked).encode()
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
    description="Write down what a recording shows, or a process that is recorded first: the verdict, the causes,\n"
    "stacks, measurements, fixes, and what could not be seen. html is one page that needs no other file.",
    configure=configure,
    run=run,
    reads=("subject",),
    order=51,
)

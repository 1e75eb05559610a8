"""`concview doctor [PID]`: can I attach, and if not, the exact remedy."""

from __future__ import annotations

import argparse
import sys

from concview.commands import _options
from concview.commands._output import json_text
from concview.commands.base import Command, Exit

_MARKS = {"ok": "✓ ok     ", "failed": "✗ failed ", "unknown": "? unknown"}


def configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("pid", metavar="PID", nargs="?", help="process to examine (default: this machine in general)")
    parser.add_argument("--format", choices=["text", "json"], default="text")


def run(options: argparse.Namespace) -> int:

    from concview.process.doctor import examine

    report = examine(_options.pid_of(options.pid) if options.pid is not None else None)
    if options.format == "json":
        value = {
            "schema": 1,
            "pid": report.pid,
            "attachable": report.attachable,
            "verdict": report.verdict,
            "code": report.error.code if report.error is not None else "",
            "checks": [
                {"name": c.name, "outcome": c.outcome.value, "explanation": c.explanation, "remedy": c.remedy}
                for c in report.checks
            ],
        }
        sys.stdout.write(json_text(value))
    else:
        width = max((len(c.name) for c in report.checks), default=0)
        sys.stdout.write(f"{report.verdict}\n\n")
        for check in report.checks:
            sys.stdout.write(f"  {_MARKS[check.outcome.value]}  {check.name:<{width}}  {check.explanation}\n")
            if check.remedy and check.outcome.value != "ok":
                sys.stdout.write(f"  {'':9}  {'':<{width}}  -> {check.remedy}\n")
    if report.attachable:
        return Exit.FINE
    return report.error.exit_code if report.error is not None else Exit.NOT_PERMITTED


COMMAND = Command(
    name="doctor",
    summary="can I attach, and if not, what exactly would help",
    description="Try everything that attaching needs and say what is missing, with the command that would allow it.\n"
    "Exit code 0 when it can be attached, 3 when not permitted, 4 when there is no such Python process.",
    configure=configure,
    run=run,
    order=40,
)

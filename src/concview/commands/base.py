"""What a command is, how a command line is parsed, and how a failure is told.

A command is one file in this package, offering `COMMAND`. Its module imports only what parsing needs; the rest is
imported when it runs, so that `concview --help` and `concview doctor` stay quick.
"""

from __future__ import annotations

import argparse
import gc
import os
import signal
import sys
import threading
from collections.abc import Callable
from dataclasses import dataclass
from enum import IntEnum
from types import FrameType
from typing import NoReturn

from concview import registry
from concview.commands._output import write_anything
from concview.text import clean

PACKAGE = "concview.commands"
#: Errors are longer than names: a path and a remedy must fit.
_LINE = 2000
#: Objects made between two collections of garbage. A judgement, or a picture of the screen, makes thousands, most of
#: them gone with the next one: with Python's 700 they were looked at several times meanwhile (an eighth of `check`).
YOUNG = 10_000


class Exit(IntEnum):
    """Exit codes. Scripts rely on them."""

    FINE = 0  #: nothing found, or only below --fail-on
    FINDINGS = 1  #: findings at or above --fail-on
    USAGE = 2  #: wrong usage
    NOT_PERMITTED = 3  #: the kernel refused; the remedy was printed
    NO_TARGET = 4  #: no such process, not a Python process, or gone before anything was seen
    BAD_FILE = 5  #: not a recording, or a damaged one with nothing readable
    UNJUDGED = 6  #: nothing could be judged: no samples, unreadable, mostly unexplained, only waits for its workers
    INTERNAL = 70  #: an error of concview's own (EX_SOFTWARE)
    OUTPUT = 74  #: the output could not be written: disk full, no permission (EX_IOERR)
    INTERRUPTED = 130  #: Ctrl-C
    TERMINATED = 143  #: SIGTERM


class CommandError(Exception):
    """Ends the command: one sentence for a person, the exact step that would help (or ''), and the exit code."""

    def __init__(self, message: str, code: int, remedy: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.code = code
        self.remedy = remedy


class Terminated(KeyboardInterrupt):
    """SIGTERM or SIGHUP arrived: unwind, so that what we started is ended.

    A KeyboardInterrupt, because asyncio swallows every other exception that a signal raises inside a callback.
    """


@dataclass(frozen=True, slots=True)
class Command:
    """One subcommand. `order` is its place in the help."""

    name: str
    summary: str  #: one line for the list of commands
    configure: Callable[[argparse.ArgumentParser], None]
    run: Callable[[argparse.Namespace], int]
    description: str = ""  #: for its own help
    order: int = 50
    #: Takes a foreign command line: everything behind its own options goes to `arguments.rest` untouched.
    #: 'script': from the first word on ('run [OPTIONS] script.py ...'); 'dashes': from '--' on ('check -- CMD').
    rest: str = ""
    reads: tuple[str, ...] = ()  #: names of its arguments that are recordings (`_inputs`)


class _Parser(argparse.ArgumentParser):
    """Errors as one line, like all our errors."""

    def error(self, message: str) -> NoReturn:
        raise CommandError(message, Exit.USAGE, f"see '{self.prog} --help'")


def commands() -> dict[str, Command]:
    """Every command by name, in the order of the help."""
    found: list[Command] = list(registry.everything(PACKAGE, "COMMAND").values())
    return {c.name: c for c in sorted(found, key=lambda c: (c.order, c.name))}


def _needed(word: str) -> dict[str, Command]:
    """The one that this word names, which is then all that has to be imported; else every one."""
    if word in registry.names(PACKAGE):
        command: Command = registry.load(PACKAGE, word, "COMMAND")
        if command.name == word:
            return {word: command}
    return commands()


def build_parser(known: dict[str, Command]) -> tuple[argparse.ArgumentParser, dict[str, argparse.ArgumentParser]]:
    """The tree, and the parser of each command."""
    from concview import __version__

    parser = _Parser(
        prog="concview",
        usage="concview [PID | COMMAND ...]",
        description="See why every thread of a running Python process is not making progress, and what to do about it."
        "\nWithout arguments: a list of the running Python processes to choose from.",
        epilog="exit codes: 0 fine, 1 findings, 2 wrong usage, 3 not permitted, 4 no such process or not Python,"
        "\n  5 not a recording, 6 nothing could be judged, 70 an error in concview, 74 the output could not be written,"
        "\n  130 interrupted, 143 terminated."
        "\n'concview COMMAND --help' explains a command.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("--version", action="version", version=f"concview {__version__}")
    tree = parser.add_subparsers(dest="command", metavar="COMMAND", required=True, prog="concview")
    parsers: dict[str, argparse.ArgumentParser] = {}
    for command in known.values():
        sub = tree.add_parser(
            command.name,
            help=command.summary,
            description=command.description or f"{command.summary[0].upper()}{command.summary[1:]}.",
            formatter_class=argparse.RawDescriptionHelpFormatter,
            allow_abbrev=False,
        )
        command.configure(sub)
        parsers[command.name] = sub
    return parser, parsers


def split_rest(arguments: list[str], parser: argparse.ArgumentParser, mode: str) -> tuple[list[str], list[str] | None]:
    """(ours, the foreign command line) of one command's arguments; None: there is none.

    argparse's own REMAINDER takes or leaves '--' differently between Python versions, and cannot begin with '-m'.
    """
    if mode == "dashes":
        if "--" not in arguments:
            return arguments, None
        at = arguments.index("--")
        return arguments[:at], arguments[at + 1 :]
    takes_value = {o for a in parser._actions if a.nargs != 0 for o in a.option_strings}
    at = 0
    while at < len(arguments):
        word = arguments[at]
        if word == "--":
            return arguments[:at], arguments[at + 1 :]
        if word == "-m" or not word.startswith("-"):
            return arguments[:at], arguments[at:]
        at += 2 if word in takes_value else 1
    return arguments, None


def parse(arguments: list[str]) -> tuple[Command, argparse.Namespace]:
    """The command chosen and its arguments. CommandError when they are wrong; SystemExit after --help."""
    # 'concview', 'concview 1234' and 'concview --rate 50' are short for attach.
    if (
        not arguments
        or arguments[0].isdecimal()
        or (arguments[0].startswith("-") and arguments[0] not in ("-h", "--help", "--version"))
    ):
        arguments = ["attach", *arguments]
    known = _needed(arguments[0])
    parser, parsers = build_parser(known)
    command = known.get(arguments[0])
    rest: list[str] | None = None
    if command is not None and command.rest:
        ours, rest = split_rest(arguments[1:], parsers[command.name], command.rest)
        arguments = [command.name, *ours]
    elif command is None and not arguments[0].startswith("-"):
        raise CommandError(f"no such command: {arguments[0]}", Exit.USAGE, _suggest(arguments[0], known))
    namespace = parser.parse_args(arguments)
    if command is None:  # only --help and --version get here, and they have ended the program
        raise CommandError("no command given", Exit.USAGE, "see 'concview --help'")
    if command.rest:
        namespace.rest = rest
    return command, namespace


def _suggest(word: str, known: dict[str, Command]) -> str:
    import difflib

    near = difflib.get_close_matches(word, known, 1)
    if near:
        return f"did you mean 'concview {near[0]}'?"
    from concview.commands import _preflight

    return f"{_preflight.processes_called(word)}; commands: {', '.join(known)}"


# ---------------------------------------------------------------- running


def run(arguments: list[str]) -> int:
    """Parse and run one command line. Every way it can end leads to an exit code; none to a traceback."""
    previous = {}
    for number in (signal.SIGTERM, signal.SIGHUP):
        # What is ignored stays ignored (nohup). Outside the main thread the embedding program owns the signals.
        if signal.getsignal(number) is signal.SIG_DFL and threading.current_thread() is threading.main_thread():
            previous[number] = signal.signal(number, _terminate)
    hook, sys.unraisablehook = sys.unraisablehook, _unraisable
    thresholds = gc.get_threshold()
    gc.set_threshold(YOUNG, *thresholds[1:])
    try:
        return _run(arguments)
    finally:
        gc.set_threshold(*thresholds)
        sys.unraisablehook = hook
        for number, handler in previous.items():
            signal.signal(number, handler)


def _terminate(number: int, frame: FrameType | None) -> NoReturn:
    raise Terminated


def _unraisable(args: sys.UnraisableHookArgs) -> None:
    """A signal that arrives while an object is being finalised raises where nobody can catch it: so, once more."""
    if issubclass(args.exc_type, KeyboardInterrupt):
        again = signal.SIGTERM if issubclass(args.exc_type, Terminated) else signal.SIGINT
        threading.Timer(0.05, os.kill, (os.getpid(), again)).start()
    else:
        sys.__unraisablehook__(args)


def _run(arguments: list[str]) -> int:
    write_anything(sys.stdout, sys.stderr)
    try:
        command, namespace = parse(arguments)
        code = _run_with_inputs(command, namespace) if command.reads else command.run(namespace)
        sys.stdout.flush()
        return int(code)
    except CommandError as error:
        complain(error.message, error.remedy)
        return int(error.code)
    except BrokenPipeError:
        # The reader of our output has seen enough ('| head'). Keep Python from complaining at exit.
        _close_stdout()
        return int(Exit.FINE)
    except Terminated:
        return int(Exit.TERMINATED)
    except KeyboardInterrupt:
        return int(Exit.INTERRUPTED)
    except SystemExit as end:  # argparse after --help
        return end.code if isinstance(end.code, int) else int(Exit.FINE)
    except OSError as error:
        # Reading the target and files is handled where it happens; what is left is writing the output.
        if os.environ.get("CONCVIEW_DEBUG"):
            raise
        where = f"{error.filename}: " if error.filename else ""
        complain(f"{where}{error.strerror or error}")
        _close_stdout()
        return int(Exit.OUTPUT)
    except Exception as error:
        if os.environ.get("CONCVIEW_DEBUG"):
            raise
        complain(
            f"internal error: {type(error).__name__}: {error}",
            "this is a bug in concview; set CONCVIEW_DEBUG=1 for the traceback and report it",
        )
        return int(Exit.INTERNAL)


def _run_with_inputs(command: Command, namespace: argparse.Namespace) -> int:
    from concview.commands._inputs import plain

    with plain(command.reads, namespace):
        return command.run(namespace)


def _close_stdout() -> None:
    try:
        sink = os.open(os.devnull, os.O_WRONLY)
        os.dup2(sink, sys.stdout.fileno())
        os.close(sink)
    except (OSError, ValueError):
        pass


def complain(message: str, remedy: str = "") -> None:
    """One line on standard error, and one with the remedy when there is one."""
    try:
        sys.stderr.write(f"concview: {clean(message.strip(), _LINE)}\n")
        if remedy:
            sys.stderr.write(f"  {clean(remedy.strip(), _LINE)}\n")
        sys.stderr.flush()
    except (OSError, ValueError):
        pass  # nobody listens

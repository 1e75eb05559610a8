"""`record --keep 10m`: a flight recorder. The last minutes stay in memory; they are written when something is found.

Written are the minutes before a finding and a while after it, so that both its beginning and its course are there; on
SIGUSR1; and when the process ends while it is watched. A hook is given the verdict.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import re
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Protocol

from concview.commands.base import CommandError, Exit, complain
from concview.text import clean, duration, plural

if TYPE_CHECKING:
    from concview.commands._fail_on import FailOn
    from concview.config import Config
    from concview.session import Session
    from concview.snapshot import Snapshot

#: What `--keep` may say, seconds.
LEAST_S, MOST_S = 10.0, 3600.0
#: After a finding so much more is seen before the file is written: this part of what is kept, this long at most.
AFTER_PART, AFTER_MOST_S = 0.25, 30.0
#: Files of findings come no faster than once in this part of what is kept: they would hold the same minutes.
APART = 0.5
#: A hook is not started again before so long after the last one, and is ended when it takes longer; seconds.
HOOK_APART_S, HOOK_LONGEST_S = 60.0, 60.0
STEP_S = 0.2
#: What `--when` calls that a process of a tree died.
DIED = "process-died"
_UNITS = {"s": 1.0, "m": 60.0, "h": 3600.0}


def add(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("flight recorder")
    group.add_argument(
        "--keep", metavar="TIME", help="keep the last TIME (30s, 10m, 1h) in memory; write it when something is found"
    )
    group.add_argument(
        "--when",
        metavar="RULE",
        action="append",
        default=[],
        help="with --keep: write on findings of these rules only ('deadlock', 'lock-*'; default: every warning, and "
        f"'{DIED}': one of several ended by a signal or with an error)",
    )
    group.add_argument(
        "--on-finding",
        metavar="CMD",
        help="with --keep: run it with the verdict as JSON on its standard input (and CONCVIEW_FILE, "
        f"CONCVIEW_FINDING); once in {HOOK_APART_S:.0f} s at most; no shell runs it, for one: \"sh -c '...'\"",
    )


def check(options: argparse.Namespace) -> None:
    """CommandError for what does not go together."""
    if options.keep is None:
        for name, given in (("--when", options.when), ("--on-finding", options.on_finding)):
            if given:
                raise CommandError(f"{name}: only with --keep", Exit.USAGE)
    elif options.on_finding is not None:
        words_of(options.on_finding)


def span(text: str) -> float:
    """Seconds of '30s', '10m', '1h', '90'."""
    unit = _UNITS.get(text[-1:], 0.0)
    try:
        value = float(text[:-1] if unit else text) * (unit or 1.0)
    except ValueError:
        value = -1.0
    if not LEAST_S <= value <= MOST_S:
        raise CommandError(
            f"--keep: must be from {LEAST_S:.0f}s to {MOST_S / 60:.0f}m (30s, 10m, 1h), not '{text}'", Exit.USAGE
        )
    return value


def condition(words: list[str]) -> FailOn:
    """Which findings count: every warning, or those of the rules that were named."""
    from concview.commands import _fail_on

    if not words:
        return _fail_on.FailOn()
    words = [word for word in words if word != DIED]
    try:
        return _fail_on.parse(["never", *(word if "=" in word else f"{word}=info" for word in words)])
    except CommandError as error:
        raise CommandError(error.message.replace("--fail-on", "--when"), error.code, error.remedy) from None


_SHELLS = frozenset({"|", "||", "&", "&&", ";", "<", "2>", "2>>", "2>&1"})


#: What is no shell's where it is quoted.
_QUOTED = re.compile(r"""'[^']*'|"(?:\\.|[^"\\])*"|\\.""", re.DOTALL)


def _hidden(quoted: re.Match[str]) -> str:
    """What stands for it where words are looked at. Between double quotes a shell would still put in variables."""
    return "$" if quoted.group().startswith('"$') else "x"


def words_of(command: str) -> list[str]:
    try:
        words = shlex.split(command)
    except ValueError as error:
        raise CommandError(f"--on-finding: {error}", Exit.USAGE) from None
    if not words:
        raise CommandError("--on-finding needs a command", Exit.USAGE)
    # Of a shell's own they are words here: the command would get them, at the first finding, hours from now.
    written = _QUOTED.sub(_hidden, command).split()
    shells = next(
        (
            word
            for word, bare in zip(words, written, strict=False)
            if bare in _SHELLS or bare.startswith(("$", ">")) or (bare.endswith(";") and word != words[0])
        ),
        "",
    )
    if shells:
        remedy = f"--on-finding {shlex.quote(f'sh -c {shlex.quote(command)}')}"
        raise CommandError(f"--on-finding: no shell runs it, and {shells!r} is for one", Exit.USAGE, remedy)
    return words


class Files:
    """Names of the files: that of -o with the moment in it."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self.written = 0

    def check(self) -> None:
        """CommandError when nothing could be written there."""
        folder = self._path.parent
        if not folder.is_dir() or not os.access(folder, os.W_OK):
            raise CommandError(f"{folder}: not a folder that can be written to", Exit.OUTPUT)

    def next(self) -> Path:
        stamp = time.strftime("%Y%m%d-%H%M%S")
        suffix = self._path.suffix or ".concview"
        for number in range(1, 1000):
            more = f"-{number}" if number > 1 else ""
            path = self._path.with_name(f"{self._path.stem}-{stamp}{more}{suffix}")
            if not path.exists():
                return path
        raise FileExistsError(str(self._path))


@dataclass
class Hook:
    """Runs the command, one at a time and not too often."""

    command: list[str]
    _process: subprocess.Popen[bytes] | None = None
    _started: float = -1e9
    skipped: int = 0

    def run(self, verdict: bytes, finding: str, file: Path | None) -> None:
        now = time.monotonic()
        self.poll()
        if self._process is not None or now - self._started < HOOK_APART_S:
            self.skipped += 1
            return
        self._started = now
        told = {"CONCVIEW_FINDING": finding, "CONCVIEW_FILE": str(file.resolve()) if file is not None else ""}
        try:
            self._process = subprocess.Popen(
                self.command,
                stdin=subprocess.PIPE,
                stdout=sys.stderr.fileno(),
                env={**os.environ, **told},
                start_new_session=True,
            )
        except OSError as error:
            complain(f"--on-finding: {self.command[0]} cannot be run: {error.strerror}")
            return
        assert self._process.stdin is not None
        # A pipe holds 64 KiB: one that does not read must not hold us up.
        os.set_blocking(self._process.stdin.fileno(), False)
        self._left = memoryview(verdict)
        self._feed()

    def poll(self) -> None:
        """Give it more of the verdict; end it when it takes too long."""
        process = self._process
        if process is None:
            return
        self._feed()
        code = process.poll()
        if code is None and time.monotonic() - self._started > HOOK_LONGEST_S:
            os.killpg(process.pid, signal.SIGKILL)
            code = process.wait()
            complain(f"--on-finding: {self.command[0]} took longer than {HOOK_LONGEST_S:.0f} s and was ended")
        elif code:
            complain(f"--on-finding: {self.command[0]} ended with {code}")
        if code is not None:
            self._close_input()
            self._process = None

    def wait(self) -> None:
        """At the end: it may finish."""
        while self._process is not None:
            self.poll()
            time.sleep(0.02)

    def _feed(self) -> None:
        process = self._process
        if process is None or process.stdin is None or process.stdin.closed:
            return
        try:
            while self._left:
                done = os.write(process.stdin.fileno(), self._left)
                self._left = self._left[done:]
        except BlockingIOError:
            return
        except OSError:
            pass  # it does not want to read it
        self._close_input()

    def _close_input(self) -> None:
        process = self._process
        if process is not None and process.stdin is not None and not process.stdin.closed:
            process.stdin.close()


@dataclass
class Trigger:
    """When to write: a finding that was not there before, a while later; not too often. Moments in seconds."""

    when: FailOn
    after_s: float
    apart_s: float
    _open: set[tuple[int, tuple[str, str, str]]] = field(default_factory=set)
    _names: list[str] = field(default_factory=list)
    _due: float = 0.0
    _last: float = -1e9
    skipped: int = 0

    def look(self, seen: Mapping[int, Snapshot], now: float) -> None:
        """Note what is found now in each process, by its pid."""
        from concview.session.blame import unnamed

        live: dict[tuple[int, tuple[str, str, str]], str] = {}
        for pid, snapshot in seen.items():
            found = [f for f in snapshot.findings if not f.recent]
            # A verdict has no name before rules have their evidence: it is waited for only where somebody asked for it.
            if self.when.level == "never" and (verdict := unnamed(snapshot.blame)) is not None:
                found.append(verdict)
            live |= {(pid, f.identity): f.id for f in found if self.when.fails(f)}
        fresh = [name for key, name in live.items() if key not in self._open]
        self._open = set(live)
        if fresh:
            self._fresh(fresh, now)

    def note(self, name: str, now: float) -> None:
        """Something happened, once."""
        self._fresh([name], now)

    def _fresh(self, fresh: list[str], now: float) -> None:
        if self._due:
            self._names += fresh
        elif now - self._last < self.apart_s:
            self.skipped += len(fresh)
        else:
            self._names, self._due = fresh, now + self.after_s

    def due(self, now: float, ending: bool = False) -> str:
        """What was found, when it is time to write; '' else."""
        if not self._due or (now < self._due and not ending):
            return ""
        self._due, self._last = 0.0, now
        return ", ".join(dict.fromkeys(self._names))


class Watch(Protocol):
    """What is watched: one process, or several. Nothing is stopped by asking."""

    @property
    def ended(self) -> bool: ...

    def seen(self) -> Mapping[int, Snapshot]:
        """The latest pictures, by pid."""
        ...

    def save(self, path: Path, seconds: float) -> float:
        """Write the last `seconds`; the seconds that the file has. OSError; LookupError where nothing was kept."""
        ...

    def verdict(self) -> bytes:
        """What `check --format json` prints."""
        ...

    def ending(self) -> str:
        """Why it has ended."""
        ...

    def died(self) -> bool:
        """Whether one died by a signal or with an error while others live on, since the last time."""
        ...


@dataclass
class _One:
    session: Session
    pid: int

    @property
    def ended(self) -> bool:
        return self.session.ended

    def seen(self) -> Mapping[int, Snapshot]:
        return {self.pid: self.session.snapshot()}

    def save(self, path: Path, seconds: float) -> float:
        return self.session.save(path, seconds)

    def verdict(self) -> bytes:
        from concview.commands import _build, _schema

        return _schema.encode(_build.check_out(self.session.snapshot())).encode()

    def ending(self) -> str:
        return self.session.snapshot().ending or "the process ended"

    def died(self) -> bool:
        return False  # its end ends the watching, and is written anyhow


def run(options: argparse.Namespace, config: Config, pid: int, path: Path, seconds: float) -> int:
    """Watch until Ctrl-C, --duration or the end of the process."""
    from concview.commands import _open
    from concview.session import AttachError, LiveSource, Session
    from concview.session.rolling_recording import RollingRecording

    recorder = Recorder(options, path)
    source = LiveSource(pid, config.engine, config.rate, config.budget, options.blocking, config.labels, config.gentle)
    source.rolling = RollingRecording(int(recorder.keep * 1e9))
    session = Session(source, config=config.rules)
    with recorder.on_signal():
        try:
            try:
                session.start()
            except AttachError as error:
                raise _open.attach_failed(error) from None
            recorder.watch(_One(session, pid), str(pid), "the process ends", seconds)
        finally:
            session.close()
    return recorder.finish()


class Recorder:
    """Watches, and writes when it is time."""

    def __init__(self, options: argparse.Namespace, path: Path) -> None:
        """CommandError for options that are wrong, and where nothing can be written."""
        self.keep = span(options.keep)
        self.trigger = Trigger(condition(options.when), min(AFTER_MOST_S, AFTER_PART * self.keep), APART * self.keep)
        self._died = not options.when or DIED in options.when
        self.files = Files(path)
        self.files.check()
        self.hook = Hook(words_of(options.on_finding)) if options.on_finding else None
        self._asked: list[int] = []

    @contextlib.contextmanager
    def on_signal(self) -> Iterator[None]:
        """SIGUSR1 asks for a file."""

        def asked(number: int, frame: FrameType | None) -> None:
            self._asked.append(number)

        previous = signal.signal(signal.SIGUSR1, asked)
        try:
            yield
        finally:
            signal.signal(signal.SIGUSR1, previous)

    def watch(self, watched: Watch, who: str, end: str, seconds: float) -> None:
        """`who` is watched, until it has ended, which `end` says in words, or for so many seconds (0: for ever)."""
        complain(
            f"keeping the last {duration(self.keep)} of {who}; written on a finding, on SIGUSR1 to {os.getpid()}, "
            f"and when {end}; Ctrl-C ends it"
        )
        began = time.monotonic()
        interrupted = False
        try:
            while not watched.ended:
                now = time.monotonic()
                if seconds and now - began >= seconds:
                    break
                self.trigger.look(watched.seen(), now)
                if watched.died() and self._died:
                    self.trigger.note(DIED, now)
                if found := self.trigger.due(now):
                    self._write(watched, found)
                if self._asked:
                    self._asked.clear()
                    self._write(watched, "", "as asked")
                if self.hook is not None:
                    self.hook.poll()
                time.sleep(STEP_S)
        except KeyboardInterrupt:
            interrupted = True
        ended = watched.ended
        self.trigger.look(watched.seen(), time.monotonic())
        if found := self.trigger.due(time.monotonic(), ending=True):
            self._write(watched, found)
        elif ended and not interrupted:
            self._write(watched, "", watched.ending())

    def finish(self) -> int:
        """Wait for the command, and say what was written. An exit code."""
        if self.hook is not None:
            self.hook.wait()
        left_out = self.trigger.skipped
        more = f"; {plural(left_out, 'finding')} came too soon after the one before" if left_out else ""
        if self.hook is not None and self.hook.skipped:
            more += f"; the command was not run {plural(self.hook.skipped, 'time')}"
        complain(f"{plural(self.files.written, 'file')} written{more}")
        return Exit.FINE

    def _write(self, watched: Watch, found: str, why: str = "") -> None:
        """A file, and the hook where something was found. A disk that is full ends neither."""
        path: Path | None = self.files.next()
        try:
            assert path is not None
            seen = watched.save(path, self.keep)
        except (OSError, LookupError) as error:
            complain(clean(f"{path}: not written: {error.strerror if isinstance(error, OSError) else error}"))
            path = None
        else:
            self.files.written += 1
            complain(clean(f"{found or why}: the last {duration(seen)} are in {path}"))
        if self.hook is not None and found:
            self.hook.run(watched.verdict(), found, path)

"""Opening what a command looks at: a process, a recording, a terminal."""

from __future__ import annotations

import os
import sys
import threading
import time

from concview import api
from concview.api import Observation
from concview.commands._preflight import LISTED, reading
from concview.commands.base import CommandError, Exit, complain
from concview.config import Config, ConfigError
from concview.errors import TargetError
from concview.session import AttachError, FileSource, Session
from concview.session.session import PICTURE_S
from concview.snapshot import Snapshot
from concview.text import plural

#: An engine delivers its first samples within this time (py-spy works in windows of seconds).
START_S = 15.0
#: Who waits for longer than that is told so.
SLOW_S = 6.0
#: A collector that was asked to end writes its last block within this time.
END_S = api.END_S
#: How often the progress is shown; and how much of a recording is read in between.
STEP_S, FILE_STEP_S = 0.25, PICTURE_S


def attach_failed(error: TargetError) -> CommandError:
    """The same failure as the command's. Exit code 1 is reserved for findings."""
    remedy = error.remedy or (LISTED if error.exit_code == Exit.NO_TARGET else "")
    return CommandError(str(error), error.exit_code, remedy)


def watch_process(pid: int, config: Config, blocking: bool = False, keep: bool = False) -> Observation:
    """A process, watched from now on. `keep`: its last minutes can be saved as a recording."""
    slow = threading.Timer(SLOW_S, _tell_slow)
    slow.daemon = True
    slow.start()
    try:
        return api.live(pid, config, blocking, keep)
    except TargetError as error:
        raise attach_failed(error) from None
    except ConfigError as error:
        raise CommandError(f"settings: {error}", Exit.USAGE) from None
    finally:
        slow.cancel()


def _tell_slow() -> None:
    """Says: "still attaching: load average 57 on 2 CPUs"."""
    cpus = os.cpu_count() or 1
    load = os.getloadavg()[0]
    complain(f"still attaching: load average {load:.0f} on {plural(cpus, 'CPU')}" if load > cpus else "still attaching")


def read_recording(path: str, config: Config, number: int = 0) -> Observation:
    """A recording at its beginning, to be read to its end; of several processes this one."""
    try:
        with reading(path):
            return api.recorded(path, config, number, to_end=True)
    except AttachError as error:
        raise CommandError(f"{path}: {error}", Exit.BAD_FILE) from None
    except ConfigError as error:
        raise CommandError(f"settings: {error}", Exit.USAGE) from None


def open_live(pid: int, config: Config, blocking: bool = False) -> Session:
    """A started session on a process, for the dashboard."""
    return watch_process(pid, config, blocking, keep=True).session


def open_file(path: str, config: Config, speed: float, number: int = 0) -> Session:
    """A started session that plays a recording (of several processes this one), for the dashboard."""
    try:
        session = Session(FileSource(path, speed, number), config=config.rules)
    except ValueError as error:  # a threshold alone can contradict the rule's own other one
        raise CommandError(f"settings: {error}", Exit.USAGE) from None
    try:
        with reading(path):
            session.start()
    except AttachError as error:
        raise CommandError(f"{path}: {error}", Exit.BAD_FILE) from None
    return session


def finish(observation: Observation, seconds: float, progress: str = "") -> Snapshot:
    """Observe for `seconds` of stream time, or less when the stream ends; a recording to its end. Then end it.

    `progress`: the word to show it with on standard error, when that is a terminal.
    """
    show = bool(progress) and sys.stderr.isatty()
    if not observation.live and not show:
        return observation.finish()
    began = time.monotonic()
    snapshot = observation.snapshot()
    try:
        while not observation.ended:
            left = seconds - snapshot.elapsed_s
            waited = time.monotonic() - began
            if observation.live and left <= 0:
                break
            if observation.live and waited > 2 * seconds + START_S:
                complain(f"only {snapshot.elapsed_s:.1f} of {seconds:g} s could be observed in {waited:.0f} s")
                break
            if show:
                found = plural(len(snapshot.findings), "finding")
                of = f" of {seconds:g}" if observation.live else ""
                sys.stderr.write(f"\r\x1b[K{progress} {snapshot.elapsed_s:.1f}{of} s, {found} so far")
                sys.stderr.flush()
            snapshot = observation.observe(min(left, STEP_S) if observation.live else FILE_STEP_S, STEP_S)
    finally:
        if show:
            sys.stderr.write("\r\x1b[K")
            sys.stderr.flush()
    return observation.finish()

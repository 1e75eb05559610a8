"""concview for programs: the same picture that the dashboard and `check` show, as frozen typed values.

    import concview

    with concview.attach(1234) as process:
        snapshot = process.observe(10)
        for finding in snapshot.findings:
            print(finding.severity, finding.title)

    with concview.open("service.concview") as recording:
        for window in recording.windows(5):
            print(window.epoch, window.blame.sentence if window.blame else "")

Everything here is synchronous and needs no terminal. docs/api.md describes it, and what of it is stable.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType

import msgspec

from concview import registry
from concview.config import Config, ConfigError, RuleConfig, merge
from concview.model import VERDICT
from concview.process import discovery
from concview.session import FileSource, LiveSource, Session, StreamSource
from concview.session.rolling_recording import RollingRecording
from concview.session.session import read_through
from concview.session.several import cast_of
from concview.snapshot import Snapshot

#: A collector that was asked to end writes its last block within this time.
END_S = 3.0
_NEVER_NS = 1 << 63
#: The last judgement of what was read takes no longer, on a slow machine.
LAST_S = 60.0


class Observation:
    """A process that is watched, or a recording that is read. `attach` and `open` make one; `close` it, or use `with`.

    A process is watched from the beginning, whether anybody asks or not. A recording stands still: it is read as far
    as `observe`, `windows` or `finish` need it. Not for use by several threads at a time.
    """

    def __init__(self, source: StreamSource, config: Config, to_end: bool = False, patience_s: float = 0.0) -> None:
        """Opens it. TargetError when the process cannot be watched, StreamError when the file is no recording, OSError
        when it cannot be opened, ConfigError when the settings contradict themselves."""
        try:
            if to_end and isinstance(source, FileSource):
                self.session = read_through(source, config.rules)
            else:
                self.session = Session(source, config=config.rules, patience_s=patience_s)
        except ValueError as error:  # a threshold alone can contradict the rule's own other one
            raise ConfigError(str(error)) from None
        try:
            self.session.start()
        except BaseException:  # Ctrl-C while attaching, too: the collector ends
            self.session.close()
            raise

    @property
    def live(self) -> bool:
        """Whether it is a process."""
        return self.session.live

    @property
    def ended(self) -> bool:
        """Whether there is nothing more to come: the process exited, or the recording was read to its end."""
        return self.session.ended

    def snapshot(self) -> Snapshot:
        """The latest picture, of up to the last 20 seconds; up to 0.3 s old. Never waits."""
        return self.session.snapshot()

    def observe(self, seconds: float, timeout: float | None = None) -> Snapshot:
        """Go on for so many seconds of the target's time, or to the end where that is nearer; the picture then.

        `timeout`: come back after so many seconds of real time at the latest. What the target's time was is
        `Snapshot.elapsed_s`.
        """
        self._reach(self._now_ns + int(seconds * 1e9), timeout, fresh=True)
        return self.snapshot()

    def windows(self, seconds: float, count: int | None = None) -> Iterator[Snapshot]:
        """Pictures of consecutive windows of so many seconds each, from the beginning on; findings as they were judged
        at each window's end. `count`: so many, else until the end. A last window that is not whole is left out.

        A picture ends with the last sample of its window. Where samples are rarer than windows (a full machine), one
        without any is part of the next: `Snapshot.seconds` says how long that is.

        One that is asked for late is made of what was kept: ten minutes are (48 MiB at most). Times of threads are
        counted in half seconds, so that ValueError refuses windows of less than one second.
        """
        if not seconds >= 1:
            raise ValueError(f"a window must be of 1 second at least, not {seconds!r}")
        span = int(seconds * 1e9)
        begin = end = self.session.history.first_ns
        made = 0
        while count is None or made < count:
            end += span
            if not self._reach(end):
                return
            picture = self.session.at(end, end - begin)
            if picture.at_ns > begin:
                yield picture
                begin, made = end, made + 1

    def finish(self) -> Snapshot:
        """Watch no longer, or read the recording to its end; the last picture, with the totals and with every finding
        that fired since the beginning: those that are over are `recent`."""
        if self.live:
            last = self.session.finish(END_S)
        else:
            self._reach(None)
            last = self.snapshot()
        return msgspec.structs.replace(last, findings=self.session.fired())

    def leave(self) -> Snapshot:
        """Watch no longer, and read a recording no further; the last picture, as `finish` gives it."""
        if self.live or self.ended:
            return self.finish()
        last = self.session.leave(LAST_S)
        return msgspec.structs.replace(last, findings=self.session.fired())

    def close(self) -> None:
        """End the collector, or close the file. The process goes on untouched; the last snapshot stays."""
        self.session.close()

    def __enter__(self) -> Observation:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None
    ) -> None:
        self.close()

    @property
    def _now_ns(self) -> int:
        return self.session.history.now_ns

    def _reach(self, at_ns: int | None, timeout: float | None = None, fresh: bool = False) -> bool:
        """Wait until that moment of the stream was seen (None: its end); False when that did not come. `fresh`: and
        until there is a snapshot of it."""
        moment = _NEVER_NS if at_ns is None else at_ns
        if self.session.wait_until(moment, 0.0, fresh):
            return True
        player = self.session.player
        if player is not None:
            if at_ns is None:
                player.hold(False)
            else:
                player.play_past(at_ns)
        deadline = math.inf if timeout is None else time.monotonic() + timeout
        while not self.ended and (left := deadline - time.monotonic()) > 0:
            # In steps, so that Ctrl-C gets through at once.
            if self.session.wait_until(moment, min(left, 0.25), fresh):
                return True
        return self._now_ns >= moment


def attach(
    pid: int,
    *,
    engine: str | None = None,
    rate: float | None = None,
    budget: float | None = None,
    blocking: bool = False,
    settings: str | Path | None = None,
) -> Observation:
    """Watch a running process from outside; it is neither stopped nor changed.

    `engine` 'auto' (default), 'direct' or 'pyspy'; `rate` samples a second, 1 to 1000 (default 100); `budget` percent
    of one core that the sampling may take (default 5); `blocking`: py-spy only, pause the process for each sample;
    `settings`: a concview.toml; none is looked for. TargetError says why it is not possible, and its `remedy` what
    would help; ConfigError what is wrong with the arguments.
    """
    return live(pid, _config(settings, {"engine": engine, "rate": rate, "budget": budget}), blocking)


def open(  # noqa: A001
    path: str | Path, *, settings: str | Path | None = None, process: int | None = None
) -> Observation:
    """Read a recording (`concview record`). StreamError when it is none, OSError when it cannot be opened. One that
    breaks off is read to its last whole block: `Snapshot.ending` says so then. `process`: of a recording of several
    processes (`record --tree`) the one with this pid, which must be given there; LookupError: it is not in it."""
    number = 0
    if process is not None:
        found = [p for p in cast_of(Path(path)).watched if p.pid == process]
        if not found:
            raise LookupError(f"{path}: nothing was recorded of a process {process}")
        number = found[-1].number
    return recorded(path, _config(settings, {}), number)


def live(pid: int, config: Config, blocking: bool = False, keep: bool = False) -> Observation:
    """`attach` with settings that were read already. `keep`: the session's last minutes can be saved."""
    discovery.describe(pid)  # a wrong PID is told at once, without a collector
    source = LiveSource(pid, config.engine, config.rate, config.budget, blocking, config.labels, config.gentle)
    if keep:
        source.rolling = RollingRecording()
    return Observation(source, config)


def recorded(
    path: str | Path, config: Config, number: int = 0, to_end: bool = False, patience_s: float = 0.0
) -> Observation:
    """`open` with settings that were read already; of several processes the one of this number. `to_end`: only what is
    known at the end is asked for, so that on the way waits are not followed to their ends, and pictures are few.
    `patience_s`: as of `Session`."""
    source = FileSource(path, 0.0, number)
    source.hold(True)
    return Observation(source, config, to_end, patience_s)


def unknown_rules(rules: RuleConfig) -> tuple[list[str], list[str]]:
    """Rules that these settings name and that do not exist; and those that do."""
    if not (rules.only or rules.disable or rules.thresholds or rules.options):
        return [], []
    ids = [rule.id for rule in registry.everything("concview.catalogue.rules", "RULE").values()]
    known = sorted([*ids, VERDICT])
    return rules.unknown(known), known


def _config(settings: str | Path | None, flags: dict[str, object]) -> Config:
    config = merge(flags, Path(settings) if settings is not None else None, {})
    unknown, _ = unknown_rules(config.rules)
    if unknown:  # it would switch nothing off, silently
        raise ConfigError(f"{settings}: no such rules: {', '.join(unknown)}")
    return config

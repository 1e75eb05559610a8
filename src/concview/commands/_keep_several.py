"""`record --keep 10m --tree PID`, `record --keep 10m A B`: a flight recorder of several processes, as they come and go.

Each has its own minutes in memory, those that ended included until their minutes are over: the last ones of a worker
that died are what is asked for most. One file holds all of them, as `record --tree` writes it.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from concview.commands import _several
from concview.commands._keep import Recorder
from concview.commands.base import CommandError, Exit
from concview.snapshot import Status
from concview.text import plural

if TYPE_CHECKING:
    from concview.config import Config
    from concview.model import Target
    from concview.process.tree import Member
    from concview.session.group import Group
    from concview.session.rolling_recording import RollingRecording
    from concview.snapshot import Snapshot

#: Of all processes that have ended so much is kept at most; of each living one `_several.ROLLING_BYTES`.
ENDED_BYTES = 64 << 20
#: Where the kernel does not tell how a process ended (before 6.15), so many ends count as deaths: workers that are
#: replaced now and then must not fill a disk.
MOST_UNKNOWN = 5
#: One that has said nothing for so long, seconds, never will.
SILENT_S = 60.0


def run(options: argparse.Namespace, config: Config, path: Path, seconds: float) -> int:
    """Watch until Ctrl-C, --duration or until none of them is left."""
    from concview.process import discovery
    from concview.session.rolling_recording import RollingRecording

    if options.agent:
        raise CommandError("--agent: for one process only", Exit.USAGE)
    recorder = Recorder(options, path)
    pids = _several.given(options, options.pids)
    kept = Kept(discovery.describe(pids[0]), config.rate, config.budget, recorder.keep)

    def rolling(member: Member) -> RollingRecording:
        made = RollingRecording(int(recorder.keep * 1e9), _several.ROLLING_BYTES)
        kept.begin(member, made)
        return made

    with recorder.on_signal():
        group = _several.started(_several.unstarted(options, config, pids, rolling=rolling))
        try:
            watched = _Tree(group, kept)
            who = ", ".join(map(str, pids)) + (" and all below" if options.tree else "")
            recorder.watch(watched, who, "none of them is left", seconds)
        finally:
            group.close()
    return recorder.finish()


class Kept:
    """The minutes of every process, those that ended included. Not thread-safe but for `begin`."""

    def __init__(self, target: Target, rate: float, budget: float, seconds: float) -> None:
        """`target`: the first of the processes that were given."""
        self._target, self._rate, self._budget, self._seconds = target, rate, budget, seconds
        self._each: dict[tuple[int, int], tuple[Member, RollingRecording, bool]] = {}
        self._began: dict[tuple[int, int], float] = {}

    def begin(self, member: Member, rolling: RollingRecording) -> None:
        """A process that is about to be watched."""
        self._began[member.key] = time.monotonic()
        self._each[member.key] = (member, rolling, False)

    def prune(self, late: Mapping[tuple[int, int], bool]) -> None:
        """Forget those that ended too long ago, or were too many: the oldest first. `late`: those that live, and
        whether they came while others were watched already."""
        start, silent = time.monotonic_ns() - int(self._seconds * 1e9), time.monotonic() - SILENT_S
        ended: list[tuple[int, tuple[int, int]]] = []
        size = 0
        for key, (member, rolling, _) in list(self._each.items()):
            if key in late:
                self._each[key] = (member, rolling, late[key])
            elif rolling.last_ns or self._began[key] < silent:
                ended.append((rolling.last_ns, key))
                size += rolling.size
        for last_ns, key in sorted(ended):
            if last_ns < start or size > ENDED_BYTES:
                size -= self._each.pop(key)[1].size
                del self._began[key]

    def save(self, path: Path, seconds: float) -> float:
        """As `Watch.save`."""
        from concview.session.several import write_kept

        with path.open("xb") as out:
            try:
                return write_kept(out, list(self._each.values()), self._target, self._rate, self._budget, seconds)
            except BaseException:
                path.unlink(missing_ok=True)
                raise


class _Tree:
    """`Watch`."""

    def __init__(self, group: Group, kept: Kept) -> None:
        self._group, self._kept = group, kept
        self._told: set[tuple[int, int]] = set()
        self._unknown = 0  #: ended, and the kernel did not tell how

    @property
    def ended(self) -> bool:
        return self._group.ended

    def seen(self) -> Mapping[int, Snapshot]:
        parts = self._group.parts()
        self._kept.prune({p.member.key: p.late for p in parts if p.session is not None})
        return {p.member.pid: p.snapshot() for p in parts if p.session is not None}

    def save(self, path: Path, seconds: float) -> float:
        return self._kept.save(path, seconds)

    def verdict(self) -> bytes:
        from concview.commands import _schema
        from concview.commands._verdicts.base import Checked, Process, explained
        from concview.commands._verdicts.json import several

        across = self._group.look_across()
        parts = [p for p in self._group.parts() if p.snapshot().target is not None and not p.ended]
        processes = [
            Process(m.pid, m.start_ticks, m.parent, m.role, m.name, late=p.late) for p in parts for m in (p.member,)
        ]
        runs = explained([p.snapshot() for p in parts], processes, across)
        missed = [f"{plural(self._group.more, 'process', 'processes')} beyond the first {self._group.most}"]
        checked = Checked(
            runs, missed=tuple(missed if self._group.more else ()), processes=tuple(processes), across=across
        )
        return _schema.encode(several(checked)).encode() if runs else b"{}"

    def died(self) -> bool:
        died = False
        for part in self._group.parts():
            last = part.snapshot()
            if last.status is not Status.EXITED or part.member.key in self._told or last.ending.endswith("(exec)"):
                continue
            self._told.add(part.member.key)
            unknown = last.exit_status < 0
            self._unknown += unknown
            died = died or bool(last.died) or (unknown and self._unknown <= MOST_UNKNOWN)
        return died

    def ending(self) -> str:
        return "none of the processes is left"

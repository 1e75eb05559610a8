"""A core file as a stream: what a collector would have written of a process that stood still in that moment.

The engine is given its turns as if seconds passed, because it confirms by a second look what it concludes; the stream
knows only the one moment. So nothing downstream can take the time of our looking for time of the process's.
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import BinaryIO

import msgspec

from concview import __version__
from concview.codec import STREAM_VERSION, Writer
from concview.collector.recorder import Recorder
from concview.engines.core import CoreEngine
from concview.errors import TargetGone, Unsupported
from concview.linux.core_command import command_of
from concview.linux.core_file import BadCore, CoreFile
from concview.model import Bye, Event, Hello, Notice, Stats, Target
from concview.source.facts import SourceFacts
from concview.text import clean

#: Turns of the engine, a second of its time each. What is concluded in the first one is confirmed in the second or
#: third; tasks come last.
TURNS, TURN_NS = 8, 1_000_000_000
#: Where the stream's clock stands, and how far a turn takes it: nothing, but later than the one before.
MOMENT_NS, STEP_NS = 1_000_000_000, 1_000
_UNBOUNDED_NS = 1 << 60


def write_core(path: Path, out: BinaryIO, program: str = "", sysroot: str = "", source: str = "") -> None:
    """The core file's moment as a recording. `program`, `sysroot`: where its files are for us; `source`: the folder
    from which its relative paths are meant. Raises BadCore, Unsupported, OSError.

    The source is believed as far as it is older than the core file.
    """
    core = CoreFile(path, sysroot, program)
    try:
        with tempfile.TemporaryDirectory(prefix="concview-core-") as folder:
            facts = SourceFacts(None, core.written, sysroot, source)
            engine = CoreEngine(core, Path(folder), facts)
            probe = engine.look()
            target = Target(
                core.pid,
                probe.python,
                command_of(core),
                0.0,
                executable=clean(core.program, 1000),
                free_threaded=probe.free_threaded,
                cpus=0.0,
                machine_cpus=0,
                core=clean(str(path.absolute()), 1000),
                core_lacks=engine.lacks(),
            )
            writer = Writer(out)
            recorder = _Moment(writer, facts)
            writer.add(
                Hello(
                    STREAM_VERSION,
                    __version__,
                    target,
                    engine.name,
                    0.0,
                    0.0,
                    MOMENT_NS,
                    core.written,
                    probe.capabilities,
                    "off",
                )
            )
            try:
                _look(engine, target, recorder)
            except TargetGone:  # what our readers say of a process of which nothing can be read
                raise BadCore("nothing of the interpreter's can be read in it") from None
            _notices(core, engine, writer)
            tally = engine.tally
            # As many samples as there are moments.
            writer.add(Stats(MOMENT_NS, 1, 0, tally.repaired, tally.dropped, tally.doubtful, 0.0, 0.0, 0.0))
            writer.add(Bye(MOMENT_NS + TURNS * STEP_NS, "stopped"))
            writer.flush()
    finally:
        core.close()


def _look(engine: CoreEngine, target: Target, recorder: Recorder) -> None:
    engine.open(target, recorder)
    try:
        for turn in range(1, TURNS + 1):
            at_ns = turn * TURN_NS
            engine.tick(at_ns)
            for look in engine.looks:
                look.look(at_ns, _UNBOUNDED_NS)
        if not engine.threads_seen:
            raise Unsupported("no thread of Python's could be read")
    finally:
        engine.close()


def _notices(core: CoreFile, engine: CoreEngine, writer: Writer) -> None:
    def say(text: str) -> None:
        writer.add(Notice(MOMENT_NS, "warn", text))

    if lacks := engine.lacks():
        say(
            f"this core file lacks {lacks} (gdb gives up on a mapping at the first page that it may not read): what "
            "these wait for may be missing, or inferred"
        )
        say(
            "whole ones are written by the kernel: prlimit --pid PID --core=unlimited, then kill -ABRT PID, which ends "
            "the process; or by a newer gdb"
        )
    if core.cut:
        say(f"the core file is cut off: the ends of {core.cut} of its {core.segments} segments are missing")
    for path, why in sorted(core.missing.items())[:10]:
        say(f"{clean(path, 300)} {why}: --exe or --sysroot say where the process's files are")


class _Moment(Recorder):
    """Whatever the engine's clock says, it is the one moment."""

    def _at(self, at_ns: int) -> int:
        return MOMENT_NS + at_ns * STEP_NS // TURN_NS if at_ns else 0

    def thread(self, tid: int, name: str, started_ns: int = 0, native: bool = False) -> None:
        super().thread(tid, name, 0, native)

    def thread_gone(self, tid: int, at_ns: int) -> None:
        super().thread_gone(tid, self._at(at_ns))

    def tick(
        self,
        at_ns: int,
        gil_holder: int,
        collecting: bool,
        rows: list[tuple[int, int, int, int]],
        gil_switches: int = -1,
    ) -> None:
        super().tick(self._at(at_ns), gil_holder, collecting, rows, -1)

    def emit(self, event: Event) -> None:
        at_ns = getattr(event, "at_ns", None)
        super().emit(event if at_ns is None else msgspec.structs.replace(event, at_ns=self._at(at_ns)))

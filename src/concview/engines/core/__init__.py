"""The direct engine over a core file: the same readers, with memory and facts out of the file.

CoreFile --> CoreMemory (its bytes) ---------> DirectEngine._open --> threads, stacks, holders, waits, queues, tasks
         --> lay_out    (its /proc) --------->
"""

from __future__ import annotations

import struct
from pathlib import Path
from typing import ClassVar

from concview.cpython.core_memory import CoreMemory
from concview.cpython.heap.layout import PTHREAD_TID
from concview.cpython.memory import BadAddress
from concview.cpython.runtime import Runtime, find, layout
from concview.engines.base import Probe
from concview.engines.direct.engine import DirectEngine, gil_enabled
from concview.engines.direct.frames.strategy import check
from concview.engines.direct.relations.reader import RelationReader
from concview.engines.direct.relations.search import Search
from concview.errors import TargetGone, Unsupported
from concview.linux import WaitReader
from concview.linux.core_facts import lay_out
from concview.linux.core_file import BadCore, CoreFile
from concview.linux.process_facts import ProcessFacts
from concview.model import Capability, Target
from concview.sink import Sink
from concview.source.facts import SourceFacts
from concview.text import clean, plural

#: Greatest number that Linux gives a thread (PID_MAX_LIMIT).
_MOST_TID = 1 << 22
_WHILE_IT_RUNS = "concview dump PID, while it runs"
#: Missing files named in one message.
_NAMED = 4


class _Unchanging:
    def changed(self) -> str:
        return ""


class CoreEngine(DirectEngine):
    """`look` -> `open` -> `tick`, a few times: what is confirmed by a second look is so here, too, though nothing
    moves. `folder`: an empty one, in which its facts are laid out; it must stay as long as this is used."""

    name: ClassVar[str] = "core"

    def __init__(self, core: CoreFile, folder: Path, source: SourceFacts) -> None:
        super().__init__("off")
        self._core, self._source = core, source
        facts = lay_out(core, folder, _inner_numbers(core))
        self._mine = CoreMemory(facts, core)

    @property
    def facts(self) -> ProcessFacts:
        return self._mine.facts

    def look(self) -> Probe:
        """What can be seen in it. Raises BadCore; Unsupported where there is no Python that can be read."""
        memory, core = self._mine, self._core
        try:
            runtime = find(memory)
            offsets = layout(memory, runtime)
            check(memory, runtime, offsets)
            without_gil = offsets.free_threaded and not gil_enabled(memory, runtime, offsets)
        except (Unsupported, TargetGone, BadAddress, struct.error) as error:
            if isinstance(error, Unsupported) and not any("python" in f.path.rpartition("/")[2] for f in core.files):
                raise  # nothing that it lacks would make it one
            self._refuse_if_incomplete()
            raise error if isinstance(error, Unsupported) else Unsupported(_NO_PYTHON) from None
        if runtime.how == "scan" and core.missing:
            self._refuse_if_incomplete()  # found by chance; which version it is would be a guess
        self._refuse_if_empty(runtime)
        yes = Capability(True)

        def no(why: str) -> Capability:
            return Capability(False, f"a core file does not have {why}", _WHILE_IT_RUNS)

        return Probe(
            self.name,
            True,
            python=runtime.python,
            free_threaded=offsets.free_threaded,
            capabilities={
                "stacks": yes,
                "waits": yes,
                "gil": Capability(False, "this build has no GIL", "") if without_gil else yes,
                "locks": yes,
                "held-locks": yes,
                "peers": no("what descriptors lead to"),
                "counters": no("what the kernel counts"),
                "collecting": yes,
                "queues": yes,
                "relations": yes,
                "tasks": yes,
                "labels": Capability(False, "labels are not looked for in core files", _WHILE_IT_RUNS),
                "switches": no("what threads did before"),
                "wakers": no("what threads did before"),
            },
        )

    def open(self, target: Target, sink: Sink) -> None:
        """Raises Unsupported, BadCore."""
        facts, core = self.facts, self._core
        waits = WaitReader(facts, sink, core.read)
        reader = self._open(_Unchanging(), self._mine, self._source, waits, sink)
        search = Search(reader, self._codes, sink, self._table, self._facts, self._tasks.stacks)
        self.looks = [RelationReader(search, lambda: 1 << 62)]

    @property
    def threads_seen(self) -> int:
        """Threads of Python's that were read."""
        return sum(bool(row.states) for row in self._table.by_tid.values())

    def lacks(self) -> str:
        """What of its threads the core lacks, in words; '' when nothing."""
        without = self._core.lacking_stacks
        return f"the stacks of {len(without)} of {plural(len(self._core.threads), 'thread')}" if without else ""

    # ------------------------------------------------------------------ what is missing

    def _refuse_if_empty(self, runtime: Runtime) -> None:
        """The kernel has threads, and Python none: that was read of something else than the process's memory."""
        memory, offsets = self._mine, layout(self._mine, runtime)
        try:
            interpreter = memory.word(runtime.address + offsets["rt.interpreters_head"])
            first = memory.word(interpreter + offsets["is.threads_head"]) if interpreter else 0
        except BadAddress:
            first = 0
        if not first:
            self._refuse_if_incomplete()
            raise BadCore(
                f"the interpreter has no thread, where the process had {len(self._core.threads)}: "
                "it had not begun yet, or was at its end"
            )

    def _refuse_if_incomplete(self) -> None:
        """Raises BadCore with the first of the reasons why something needed is not there."""
        core = self._core
        if core.missing:
            files = [f"{clean(path, 300)} {why}" for path, why in sorted(core.missing.items(), key=_likely_first)]
            more = f", and {len(files) - _NAMED} more" if len(files) > _NAMED else ""
            raise BadCore(
                f"files that the process ran are needed and cannot be used: {', '.join(files[:_NAMED])}{more}",
                "give its program with --exe PYTHON, or the folder in which its file system is seen (a container's "
                "image, unpacked) with --sysroot DIR",
            )
        if core.cut:
            raise BadCore(
                f"the core file is cut off: the ends of {core.cut} of {plural(core.segments, 'segment')} are missing, "
                "and what is needed is in them",
                "write it anew, with room on the disk and without a limit (ulimit -c unlimited); copy it with "
                "cp --sparse=always",
            )
        if core.absent:
            raise BadCore(
                "the core file was written without memory that is needed",
                f"before it is written: echo 0x33 > /proc/PID/coredump_filter (here PID was {core.pid})",
            )


def _likely_first(item: tuple[str, str]) -> tuple[bool, bool, str]:
    name = item[0].rpartition("/")[2]
    return "python" not in name, not name.startswith("lib"), item[0]


_NO_PYTHON = "there is no CPython runtime in this core file: is it a Python program's?"


def _inner_numbers(core: CoreFile) -> dict[int, int]:
    """tid -> as the process itself numbers the thread; {} where the numbers are the same, or cannot be told.

    gdb writes the numbers of the host that it ran on, CPython knows those of its container. The C library has the
    latter in `struct pthread`, at a place that depends on it: the one at which all threads have different ones.
    """
    own = {thread.tid for thread in core.threads}
    for at in PTHREAD_TID:
        found: dict[int, int] = {}
        for thread in core.threads:
            handle = core.handles.get(thread.tid, 0)
            word = core.read(handle + at, 4) if handle else b""
            number = int.from_bytes(word, "little") if len(word) == 4 else 0
            if 0 < number < _MOST_TID:
                found[thread.tid] = number
        if len(found) * 2 > len(own) and len(set(found.values())) == len(found):
            return {} if set(found.values()) <= own else found
    return {}

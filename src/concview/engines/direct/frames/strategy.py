"""How the frames of an interpreter are read: in chunks (3.11 and newer), or one by one. Chosen once, here."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from concview.cpython.code import Codes
from concview.cpython.heap.code import HeapCodes
from concview.cpython.heap.native import NativeIds
from concview.cpython.heap.objects import HeapObjects
from concview.cpython.memory import Memory
from concview.cpython.objects import Objects
from concview.cpython.offsets import Offsets
from concview.cpython.runtime import Runtime
from concview.engines.base import Tally
from concview.engines.direct.frames.heap_sampler import HeapSampler
from concview.engines.direct.frames.sampler import Sampler
from concview.engines.direct.frames.stack_sampler import StackSampler
from concview.linux.namespaces import ThreadNumbers
from concview.source.facts import SourceFacts


class Readers(NamedTuple):
    objects: Objects
    codes: Codes
    sampler: Sampler


def readers(
    memory: Memory,
    runtime: Runtime,
    offsets: Offsets,
    frame: Callable[[str, str, int], int],
    source: SourceFacts,
    numbers: ThreadNumbers,
    tally: Tally,
) -> Readers:
    """`frame` interns (function, file, line); `source` names functions that do not know their qualified names. Raises
    Unsupported."""
    if offsets.features.heap_frames:
        objects: Objects = HeapObjects(memory, offsets)
        heap_codes = HeapCodes(objects, frame, source)
        native = NativeIds(memory, runtime, offsets, numbers)
        return Readers(objects, heap_codes, HeapSampler(memory, runtime, offsets, heap_codes, native, tally))
    objects = Objects(memory, offsets)
    codes = Codes(objects, frame)
    return Readers(objects, codes, StackSampler(memory, runtime, offsets, codes, numbers, tally))


def check(memory: Memory, runtime: Runtime, offsets: Offsets) -> None:
    """Raises Unsupported where `readers` would."""
    if offsets.features.heap_frames:
        NativeIds(memory, runtime, offsets, ThreadNumbers(memory.facts))

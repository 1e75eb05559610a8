"""Who has to do with what a thread waits for, as looks beside the samples: see `reader`, `descriptors`."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from concview.cpython.code import Codes
from concview.cpython.locks import LockReader
from concview.engines.base import Look
from concview.engines.direct.relations.descriptors import DescriptorReader
from concview.engines.direct.relations.reader import RelationReader
from concview.engines.direct.relations.search import Search, Suspended
from concview.engines.direct.relations.semaphores import SemaphoreReader
from concview.engines.direct.thread_table import ThreadTable
from concview.model import Peer
from concview.sink import Sink
from concview.source.facts import SourceFacts


def relations(
    reader: LockReader,
    codes: Codes,
    sink: Sink,
    table: ThreadTable,
    facts: SourceFacts,
    ran: Callable[[], int],
    tasks: Suspended,
    peers: Callable[[], Mapping[int, Peer]],
) -> list[Look]:
    """The looks of one engine. `ran`: when a thread was on a CPU for the last time, as far as is known. `tasks`: the
    frames of suspended tasks. `peers`: connections at which tasks wait, by their ids."""
    search = Search(reader, codes, sink, table, facts, tasks)
    return [RelationReader(search, ran), DescriptorReader(search, peers), SemaphoreReader(search)]

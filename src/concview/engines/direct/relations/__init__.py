"""Who has to do with what a thread waits for, twice a second: see `reader`."""

from __future__ import annotations

from concview.engines.direct.relations.reader import RelationReader as RelationReader

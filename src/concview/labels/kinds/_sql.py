"""What kinds for databases share."""

from __future__ import annotations

from concview.labels.access import MAX_TEXT, Ref
from concview.labels.base import Raw
from concview.model import WorkKind


def query(system: str, statement: Ref, *others: Ref) -> Raw | None:
    """`others`: objects of this call alone, or of its connection. A statement that is no text has none."""
    if not statement:
        return None
    key = (system, statement.address, *(o.address for o in others))
    return Raw(WorkKind.QUERY, key, statement=statement.text(MAX_TEXT))

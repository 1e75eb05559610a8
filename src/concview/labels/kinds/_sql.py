"""What kinds for databases share."""

from __future__ import annotations

from concview.labels.access import MAX_TEXT, Ref
from concview.labels.base import Raw
from concview.model import WorkKind


def query(system: str, statement: Ref, *others: Ref) -> Raw | None:
    """`others`: objects of this call alone, or of its connection. A statement that is no text has none."""
    if not statement:
        return None
    text = statement.text(MAX_TEXT)
    return Raw(WorkKind.QUERY, (system, statement.address, text, *(o.address for o in others)), statement=text)

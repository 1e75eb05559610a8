"""GraphQL by graphql-core, which Strawberry, Ariadne and Graphene are made of: which operation a request asks for. Seen
with graphql-core 3.2 and 3.3; Strawberry 0.199 and 0.341, Ariadne 0.19 and 1.1, Graphene 3.4.

Told are its kind and its outermost fields, as far as the program's own schema has them; the name of an operation,
aliases and arguments come with the request.
"""

from __future__ import annotations

from concview.labels.base import At, Kind, Raw, View
from concview.model import WorkKind

#: Fields that are told of an operation, and looked at.
_MOST, _LOOKED_AT = 3, 20


def read(view: View) -> Raw | None:
    running = view.local("self")
    operation = running.attr("operation")
    kind = operation.attr("operation", "_value_").text(16)
    if kind not in ("query", "mutation", "subscription"):
        return None
    chosen = operation.attr("selection_set", "selections")
    # What is in the schema is in the program's source.
    known = running.attr("schema", f"{kind}_type", "fields")
    names: list[str] = []
    for i in range(_LOOKED_AT):
        field = chosen.at(i)
        if not field:
            break
        name = field.attr("name", "value").text(100) if field.type.endswith("FieldNode") else ""
        names.append(name if name and known.item(name) else "?")
    told = list(dict.fromkeys(names))
    more = ["..."] if len(told) > _MOST else []
    return Raw(
        WorkKind.REQUEST,
        ("graphql", running.address, operation.address),
        operation=f"{kind} {', '.join([*told[:_MOST], *more])}".rstrip(),
        name=operation.attr("name", "value").text(100),
    )


_OLD, _NEW = "graphql/execution/execute.py", "graphql/execution/executor.py"
KIND = Kind(
    "graphql",
    (
        At(_OLD, "ExecutionContext.execute_operation"),
        At(_OLD, "ExecutionContext.execute_field.<locals>.await_result"),  # of the whole nothing leads to it
        At(_NEW, "Executor.execute_operation"),
        At(_NEW, "Executor.execute_operation.<locals>.await_result"),
    ),
    read,
)

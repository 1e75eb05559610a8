"""redis-py, sync and async: the command's name, never a key. Seen with 5.3 and 8.1."""

from __future__ import annotations

from concview.labels.base import At, Kind, Raw, View
from concview.model import WorkKind


def read(view: View) -> Raw | None:
    client = view.local("self")
    if client.type.endswith("Pipeline"):
        stack = view.local("stack") or client.attr("command_stack")
        key = ("redis", client.address, stack.address)
        return Raw(WorkKind.QUERY, key, command="PIPELINE") if stack else None
    arguments = view.local("args")
    command = arguments.at(0)
    if not command:
        return None
    return Raw(WorkKind.QUERY, ("redis", client.address, arguments.address), command=command.text(40))


KIND = Kind(
    "redis",
    (
        At("redis/client.py", "Redis.execute_command"),
        At("redis/client.py", "Pipeline.execute"),
        At("redis/asyncio/client.py", "Redis.execute_command"),
        At("redis/asyncio/client.py", "Pipeline.execute"),
        At("redis/cluster.py", "RedisCluster.execute_command"),
        At("redis/asyncio/cluster.py", "RedisCluster.execute_command"),
    ),
    read,
)

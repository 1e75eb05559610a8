"""valkey-py, which began as redis-py 5 and has its frames, sync and async. Seen with 6.2."""

from __future__ import annotations

from concview.labels.base import At, Kind
from concview.labels.kinds import redis

KIND = Kind(
    "valkey",
    (
        At("valkey/client.py", "Valkey.execute_command"),
        At("valkey/client.py", "Pipeline.execute"),
        At("valkey/asyncio/client.py", "Valkey.execute_command"),
        At("valkey/asyncio/client.py", "Pipeline.execute"),
        At("valkey/cluster.py", "ValkeyCluster.execute_command"),
        At("valkey/asyncio/cluster.py", "ValkeyCluster.execute_command"),
    ),
    redis.read,
)

"""Tasks of asyncio and trio over time, as read from memory: to them what the rest of `analysis` is to threads."""

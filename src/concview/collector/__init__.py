"""The sampling process: schedule, batching, self-measured cost, back-off. Run as `python -m concview.collector`."""

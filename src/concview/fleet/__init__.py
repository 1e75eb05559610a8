"""What many hosts are watched with: metrics of watched processes for Prometheus. The extra `concview[fleet]`.

`watch.py` keeps a session a process, `metrics.py` turns snapshots into metric families, `endpoint.py` serves them on
the loopback address or a Unix socket. Storing, alerting and joining hosts is Prometheus' work.
"""

"""dask's scheduler and worker in one process, idle."""

from __future__ import annotations

import time

NEEDS = ("distributed",)

if __name__ == "__main__":
    from dask.distributed import Client, LocalCluster

    client = Client(LocalCluster(n_workers=1, threads_per_worker=4, processes=False, dashboard_address=None))
    client.submit(sum, [1, 2]).result()
    time.sleep(2)
    print("ready", flush=True)
    while True:
        time.sleep(1)

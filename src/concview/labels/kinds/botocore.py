"""AWS's client, sync (boto3, botocore) and async (aiobotocore): the service and its operation, and the endpoint's host.
Seen with 1.43 and aiobotocore 3.
"""

from __future__ import annotations

from concview.labels.base import At, Kind, Raw, View
from concview.labels.kinds._http import host_of
from concview.model import WorkKind


def read(view: View) -> Raw | None:
    client, operation = view.local("self"), view.local("operation_name")
    meta = client.attr("meta")
    service = meta.attr("_service_model", "_service_name").text(60)
    if not operation or not service:
        return None
    key = ("botocore", client.address, operation.address, view.local("api_params").address)
    host = host_of(meta.attr("_endpoint_url").text())
    return Raw(WorkKind.CALL, key, method="RPC", rpc=f"/{service}/{operation.text(100)}", host=host)


KIND = Kind(
    "botocore",
    (
        At("botocore/client.py", "BaseClient._make_api_call"),
        At("aiobotocore/client.py", "AioBaseClient._make_api_call"),
    ),
    read,
)

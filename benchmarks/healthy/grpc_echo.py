"""A gRPC server with four threads and one client, twenty calls a second."""

from __future__ import annotations

import time
from concurrent import futures

NEEDS = ("grpc",)

if __name__ == "__main__":
    import grpc

    class Echo(grpc.GenericRpcHandler):
        def service(self, details: grpc.HandlerCallDetails) -> grpc.RpcMethodHandler:
            return grpc.unary_unary_rpc_method_handler(lambda request, context: request)

    server = grpc.server(futures.ThreadPoolExecutor(4), (Echo(),))
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    call = grpc.insecure_channel(f"127.0.0.1:{port}").unary_unary("/echo/say")
    call(b"x", timeout=5)
    print("ready", flush=True)
    while True:
        call(b"x", timeout=5)
        time.sleep(0.05)

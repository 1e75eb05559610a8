"""grpc.aio: one handler has a lock and waits for a peer that says nothing, the others for the lock."""

import asyncio
import signal

import grpc

EXPECT = "held up: lock"
NEEDS = ("grpc",)
signal.alarm(600)


async def silent(reader, writer):
    await asyncio.sleep(1000)


async def main():
    lock = asyncio.Lock()
    upstream = await asyncio.start_server(silent, "127.0.0.1", 0)

    async def price(request, context):
        async with lock:
            reader, _ = await asyncio.open_connection("127.0.0.1", upstream.sockets[0].getsockname()[1])
            return await reader.readline()

    server = grpc.aio.server()
    method = grpc.unary_unary_rpc_method_handler(price)
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("prices", {"Get": method}),))
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    call = grpc.aio.insecure_channel(f"127.0.0.1:{port}").unary_unary("/prices/Get")
    calls = [asyncio.ensure_future(call(b"")) for _ in range(7)]
    await asyncio.sleep(1)
    print("ready", flush=True)
    await asyncio.gather(*calls)


asyncio.run(main())

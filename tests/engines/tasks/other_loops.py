"""Tasks that asyncio's C module does not make. `other_loops.py trio|grpc|anyio|python`; prints 'ready' or 'missing'."""

import asyncio
import sys
import time

KIND = sys.argv[1]


def with_trio():
    import trio

    limiter, lock, tokens = trio.CapacityLimiter(1), trio.Lock(), trio.CapacityLimiter(1)

    async def sleeper():
        await trio.sleep(100_000)

    async def limited():
        async with limiter:
            await trio.sleep(100_000)

    async def locked():
        async with lock:
            await trio.sleep(100_000)

    async def event():
        await trio.Event().wait()

    by_calls, full = trio.Lock(), trio.open_memory_channel(0)

    async def calls():
        await by_calls.acquire()
        try:
            await trio.sleep(100_000)
        finally:
            by_calls.release()

    async def waits_for_calls():
        async with by_calls:
            pass

    async def sends(channel):
        await channel.send(1)

    async def takes(channel):
        await trio.sleep(100_000)
        await channel.receive()

    async def receive(channel):
        await channel.receive()

    async def read(stream):
        await stream.receive_some(10)

    async def thread():
        await trio.to_thread.run_sync(time.sleep, 100_000)

    async def nested():
        def outer():
            trio.from_thread.run(inner)

        async def inner():
            await trio.to_thread.run_sync(time.sleep, 0, limiter=tokens)

        await trio.to_thread.run_sync(outer, limiter=tokens)

    async def main():
        _send, channel = trio.open_memory_channel(0)
        listeners = await trio.open_tcp_listeners(0, host="127.0.0.1")
        port = listeners[0].socket.getsockname()[1]
        stream = await trio.open_tcp_stream("127.0.0.1", port)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(sleeper, name="sleep||sleep")
            nursery.start_soon(limited, name="sleep|Limiter|limiter")
            nursery.start_soon(locked, name="sleep|Lock|lock")
            nursery.start_soon(calls, name="sleep|Lock|calls")
            nursery.start_soon(takes, full[1], name="sleep||takes")
            await trio.sleep(0.1)
            nursery.start_soon(waits_for_calls, name="lock||calls")
            nursery.start_soon(sends, full[0], name="queue||full")
            nursery.start_soon(limited, name="pool||limiter")
            nursery.start_soon(locked, name="lock||lock")
            nursery.start_soon(event, name="lock||event")
            nursery.start_soon(receive, channel, name="queue||channel")
            nursery.start_soon(read, stream, name="io||stream")
            nursery.start_soon(thread, name="executor||thread")
            nursery.start_soon(nested, name="pool|Limiter|nested")
            await trio.sleep(0.2)
            print("ready", flush=True)

    trio.run(main)


def with_grpc():
    import grpc

    held = asyncio.Lock()

    async def handler(request, context):
        async with held:
            await asyncio.sleep(100_000)

    async def main():
        server = grpc.aio.server()
        method = grpc.unary_unary_rpc_method_handler(handler)
        server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("service", {"Method": method}),))
        port = server.add_insecure_port("127.0.0.1:0")
        await server.start()
        call = grpc.aio.insecure_channel(f"127.0.0.1:{port}").unary_unary("/service/Method")
        calls = [asyncio.ensure_future(call(b"")) for _ in range(3)]
        await asyncio.sleep(1)
        print("ready", flush=True)
        await asyncio.gather(*calls)

    asyncio.run(main())


def with_anyio():
    import anyio

    async def node(out, into):
        await out.send(1)
        await into.receive()

    async def main():
        (out, there), (back, into) = anyio.create_memory_object_stream(0), anyio.create_memory_object_stream(0)
        async with anyio.create_task_group() as group:
            group.start_soon(node, out, into, name="one")
            group.start_soon(node, back, there, name="other")
            await anyio.sleep(0.2)
            print("ready", flush=True)

    anyio.run(main)


def with_python():
    asyncio.Task = asyncio.tasks.Task = asyncio.tasks._PyTask

    async def main():
        print("ready", flush=True)
        await asyncio.sleep(100_000)

    asyncio.run(main())


try:
    globals()[f"with_{KIND}"]()
except ImportError:
    print("missing")
    print("ready", flush=True)

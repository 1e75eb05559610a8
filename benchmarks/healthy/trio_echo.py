"""An echo server of trio with one client, ten messages a second."""

from __future__ import annotations

NEEDS = ("trio",)

if __name__ == "__main__":
    import trio

    async def echo(stream: trio.SocketStream) -> None:
        async with stream:
            async for data in stream:
                await stream.send_all(data)

    async def client(port: int) -> None:
        async with await trio.open_tcp_stream("127.0.0.1", port) as stream:
            while True:
                await stream.send_all(b"x")
                await stream.receive_some()
                await trio.sleep(0.1)

    async def main() -> None:
        async with trio.open_nursery() as nursery:
            listeners = await nursery.start(trio.serve_tcp, echo, 0)
            nursery.start_soon(client, listeners[0].socket.getsockname()[1])
            await trio.sleep(0.5)
            print("ready", flush=True)

    trio.run(main)

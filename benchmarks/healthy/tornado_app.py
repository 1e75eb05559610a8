"""tornado with a client of its own, ten requests a second."""

from __future__ import annotations

import asyncio

NEEDS = ("tornado",)

if __name__ == "__main__":
    import tornado.httpclient
    import tornado.web

    class Page(tornado.web.RequestHandler):
        async def get(self) -> None:
            await asyncio.sleep(0.01)
            self.write("hello")

    async def main() -> None:
        server = tornado.web.Application([("/", Page)]).listen(0, "127.0.0.1")
        port = next(iter(server._sockets.values())).getsockname()[1]
        client = tornado.httpclient.AsyncHTTPClient()
        print("ready", flush=True)
        while True:
            await client.fetch(f"http://127.0.0.1:{port}/")
            await asyncio.sleep(0.1)

    asyncio.run(main())

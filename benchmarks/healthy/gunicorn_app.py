"""A WSGI application under gunicorn: one worker process with four threads, which is the one that is watched."""

from __future__ import annotations

import os
import time
from typing import Any, Callable  # noqa: UP035

from _stand import browse, free_port

NEEDS = ("gunicorn",)


def app(environ: dict[str, Any], respond: Callable[..., Any]) -> list[bytes]:
    time.sleep(0.005)
    respond("200 OK", [("Content-Type", "text/plain"), ("Content-Length", "1000")])
    return [b"hello" * 200]


def main() -> None:
    from gunicorn.app.base import BaseApplication

    port = free_port()

    class Server(BaseApplication):  # type: ignore[misc]
        def load_config(self) -> None:
            settings = {
                "bind": f"127.0.0.1:{port}", "workers": 1, "threads": 4, "worker_class": "gthread", "loglevel": "error",
                "post_worker_init": lambda worker: print(f"watch {os.getpid()}\nready", flush=True),
                "when_ready": lambda server: browse(port),
            }  # fmt: skip
            for name, value in settings.items():
                self.cfg.set(name, value)

        def load(self) -> Any:
            return app

    Server().run()


if __name__ == "__main__":
    main()

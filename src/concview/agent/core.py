"""The agent: one thread inside the target, which tells the dashboard once a tick what only the inside knows.

Its promises. It never raises into the program. It never holds anything the program may wait for. It leaves within five
seconds when the dashboard is killed or frozen, and takes everything with it: profiler hooks, callbacks, its modules.
A forked child carries nothing of it. The interpreter's shutdown does not wait for it.

Runs inside targets: Python 3.8 and newer, standard library plus yappi only.
"""

from __future__ import annotations

import os
import sys
import time

from . import calls, counts, fork, tasks, waits
from .originals import cooperative
from .wire import Gone, Link, plain, same

TYPE_CHECKING = False  # `typing` is not imported for its names alone: that costs a target milliseconds
if TYPE_CHECKING:
    from typing import Any

#: Version of what is said on the wire.
PROTOCOL = 1
#: A dashboard that says nothing for so long (seconds) is frozen or gone: it pings every second.
SILENCE_S = 3.0
#: Between two reports (seconds).
PERIOD_S = 1.0
#: The dashboard proves itself within this time (seconds).
WELCOME_S = 3.0
#: A window of exact profiling lasts no longer (seconds), whatever is asked for.
MAX_WINDOW_S = 60.0


class Agent:
    """One visit: from the greeting to the last trace removed."""

    def __init__(self, mine: str, theirs: str, yappi_folders: list[str]) -> None:
        self.alive = True
        self.pid = os.getpid()
        self._mine, self._theirs = mine, theirs
        self._folders = yappi_folders
        self._link: Link | None = None
        self._window: Any = None
        self._pauses = waits.Pauses()
        self._tasks = tasks.Tasks()
        self._wanted = time.monotonic()
        self.greeted = False  #: the dashboard is there and has proved itself
        self.asked = 0  #: requests for a window that were answered, by opening one or by a refusal
        self._has_gil = bool(getattr(sys, "_is_gil_enabled", _yes)())

    # ------------------------------------------------------------ life

    def visit(self, connected: Any, forget: Any = None) -> None:
        """Serve one dashboard until it or the agent leaves; then undo everything and call `forget()`.

        Raises nothing but what ends the thread anyway. The farewell is the very last: who hears it may come again.
        """
        farewell = ""
        _name_thread()
        undo = fork.in_child(self._in_child)
        try:
            self._link = Link(connected)
            pending = self._greet(self._link)
            self.greeted = True
            self._pauses.start()
            farewell = self._serve(self._link, pending)
        except Gone:
            pass
        except Exception as error:
            farewell = "%s: %s" % (type(error).__name__, plain(str(error)))
        finally:
            self.alive = False
            undo()
            self._leave()
            if forget is not None:
                forget()
            self._hang_up(farewell)

    def _greet(self, link: Link) -> list[dict[str, Any]]:
        """What was said behind the welcome."""
        link.send(
            {
                "t": "hello",
                "protocol": PROTOCOL,
                "pid": self.pid,
                "token": self._mine,
                "python": "%d.%d.%d" % sys.version_info[:3],
                "gil": self._has_gil,
                "library": cooperative(),
                "asyncio": "asyncio" in sys.modules,
                "tid": _native_id(),
            }
        )
        end = time.monotonic() + WELCOME_S
        while True:
            messages = link.receive(max(0.0, end - time.monotonic()))
            if messages:
                if messages[0]["do"] != "welcome" or not same(messages[0].get("token"), self._theirs):
                    raise Gone("the other side does not know the token")
                return messages[1:]
            if time.monotonic() >= end:
                raise Gone("no welcome")

    def _serve(self, link: Link, pending: list[dict[str, Any]]) -> str:
        """Why it ended, in words for the dashboard; '' when there is nobody to tell."""
        heard = time.monotonic()
        due = heard + 0.1
        while True:
            now = time.monotonic()
            self._wanted = now + max(0.0, min(due - now, 0.5))
            messages, pending = pending or link.receive(self._wanted - now), []
            now = time.monotonic()
            if messages:
                heard = now
            for message in messages:
                if message["do"] == "bye":
                    self._close_window()
                    return "asked"
                self._obey(link, message)
            # Looked at after reading: a target that was stopped itself finds the pings of that time waiting.
            if now - heard > SILENCE_S:
                return ""
            if now >= due:
                due = now + PERIOD_S
                self._report(link, max(0.0, now - self._wanted))

    def _obey(self, link: Link, message: dict[str, Any]) -> None:
        try:
            if message["do"] == "calls":
                self._open_window(message)
            elif message["do"] == "stop":
                self._close_window()
            elif message["do"] != "ping":
                raise calls.Refused("not understood: %s" % plain(message["do"], 40))
        except calls.Refused as refused:
            link.send(
                {
                    "t": "refused",
                    "what": plain(message["do"], 40),
                    "why": str(refused),
                    "help": refused.remedy,
                    "code": refused.code,
                }
            )
        except Gone:
            raise
        except Exception as error:  # a program may have replaced anything that is used here
            self._say_failed(link, message["do"], error)
        self.asked += message["do"] == "calls"

    def _say_failed(self, link: Link, what: str, error: Exception) -> None:
        link.send(
            {
                "t": "refused",
                "what": plain(what, 40),
                "why": "%s: %s" % (type(error).__name__, plain(str(error))),
                "help": "",
            }
        )

    def _leave(self) -> None:
        """Undo everything, each part whether or not another one fails."""
        for undo in (self._drop_window, self._pauses.stop):
            try:
                undo()
            except Exception:
                pass

    def _hang_up(self, farewell: str = "") -> None:
        link = self._link
        if link is not None:
            try:
                if farewell:
                    link.send({"t": "bye", "why": farewell})
            except Gone:
                pass
            link.close()

    def _in_child(self) -> None:
        """In a forked child's only thread, before it runs anything of its own."""
        try:
            if self.alive:
                self.alive = False
                if self._window is not None:
                    self._window.abandon()
                    self._window = None
                self._pauses.stop()
                self._hang_up()
        except BaseException:
            pass

    # ------------------------------------------------------------ reports

    def _report(self, link: Link, late: float) -> None:
        began, spent = time.perf_counter(), time.thread_time()
        frames: dict[int, Any] = sys._current_frames() if self._has_gil else {}
        natives = calls._native_ids(sys.modules["threading"]) if "threading" in sys.modules else {}
        problem = ""
        try:
            queues, pools = waits.look(frames, natives)
            loops = self._tasks.look(frames, natives)
        except Exception as error:
            queues, pools, loops = [], [], []
            problem = "%s: %s" % (type(error).__name__, plain(str(error)))
        frames.clear()  # no thread's locals are kept alive by us
        link.send(
            {
                "t": "report",
                "queues": queues,
                "pools": pools,
                "loops": loops,
                "pauses": self._pauses.take(),
                "late": late,
                "wall": time.perf_counter() - began,
                "cpu": time.thread_time() - spent,
                "blocks": sys.getallocatedblocks(),
                "problem": problem,
            }
        )
        window = self._window
        if window is not None:
            if window.over:
                self._close_window()
            else:
                link.send({"t": "calls", "running": True, "clean": True, **window.account(False)})

    # ------------------------------------------------------------ windows

    def _open_window(self, message: dict[str, Any]) -> None:
        if self._window is not None:
            raise calls.Refused("a window is open already")
        seconds = message.get("seconds")
        if not isinstance(seconds, (int, float)) or not 0 < seconds <= MAX_WINDOW_S:
            raise calls.Refused("a window lasts up to %d seconds" % MAX_WINDOW_S)
        if message.get("source") == "monitoring":
            window: Any = counts.CountWindow(seconds)
        else:
            window = calls.CallWindow(str(message.get("clock")), seconds, self._folders)
        self._window = window
        window.start()
        if self._link is not None:
            self._link.send(
                {
                    "t": "opened",
                    "source": window.source,
                    "clock": window.clock,
                    "seconds": seconds,
                    "origin": window.origin,
                }
            )

    def _close_window(self) -> None:
        window, self._window = self._window, None
        if window is None:
            return
        clean = window.stop()
        account = window.account(True)
        if clean:
            window.clear()
        if self._link is None:
            return
        # In parts: one long message would hold the GIL while it is made.
        rows = account.pop("rows")
        parts = [rows[i : i + 250] for i in range(0, len(rows), 250)] or [[]]
        for number, part in enumerate(parts, 1):
            self._link.send(
                {"t": "calls", "running": False, "clean": clean, "rows": part, "more": number < len(parts), **account}
            )

    def _drop_window(self) -> None:
        window, self._window = self._window, None
        if window is not None and window.stop():
            window.clear()


def _name_thread() -> None:
    """For ps, top and the view from outside: the kernel's name of this thread, at most 15 bytes."""
    try:
        with open("/proc/self/task/%d/comm" % _native_id(), "wb", 0) as file:
            file.write(b"concview-agent")
    except OSError:
        pass


def _yes() -> bool:
    return True


def _native_id() -> int:
    import _thread

    get = getattr(_thread, "get_native_id", None)
    return int(get()) if get is not None else 0

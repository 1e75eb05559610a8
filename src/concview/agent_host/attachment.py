"""From asking a target to the agent's last word, as a machine that is polled: the collector must not wait for anything.

Times in seconds of `time.monotonic()`.
"""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Callable
from pathlib import Path

from concview.agent_host.connection import Connection, same
from concview.agent_host.inject.request import CannotInject, Request, prepare
from concview.agent_host.messages import AgentBye, Hello, Message, Occupied
from concview.agent_host.rendezvous import Meeting, find_listener
from concview.cpython.memory import BadAddress
from concview.errors import TargetGone

#: As `agent.core.PROTOCOL`.
PROTOCOL = 1
#: When the main thread has not taken a request after this time, other threads are asked, too.
OTHERS_AFTER_S = 0.02
#: When nobody has, the user is told that nothing in the target runs Python code.
TELL_AFTER_S = 0.3
#: Between two pokes at first, and later.
POKE_S, POKE_LATER_S = 0.005, 0.1
#: A request that was taken leads to an agent within this time, also when many threads compete for the GIL.
HELLO_S = 10.0
PING_S = 1.0
#: An agent that says nothing for so long cannot run: the GIL is held by native code.
SILENT_S = 3.0


class Attachment:
    """`start`, then `poll` often. `state`: 'asking', 'attached', 'ended'; `text` and `remedy` say more, for people.

    `looked_at` tells whether there is still somebody for whom the agent works. While there is not, the agent hears
    nothing from us, and leaves.
    """

    def __init__(
        self,
        pid: int,
        patience_s: float = 10.0,
        yappi_folders: list[str] | None = None,
        looked_at: Callable[[], bool] = lambda: True,
    ) -> None:
        self.pid = pid
        self.state = "new"
        self.text = self.remedy = ""
        self.hello: Hello | None = None
        self.invited = False  #: the program had called `listen()`
        self.requested = 0.0
        self.taken_at = 0.0
        self.attached_at = 0.0
        self._patience_s = patience_s
        self._looked_at = looked_at
        self._folders = own_yappi() if yappi_folders is None else yappi_folders
        self._meeting: Meeting | None = None
        self._request: Request | None = None
        self._visitors: list[Connection] = []
        self._tokens = ("", "")
        self._connection: Connection | None = None
        self._poke_at = self._ping_at = self._heard_at = 0.0

    # ------------------------------------------------------------ asking

    def start(self) -> None:
        """Ask the target. CannotInject, NotPermitted or TargetGone when that is not possible; nothing is left then."""
        endpoint = find_listener(self.pid)
        connected = endpoint.connect() if endpoint is not None else None
        self.requested = time.monotonic()
        self.state = "asking"
        if endpoint is not None and connected is not None:
            self.invited = True
            self._tokens = (endpoint.theirs, endpoint.mine)
            self.taken_at = self.requested
            self._visitors.append(Connection(connected))
            return
        try:
            self._meeting = Meeting(self.pid, self._folders)
            self._tokens = (self._meeting.theirs, self._meeting.mine)
            self._request = prepare(self.pid, self._meeting.line, self._meeting.inside, self._meeting.folder)
            self._meeting.hand_over(self.pid)
            self.requested = time.monotonic()
            self._request.poke(again=False)
        except BadAddress as error:
            self.close()
            raise CannotInject(f"the target's memory could not be written ({error})") from None
        except BaseException:
            self.close()
            raise

    def poll(self) -> list[Message]:
        """What the agent said since the last call. Never raises; never blocks longer than a few system calls."""
        if self.state == "attached":
            return self._listen()
        if self.state == "asking":
            try:
                return self._ask()
            except TargetGone:
                self._end("the target has gone")
            except BadAddress as error:
                self._end(f"the target's memory could not be written ({error})")
        return []

    def _ask(self) -> list[Message]:
        now = time.monotonic()
        waited = now - self.requested
        self._look_at_visitors()
        if self.state != "asking":
            return self._listen() if self.state == "attached" else []
        request = self._request
        if request is not None and not self.taken_at and now >= self._poke_at:
            self._poke_at = now + (POKE_S if waited < TELL_AFTER_S else POKE_LATER_S)
            if request.taken():
                self.taken_at = now
            elif waited > OTHERS_AFTER_S:
                request.poke(again=True)
        if self.taken_at:
            if now - self.taken_at > HELLO_S:
                self._end(
                    "the target took the request, but no agent came (it may not see the folder for temporary "
                    "files, or another concview is attached)"
                )
        elif waited > self._patience_s:
            self._end(
                "no thread of the target has run Python code for "
                f"{waited:.0f} s: it waits or is in native code; the request was withdrawn",
                "try again when it works, or call concview.agent.listen() in the program",
            )
        elif waited > TELL_AFTER_S and not self.text:
            self.text = "the target waits or is in native code; the agent starts when Python runs again"
        return []

    def _look_at_visitors(self) -> None:
        if self._meeting is not None:
            while (connected := self._meeting.accept()) is not None:
                try:
                    visitor = Connection(connected)
                except OSError:
                    connected.close()
                    continue
                if visitor.peer_pid == self.pid and len(self._visitors) < 8:
                    self._visitors.append(visitor)
                else:
                    visitor.close()  # not who was asked
        for visitor in list(self._visitors):
            said = visitor.hear()
            if not said and not visitor.closed:
                continue
            self._visitors.remove(visitor)
            first = said[0] if said else None
            if isinstance(first, Occupied) and same(first.token, self._tokens[0]):
                visitor.close()
                self._end("another concview is already inside this process", "leave that one first")
                return
            if (
                isinstance(first, Hello)
                and visitor.peer_pid == self.pid
                and first.protocol == PROTOCOL
                and same(first.token, self._tokens[0])
            ):
                self._welcome(visitor, first)
                return
            visitor.close()
            if self.invited:
                self._end("what listens for concview in this process is not an agent of this version")

    def _welcome(self, visitor: Connection, hello: Hello) -> None:
        visitor.say(do="welcome", token=self._tokens[1])
        self._connection, self.hello = visitor, hello
        self.state, self.text = "attached", ""
        self.attached_at = self._heard_at = time.monotonic()
        self.taken_at = self.taken_at or self.attached_at
        # At once: a request that is still pending somewhere can only do harm now.
        self._put_away()

    def _put_away(self) -> None:
        """Withdraw the request; remove the folder."""
        request, self._request = self._request, None
        if request is not None:
            with contextlib.suppress(TargetGone, BadAddress):
                request.withdraw()
            request.close()
        for visitor in self._visitors:
            visitor.close()
        self._visitors.clear()
        if self._meeting is not None:
            self._meeting.close()
            self._meeting = None

    # ------------------------------------------------------------ attached

    def _listen(self) -> list[Message]:
        assert self._connection is not None
        now = time.monotonic()
        messages = self._connection.hear()
        if messages:
            self._heard_at = now
        if now >= self._ping_at:
            self._ping_at = now + PING_S
            if self._looked_at():
                self._connection.say(do="ping")
        self.text = "native code holds the GIL: the agent cannot run" if now - self._heard_at > SILENT_S else ""
        for message in messages:
            if isinstance(message, AgentBye):
                self._end("" if message.why == "asked" else f"the agent left: {message.why}")
        if self._connection.closed and self.state == "attached":
            self._end(self._connection.closed)
        return messages

    def open_window(self, clock: str, seconds: float, source: str = "yappi") -> None:
        """Ask for a window of exact profiling: `clock` 'wall' or 'cpu', `source` 'yappi' or 'monitoring'."""
        if self._connection is not None:
            self._connection.say(do="calls", clock=clock, seconds=seconds, source=source)

    def close_window(self) -> None:
        if self._connection is not None:
            self._connection.say(do="stop")

    # ------------------------------------------------------------ end

    def leave(self) -> None:
        """Ask the agent to go; its last words still arrive by `poll`."""
        if self.state == "attached" and self._connection is not None:
            self._connection.say(do="bye")
        else:
            self.close()

    def _end(self, text: str, remedy: str = "") -> None:
        self.text, self.remedy = text, remedy
        self.close()

    def close(self) -> None:
        """At once. The agent sees that we have gone and undoes everything."""
        self.state = "ended"
        self._put_away()
        if self._connection is not None:
            self._connection.close()


def attach_agent(pid: int, patience_s: float = 10.0, yappi_folders: list[str] | None = None) -> Attachment:
    """An attachment whose agent is there. Raises CannotInject, NotPermitted (engines.base) or TargetGone."""
    attachment = Attachment(pid, patience_s, yappi_folders)
    attachment.start()
    while attachment.state == "asking":
        time.sleep(0.001)
        attachment.poll()
    if attachment.state != "attached":
        raise CannotInject(attachment.text, attachment.remedy)
    return attachment


def own_yappi() -> list[str]:
    """Folders where builds of yappi may lie that a target of the same minor version can load: named in the environment
    variable CONCVIEW_YAPPI (a list like PATH), and our own installation."""
    import importlib.util

    folders = [f for f in os.environ.get("CONCVIEW_YAPPI", "").split(os.pathsep) if f]
    spec = importlib.util.find_spec("_yappi")
    if spec is not None and spec.origin:
        folders.append(str(Path(spec.origin).parent))
    return folders

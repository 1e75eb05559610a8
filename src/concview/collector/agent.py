"""The agent's part of the stream: what it says as events, and the commands (`control`) that are for it.

Calls that shall be counted while the agent is still on its way are counted when it is there. What cannot be done is
answered by an AgentStatus with state 'refused'.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable

import psutil

from concview.agent_host import Attachment
from concview.agent_host.messages import CallsPart, Message, Opened, Refused, Report
from concview.control import AttachAgent, Command, CountCalls, DetachAgent, StopCounting
from concview.errors import Refusal, TargetError, code_of
from concview.linux.namespaces import ThreadNumbers
from concview.model import (
    AgentStatus,
    Await,
    Callee,
    CallInfo,
    Calls,
    Event,
    LoopInfo,
    Pauses,
    PoolInfo,
    QueueInfo,
    Queues,
    TaskGroup,
    TaskInfo,
    Tasks,
)
from concview.text import clean

#: The agent is looked after this often (ns); while it is asked for, more often.
POLL_NS, ASKING_NS = 50_000_000, 2_000_000
NEVER_NS = 1 << 62
#: The agent has this long for its last words when we end (seconds): a window's account is worth waiting for.
LAST_WORDS_S = 1.0


class AgentControl:
    """Owned by the collector's loop. Nothing here blocks, except the short moment in which the target is asked."""

    def __init__(self, pid: int, emit: Callable[[Event], None]) -> None:
        self._pid, self._numbers = pid, ThreadNumbers(pid)
        self._emit = emit
        self._attachment: Attachment | None = None
        self._due_ns = 0
        self._told = ("", "")
        self._window = ""
        self._later: CountCalls | None = None  #: kept until the agent is there
        self._parts: list[CallsPart] = []
        self._cost = self._late = 0.0
        self._problem = ""  #: why its last report says nothing of tasks and queues

    def obey(self, command: Command) -> None:
        """Do what is asked of the agent, or say why not."""
        now = time.monotonic_ns()
        attachment = self._attachment
        if isinstance(command, AttachAgent):
            self._attach(now, command.patience_s)
        elif isinstance(command, DetachAgent):
            if attachment is not None:
                attachment.leave()
        elif isinstance(command, CountCalls) and attachment is not None and attachment.state == "asking":
            self._later = command
        elif attachment is None or attachment.state != "attached":
            self._refuse(now, Refusal("there is no agent in the target"))
        elif isinstance(command, CountCalls):
            attachment.open_window(command.clock, command.seconds, command.source)
        elif isinstance(command, StopCounting):
            attachment.close_window()

    def _attach(self, now: int, patience_s: float) -> None:
        if self._attachment is not None and self._attachment.state in ("asking", "attached"):
            return
        attachment = Attachment(self._pid, patience_s, looked_at=_parent_runs)
        try:
            attachment.start()
        except TargetError as error:
            self._refuse(now, error.refusal)
            return
        self._attachment, self._told = attachment, ("", "")
        self._due_ns = 0

    @property
    def due_ns(self) -> int:
        """When `poll` has something to do."""
        return NEVER_NS if self._attachment is None else self._due_ns

    def poll(self, now: int) -> None:
        """Pass on what the agent said. Cheap when it is not due."""
        attachment = self._attachment
        if attachment is None or now < self._due_ns:
            return
        self._due_ns = now + (ASKING_NS if attachment.state == "asking" else POLL_NS)
        for message in attachment.poll():
            self._pass_on(now, message)
        told = (attachment.state, attachment.text)
        if told != self._told:
            self._told = told
            self._status(now)
        if self._later and attachment.state == "attached":
            command, self._later = self._later, None
            self.obey(command)
        if attachment.state == "ended":
            self._attachment, self._window, self._later = None, "", None
            self._parts.clear()

    def close(self) -> None:
        """The collector ends: so does the agent, at once."""
        attachment = self._attachment
        if attachment is None:
            return
        attachment.leave()
        end = time.monotonic() + LAST_WORDS_S
        while attachment.state == "attached" and time.monotonic() < end:
            self._due_ns = 0
            self.poll(time.monotonic_ns())
            time.sleep(0.005)
        attachment.close()
        self._attachment = None

    # ------------------------------------------------------------ events

    def _refuse(self, now: int, refusal: Refusal) -> None:
        text, remedy = clean(refusal.reason), clean(refusal.remedy, 1000)
        self._emit(AgentStatus(now, "refused", text, remedy, window=self._window, code=refusal.code))

    def _status(self, now: int) -> None:
        attachment = self._attachment
        if attachment is not None:
            library = attachment.hello.library if attachment.hello is not None else ""
            self._emit(
                AgentStatus(
                    now,
                    attachment.state,
                    clean(attachment.text or self._problem),
                    clean(attachment.remedy),
                    clean(library),
                    self._cost,
                    self._late,
                    self._window,
                )
            )

    def _pass_on(self, now: int, message: Message) -> None:
        if isinstance(message, Report):
            self._report(now, message)
        elif isinstance(message, CallsPart):
            self._calls(now, message)
        elif isinstance(message, Opened):
            self._window = clean(f"{message.source} {message.clock}".removesuffix(" none"))
            self._status(now)
        elif isinstance(message, Refused):
            self._refuse(now, Refusal(message.why, message.help, code_of(message.code)))

    def _report(self, now: int, report: Report) -> None:
        self._cost, self._late = 100.0 * report.cpu, report.late
        self._problem = f"the agent could not look at tasks and queues: {report.problem}" if report.problem else ""
        self._status(now)
        loops = tuple(
            LoopInfo(
                self._numbers.outer(loop.tid),
                clean(loop.kind),
                loop.tasks,
                loop.ready,
                loop.timers,
                loop.lag,
                tuple(
                    TaskInfo(
                        clean(t.name),
                        clean(t.state),
                        t.age,
                        tuple(_place(spot) for spot in t.chain),
                        clean(t.created[0], 1000) if t.created else "",
                        t.created[1] if t.created else 0,
                    )
                    for t in loop.told
                ),
                tuple(TaskGroup(clean(g.function), clean(g.file, 1000), g.line, g.tasks, g.ended) for g in loop.groups),
                loop.debug,
            )
            for loop in report.loops
        )
        queues = [
            QueueInfo(
                q.id,
                clean(q.kind),
                q.size,
                q.most,
                self._tids(q.get),
                self._tids(q.put),
                _place(q.where) if q.where else None,
            )
            for q in report.queues
        ]
        at_once: dict[int, tuple[int, int]] = {}
        known = {}
        for queue in (t.queue for loop in report.loops for t in loop.told if t.queue):
            getting, putting = at_once.get(queue.id, (0, 0))
            at_once[queue.id] = (getting + (queue.how == "get"), putting + (queue.how == "put"))
            known[queue.id] = queue
        queues += [
            QueueInfo(
                q.id, f"asyncio {clean(q.kind)}", q.size, q.most, (0,) * at_once[q.id][0], (0,) * at_once[q.id][1]
            )
            for q in known.values()
        ]
        pools = tuple(
            PoolInfo(p.id, clean(p.name), p.most, p.backlog, self._tids(p.busy), self._tids(p.idle))
            for p in report.pools
        )
        self._emit(Tasks(now, loops))
        self._emit(Queues(now, tuple(queues), pools))
        if report.pauses:
            self._emit(Pauses(now, tuple((int(g), int(n), total, most) for g, n, total, most in report.pauses)))

    def _tids(self, inner: Iterable[int]) -> tuple[int, ...]:
        """The agent numbers threads as its process does."""
        return tuple([self._numbers.outer(tid) for tid in inner])

    def _calls(self, now: int, part: CallsPart) -> None:
        self._parts.append(part)
        if part.more:
            return
        parts, self._parts = self._parts, []
        tids = {context: self._numbers.outer(tid) for context, tid in part.threads}
        rows = tuple(
            CallInfo(
                index,
                clean(name),
                clean(file, 1000),
                line,
                calls,
                own_calls,
                total,
                own,
                tids.get(context, 0),
                tuple(Callee(*callee) for callee in callees),
            )
            for each in parts
            for index, name, file, line, calls, own_calls, total, own, context, callees in each.rows
        )
        self._emit(
            Calls(
                now,
                clean(part.source),
                clean(part.clock),
                part.seconds,
                part.running,
                part.clean,
                part.calls,
                part.dropped,
                part.cost.spent / max(part.seconds, 0.001),
                rows,
                part.cost.used,
                part.cost.bare,
                part.cost.drag,
                part.cost.factor,
                part.cost.functions,
            )
        )
        if not part.running:
            self._window = ""
            self._status(now)


def _parent_runs() -> bool:
    """Whether the dashboard, which started us, is there and not stopped (SIGSTOP, Ctrl-Z, a debugger)."""
    try:
        return psutil.Process(os.getppid()).status() not in (psutil.STATUS_STOPPED, psutil.STATUS_TRACING_STOP)
    except psutil.Error:  # hidden from us: then its death is what tells
        return True


def _place(spot: tuple[str, str, int]) -> Await:
    return Await(clean(spot[0]), clean(spot[1], 1000), spot[2])

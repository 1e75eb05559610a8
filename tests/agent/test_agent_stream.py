"""The agent's reports on their way into the stream; programs that invite it."""

from __future__ import annotations

import struct
import threading
import time
from pathlib import Path

import agent_helpers as h
import msgspec
import pytest

from capacity import WAITS
from concview.agent_host import attach_agent
from concview.agent_host.messages import Report
from concview.agent_host.rendezvous import find_listener
from concview.control import AttachAgent, CountCalls, DetachAgent
from concview.model import AGENT_THREAD, AgentStatus, AnyEvent, Bye, Calls, Queues, State, Tasks
from concview.session import LiveSource
from concview.session.session import attach
from interpreters import Interpreter, target

pytestmark = pytest.mark.units(WAITS)

#: Two pool workers busy with five items more than they can take, a full queue with a thread at it, tasks in a chain.
RICH = """
import asyncio, queue, sys, threading, time
from concurrent.futures import ThreadPoolExecutor
pool = ThreadPoolExecutor(2, thread_name_prefix="mill")
def grind():
    while True: time.sleep(0.01)
for _ in range(7):
    pool.submit(grind)
full = queue.Queue(3)
def feed():
    while True: full.put(1)
threading.Thread(target=feed, daemon=True).start()
async def inner(box):
    await box.get()
async def outer(box):
    await inner(box)
async def main():
    box = asyncio.Queue(9)
    waiting = [asyncio.ensure_future(outer(box)) for _ in range(3)]
    print("ready", flush=True)
    while True:
        await asyncio.sleep(0.01)
threading.Timer(60, lambda: None)
asyncio.run(main())
"""


def gather(source: LiveSource, events: list[AnyEvent]) -> threading.Thread:
    def read() -> None:
        for block in source.blocks():
            events.extend(block)

    thread = threading.Thread(target=read)
    thread.start()
    return thread


def test_queues_pools_tasks(gil_python: Interpreter) -> None:
    with target(gil_python, RICH) as process:
        attachment = h.visit(process.pid)
        h.report(attachment)
        told = h.report(attachment)  # the second one knows the lag
        (pool,) = told.pools
        assert (pool.name, pool.most, pool.backlog, len(pool.busy), len(pool.idle)) == ("mill", 2, 5, 2, 0)
        (queue,) = told.queues
        assert (queue.kind, queue.size, queue.most, len(queue.put), len(queue.get)) == ("Queue", 3, 3, 1, 0)
        assert queue.where is not None and queue.where[0] == "feed"
        (loop,) = told.loops
        assert loop.tid == process.pid and loop.tasks == 4 and 0 <= loop.lag < 5
        waiting = [t for t in loop.told if "outer" in t.chain[0][0]]
        assert len(waiting) == 3 and all(t.state == "waiting" and t.age > 0.5 for t in waiting)
        assert ["inner" in waiting[0].chain[1][0], "get" in waiting[0].chain[2][0]] == [True, True]
        assert waiting[0].queue is not None and (waiting[0].queue.size, waiting[0].queue.most) == (0, 9)
        assert told.problem == "" and told.cpu < 0.1
        h.leave(attachment)


def test_without_a_gil_frames_are_left_alone(free_threaded_python: Interpreter) -> None:
    h.skip_unless_askable(free_threaded_python)
    with target(free_threaded_python, RICH) as process:
        attachment = h.visit(process.pid)
        told = h.report(attachment)
        assert attachment.hello is not None and not attachment.hello.gil
        assert (told.queues, told.pools, told.loops, told.problem) == ([], [], [], "")
        h.leave(attachment)


@pytest.mark.few
def test_in_the_one_stream(gil_python: Interpreter) -> None:
    with target(gil_python, RICH) as process:
        source = LiveSource(process.pid, rate=50.0)
        source.open()
        events: list[AnyEvent] = []
        reader = gather(source, events)

        def of(kind: type) -> list[AnyEvent]:
            return [e for e in events if isinstance(e, kind)]

        source.order(CountCalls("wall", 5))
        h.eventually(lambda: of(AgentStatus))
        assert of(AgentStatus)[0].state == "refused"  # type: ignore[union-attr]
        source.order(AttachAgent(20))
        h.eventually(lambda: of(Queues) and of(Tasks))
        source.order(CountCalls("none", 1) if gil_python.version >= (3, 15) else CountCalls("wall", 1))
        h.eventually(lambda: [e for e in of(Calls) if not e.running] or of(AgentStatus)[-1].remedy)  # type: ignore[union-attr]
        source.order(DetachAgent())
        h.eventually(lambda: of(AgentStatus)[-1].state == "ended")  # type: ignore[union-attr]
        assert of(AgentStatus)[-1].text == ""  # type: ignore[union-attr]
        source.order(AttachAgent(20))
        h.eventually(lambda: of(AgentStatus)[-1].state == "attached")  # type: ignore[union-attr]
        source.request_end()
        reader.join(60)
        source.close()
        assert isinstance(events[-1], Bye)
        states = [e.state for e in of(AgentStatus)]  # type: ignore[union-attr]
        assert states[0] == "refused" and states.count("attached") >= 2 and states[-1] == "ended"
        assert of(Queues)[-1].pools[0].backlog == 5  # type: ignore[union-attr]
        h.ends_as_ever(process, -15)


@pytest.mark.few
def test_a_refusal_is_an_event(gil_python: Interpreter) -> None:
    with target(gil_python, h.STATES, "idle", env={"PYTHON_DISABLE_REMOTE_DEBUG": "1"}) as process:
        source = LiveSource(process.pid, rate=20.0)
        source.open()
        events: list[AnyEvent] = []
        reader = gather(source, events)
        source.order(AttachAgent())
        h.eventually(lambda: any(isinstance(e, AgentStatus) for e in events))
        source.request_end()
        reader.join(60)
        source.close()
        (status,) = (e for e in events if isinstance(e, AgentStatus))
        assert status.state == "refused" and "left alone" in status.text and status.remedy


INVITING = """
import os, sys, time
sys.path.insert(0, sys.argv[1])
import concview.agent
listener = concview.agent.listen()
assert concview.agent.listen() is listener
print("ready", flush=True)
import select
while not select.select([0], [], [], 0.01)[0]: pass
sys.stdin.readline()
child = os.fork() if len(sys.argv) > 2 else 1
if not child:
    names = ["/proc/self/fd/" + f for f in os.listdir("/proc/self/fd")]
    os._exit(sum(os.readlink(n).startswith("socket") for n in names if os.path.islink(n)))
print(os.waitpid(child, 0)[1] if len(sys.argv) > 2 else 0, flush=True)
sys.stdin.readline()
"""


def test_invited(any_python: Interpreter, tmp_path: Path) -> None:
    """No injection; one visit after the other; nothing left at the end."""
    environment = {"XDG_RUNTIME_DIR": str(tmp_path)}
    with target(any_python, INVITING, h.SOURCE, env=environment) as process:
        for _ in range(2):
            attachment = attach_agent(process.pid)
            assert attachment.invited and attachment.hello is not None and attachment.hello.pid == process.pid
            h.until(attachment, lambda m: m if isinstance(m, Report) else None)
            h.leave(attachment)
        process.send("go")
        assert process.line() == "0"
        process.send("end")
        assert process.popen.wait(10) == 0
        assert process.errors() == "standard error: "
        assert list((tmp_path / "concview").iterdir()) == []


@pytest.mark.few
def test_a_forked_child_was_not_invited(gil_python: Interpreter, tmp_path: Path) -> None:
    environment = {"XDG_RUNTIME_DIR": str(tmp_path), "PYTHONWARNINGS": "ignore"}
    with target(gil_python, INVITING, h.SOURCE, "fork", env=environment) as process:
        attachment = attach_agent(process.pid)
        process.send("go")
        assert process.line() == "0"  # its exit code: sockets it still has
        h.report(attachment)
        assert find_listener(process.pid) is not None
        h.leave(attachment)


@pytest.mark.few
@pytest.mark.parametrize(
    "bytes_said",
    [
        struct.pack("<I", 1 << 30),
        struct.pack("<I", 3) + b"{x}",
        struct.pack("<I", 2) + b"[]",
        struct.pack("<I", 12) + b'{"do":"bye"}',
        struct.pack("<I", 33) + b'{"do":"welcome","token":"wrong"}\n',
    ],
    ids=["long", "no-json", "no-object", "no-welcome", "wrong-token"],
)
def test_the_agent_distrusts(gil_python: Interpreter, tmp_path: Path, bytes_said: bytes) -> None:
    with target(gil_python, INVITING, h.SOURCE, env={"XDG_RUNTIME_DIR": str(tmp_path)}) as process:
        endpoint = find_listener(process.pid)
        assert endpoint is not None
        connected = endpoint.connect()
        assert connected is not None
        connected.sendall(bytes_said)
        connected.settimeout(30)
        said = b""
        while data := connected.recv(65536):
            said += data
        connected.close()
        (size,) = struct.unpack_from("<I", said)
        assert msgspec.json.decode(said[4 : 4 + size])["t"] == "hello" and len(said) == 4 + size
        attachment = attach_agent(process.pid)  # it waits for the next one
        h.leave(attachment)


@pytest.mark.few
def test_a_folder_of_somebody_else_is_not_trusted(gil_python: Interpreter, tmp_path: Path) -> None:
    (tmp_path / "concview").mkdir(mode=0o755)
    source = INVITING.replace("listener = concview", "print(1)\ntry: concview", 1).split("assert", 1)[0]
    source += "except PermissionError as error: print('ready', flush=True)\ntime.sleep(1000)\n"
    with target(gil_python, source, h.SOURCE, env={"XDG_RUNTIME_DIR": str(tmp_path)}) as process:
        assert find_listener(process.pid) is None


@pytest.mark.few
def test_in_the_snapshot(gil_python: Interpreter) -> None:
    """What a view sees, live."""
    with target(gil_python, RICH) as process:
        session = attach(process.pid, rate=50.0)
        try:
            assert session.snapshot().agent is None
            assert isinstance(session.source, LiveSource)
            session.source.order(AttachAgent(20))

            def seen() -> bool:
                now = session.snapshot()
                return bool(now.agent and now.agent.state == "attached" and now.tasks and now.queues)

            h.eventually(seen)
            snapshot = session.snapshot()
            assert snapshot.tasks is not None and snapshot.tasks.loops[0].count == 4
            assert snapshot.queues is not None and snapshot.queues.pools[0].backlog == 5
            if gil_python.version >= (3, 12):
                session.source.order(CountCalls("none", 1))
                h.eventually(lambda: (c := session.snapshot().calls) is not None and not c.running)
        finally:
            session.close()


MANY = """
import asyncio, threading, time
async def stays():
    await asyncio.Event().wait()
async def goes():
    await asyncio.sleep(0.7)
async def main():
    kept = [asyncio.ensure_future(stays()) for _ in range(30)]
    print("ready", flush=True)
    while True:
        brief = [asyncio.ensure_future(goes()) for _ in range(5)]
        await asyncio.sleep(0.2)
        kept += brief
asyncio.run(main())
"""


@pytest.mark.few
def test_tasks_are_counted_by_their_coroutine(gil_python: Interpreter) -> None:
    with target(gil_python, MANY) as process:
        attachment = h.visit(process.pid)
        ended, end = 0, time.monotonic() + 60
        while ended < 10 and time.monotonic() < end:
            (loop,) = h.report(attachment).loops
            groups = {g.function: g for g in loop.groups}
            assert groups["stays"].tasks == 30 and groups["stays"].ended == 0 and groups["stays"].line == 3
            assert sum(g.tasks for g in loop.groups) == loop.tasks
            ended += groups["goes"].ended
        assert ended >= 10
        h.leave(attachment)


@pytest.mark.few
def test_the_agents_own_thread_is_none_of_the_programs(gil_python: Interpreter) -> None:
    """It is listed, and its time is not added to theirs."""
    naps = "import time\nprint('ready', flush=True)\nwhile True: time.sleep(0.02)\n"
    with target(gil_python, naps) as process:
        session = attach(process.pid)
        try:
            session.source.order(AttachAgent(20))  # type: ignore[attr-defined]

            def known() -> bool:
                return any(t.name == AGENT_THREAD and len(t.strip) > 2 for t in session.snapshot().threads)

            h.eventually(known)
            snapshot = session.snapshot()
            (main,) = (t for t in snapshot.threads if t.tid == process.pid)
            # How much of it is sleep, and how much a wait for a CPU, depends on the machine.
            assert snapshot.states[State.IO] == 0 and main.shares[State.SLEEP] > 0
            assert snapshot.states == pytest.approx(main.shares, abs=0.01)
            assert len([t for t in snapshot.threads if t.alive]) == 2
        finally:
            session.close()

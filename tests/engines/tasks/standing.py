"""Tasks that each stand in one known place. `standing.py [plain|uvloop|eager|two]`; a task's name says what must be
seen: STATE|KINDS HELD|what it is. Prints 'ready' when all stand there."""

import asyncio
import contextlib
import os
import socket
import sys
import threading
import time

MODE = sys.argv[1] if len(sys.argv) > 1 else "plain"
FOREVER = 100_000
keep = []


def start(coroutine, name):
    task = asyncio.get_running_loop().create_task(coroutine)
    task.set_name(name)
    keep.append(task)
    return task


async def sleeper():
    await asyncio.sleep(FOREVER)


async def deep(n):
    if n:
        await deep(n - 1)
    else:
        await asyncio.sleep(FOREVER)


async def hold(lock):
    async with lock:
        await asyncio.sleep(FOREVER)


async def hold_acquired(lock):
    await lock.acquire()
    try:
        await asyncio.sleep(FOREVER)
    finally:
        lock.release()


async def hold_nested(one, other):
    async with one, other:
        with open(os.devnull):
            await deep(3)


async def hold_two(one, other):
    async with one, other:
        await asyncio.sleep(FOREVER)


async def hold_thread_lock(lock):
    with lock:
        await asyncio.sleep(FOREVER)


async def want(lock):
    async with lock:
        pass


async def condition(c):
    async with c:
        await c.wait()


async def numbers():
    for i in range(3):
        await asyncio.sleep(FOREVER)
        yield i


async def iterate():
    async for _ in numbers():
        pass


@contextlib.asynccontextmanager
async def managed(lock):
    async with lock:
        yield lock


async def use_managed(lock):
    async with managed(lock):
        await asyncio.sleep(FOREVER)


async def use_stack(lock):
    async with contextlib.AsyncExitStack() as stack:
        await stack.enter_async_context(lock)
        await asyncio.sleep(FOREVER)


async def get(queue):
    await queue.get()


async def put(queue):
    await queue.put(1)
    await queue.put(2)


async def join(queue):
    await queue.join()


async def event(e):
    await e.wait()


async def executor():
    await asyncio.get_running_loop().run_in_executor(None, time.sleep, FOREVER)


async def gather_of_calls():
    loop = asyncio.get_running_loop()
    await asyncio.gather(loop.run_in_executor(None, time.sleep, FOREVER), loop.run_in_executor(None, int))


async def gather():
    await asyncio.gather(sleeper(), sleeper())


async def await_task(task):
    await task


async def wait_for(queue):
    await asyncio.wait_for(get(queue), FOREVER)


async def wait(tasks):
    await asyncio.wait(tasks)


async def shield(task):
    await asyncio.shield(task)


async def future():
    await asyncio.get_running_loop().create_future()


async def group():
    async with asyncio.TaskGroup() as g:
        g.create_task(sleeper())


async def read(port):
    reader, _ = await asyncio.open_connection("127.0.0.1", port)
    await reader.read(10)


async def receive(port):
    s = socket.socket()
    s.setblocking(False)
    await asyncio.get_running_loop().sock_connect(s, ("127.0.0.1", port))
    await asyncio.get_running_loop().sock_recv(s, 10)


async def serve(server):
    await server.serve_forever()


async def failing():
    raise LookupError


async def handle(reader, writer):
    await asyncio.sleep(FOREVER)


async def main(tag, last):
    loop = asyncio.get_running_loop()
    if MODE == "eager":
        loop.set_task_factory(asyncio.eager_task_factory)
    server = await asyncio.start_server(handle, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    locks = [asyncio.Lock() for _ in range(9)]
    queue, full, undone = asyncio.Queue(), asyncio.Queue(1), asyncio.Queue()
    undone.put_nowait(1)
    semaphore = asyncio.Semaphore(1)

    def make(coroutine, name):
        return start(coroutine, tag + name)

    first = make(sleeper(), "sleep||sleeper")
    make(deep(30), "sleep||deep")
    make(hold(locks[0]), "sleep|Lock|hold")
    make(hold_acquired(locks[1]), "sleep|Lock|acquired")
    make(hold_nested(locks[2], locks[3]), "sleep|Lock,Lock|nested")
    make(hold_two(locks[4], locks[5]), "sleep|Lock,Lock|two")
    make(use_managed(locks[6]), "sleep|Lock|managed")
    make(use_stack(locks[7]), "sleep|Lock|stack")
    make(hold_thread_lock(threading.Lock()), "sleep|Lock|thread lock")
    make(hold(semaphore), "sleep|Semaphore|semaphore")
    make(condition(asyncio.Condition()), "lock||Condition.wait")
    make(iterate(), "sleep||iterate")
    make(get(queue), "queue||Queue.get")
    make(put(full), "queue||Queue.put")
    make(join(undone), "queue||Queue.join")
    make(event(asyncio.Event()), "lock||Event.wait")
    make(executor(), "executor||executor")
    make(gather_of_calls(), "executor||executor of a gather")
    make(gather(), "task||gather")
    make(await_task(first), "task||await")
    make(wait([first]), "task||wait")
    make(shield(first), "task||shield")
    make(future(), "unknown||future")
    # Up to 3.11 it makes a task of its own, and waits for that.
    make(wait_for(queue), "queue||wait_for" if sys.version_info >= (3, 12) else "task||wait_for")
    if hasattr(asyncio, "TaskGroup"):
        make(group(), "task||TaskGroup")
    make(read(port), "io||StreamReader.read")
    make(receive(port), "io||sock_recv")
    make(serve(server), "idle||serve_forever")
    keep.append(loop.create_task(failing()))
    await asyncio.sleep(0.3)
    for i in range(8):
        make(want(locks[i]), f"lock||Lock.acquire {i}")
    make(want(semaphore), "lock||Semaphore.acquire")
    await asyncio.sleep(0.2)
    if last:
        print("ready", flush=True)
    await asyncio.sleep(FOREVER)


if MODE == "two":
    threading.Thread(target=lambda: asyncio.run(main("2:", False)), daemon=True).start()
    time.sleep(1)
if MODE == "uvloop":
    import uvloop

    uvloop.install()
asyncio.run(main("", True))

"""Runs one thread per awkward construct, each blocked in it, then prints every thread's true stack as JSON."""

import asyncio
import contextlib
import functools
import gc
import inspect
import json
import sys
import threading
import time
import types

from settled import settled

BLOCKED = threading.Semaphore(0)
CASES = []


def case(function):
    CASES.append(function)
    return function


def block(*_args, **_kwargs):
    BLOCKED.release()
    time.sleep(100000)
    return 1


@case
def plain():
    block()


@case
def generator():
    def numbers():
        yield 1
        block()
        yield 2

    for _ in numbers():
        pass


@case
def generator_next():
    def numbers():
        yield block()

    next(numbers())


@case
def yield_from():
    def inner():
        yield 1
        yield block()

    def outer():
        yield from inner()

    list(outer())


@case
def generator_expression():
    sum(block() for _ in range(3))


@case
def list_comprehension():
    [block() for _ in range(3)]


@case
def coroutine():
    async def inner():
        await asyncio.sleep(0)
        block()

    async def outer():
        await inner()

    asyncio.new_event_loop().run_until_complete(outer())


@case
def asynchronous_generator():
    async def numbers():
        yield 1
        block()

    async def outer():
        async for _ in numbers():
            pass

    asyncio.new_event_loop().run_until_complete(outer())


@case
def sorted_key():
    sorted([3, 1], key=lambda x: block())


@case
def mapped():
    list(map(block, [1]))


@case
def reduced():
    functools.reduce(lambda a, b: block(), [1, 2])


@case
def a_property():
    class A:
        @property
        def value(self):
            return block()

    A().value  # noqa: B018


@case
def getattribute():
    class A:
        def __getattr__(self, name):
            return block()

    A().anything  # noqa: B018


@case
def destructor():
    class A:
        def __del__(self):
            block()

    a = A()
    del a


@case
def with_exit():
    class A:
        def __enter__(self):
            return self

        def __exit__(self, *args):
            block()

    with A():
        pass


@case
def context_manager():
    @contextlib.contextmanager
    def managed():
        yield 1
        block()

    with managed():
        pass


@case
def class_body():
    class A:
        x = 1
        y = block()


@case
def metaclass():
    class Meta(type):
        def __new__(cls, *args):
            block()
            return type.__new__(cls, *args)

    class A(metaclass=Meta):
        pass


@case
def executed():
    exec("x = 1\n\ndef f():\n    return block()\n\nf()\n", {"block": block})


@case
def evaluated():
    eval("[block(), 2]", {"block": block})


@case
def a_lambda():
    (lambda: (lambda: block())())()


@case
def cached():
    @functools.lru_cache(maxsize=None)  # noqa: UP033
    def f(x):
        return block()

    f(1)


@case
def decorated():
    def decorator(f):
        @functools.wraps(f)
        def wrapper(*args, **kwargs):
            return f(*args, **kwargs)

        return wrapper

    @decorator
    @decorator
    def f(x, *, y):
        block()

    f(1, y=2)


@case
def partial():
    functools.partial(block, 1, 2)(3, a=4)


@case
def multi_line_call():
    block(
        1,
        max(
            2,
            3,
        ),
        block(
            4,
            a=5,
        ),
    )


@case
def multi_line_expression():
    return 1 + 2 + block() + 3


@case
def finally_block():
    try:
        raise ValueError
    except ValueError:
        pass
    finally:
        block()


@case
def exception_handler():
    try:
        try:
            raise ValueError
        finally:
            int("1")
    except ValueError as error:
        str(error)
        block()


@case
def to_string():
    class A:
        def __str__(self):
            block()
            return ""

    f"{A()}"


@case
def comparison():
    class A:
        def __lt__(self, other):
            return block()

    sorted([A(), A()])


@case
def starred():
    def f(*args, **kwargs):
        return block(*args, **kwargs)

    f(*[1, 2], **{"a": 1})  # noqa: PIE804


@case
def recursion_through_c():
    def f(n):
        if not n:
            return block()
        return sorted([1], key=lambda x: f(n - 1))

    f(30)


@case
def recursion_over_chunks():
    def f(n):
        if n:
            f(n - 1)
        else:
            block()

    f(900)


@case
def deep_recursion():
    def f(n, a=1, b=2, c=3):
        if n:
            f(n - 1)
        else:
            block()

    f(3000)


def qualnames():
    """Code of this file -> qualified name, where the code does not say it: before 3.11 only functions and generators
    know it, and those that run are alive."""
    if hasattr(main.__code__, "co_qualname"):
        return {}
    functions = [f for f in gc.get_objects() if isinstance(f, types.FunctionType)]
    # functools.wraps gives a function another one's name, and the name of its code is that of the wrapper.
    found = {f.__code__: f.__qualname__ for f in functions if not hasattr(f, "__wrapped__")}
    inside = {c: outer for outer in found for c in outer.co_consts if isinstance(c, types.CodeType)}
    for f in functions:
        if hasattr(f, "__wrapped__") and f.__code__ in inside:
            found[f.__code__] = found[inside[f.__code__]] + ".<locals>." + f.__code__.co_name
    for each in gc.get_objects():
        if isinstance(each, types.GeneratorType):
            found[each.gi_code] = each.__qualname__  # its function may be gone
    return found


def main():
    sys.setrecursionlimit(20000)
    threading.stack_size(64 << 20)
    threads = {}
    for function in CASES:
        thread = threading.Thread(target=function, name=function.__name__, daemon=True)
        thread.start()
        threads[thread.ident] = thread
        BLOCKED.acquire()
    settled()
    truth, names = {}, qualnames()
    for ident, frame in sys._current_frames().items():
        if ident not in threads:
            continue
        stack = []
        while frame is not None:
            code = frame.f_code
            name = getattr(code, "co_qualname", names.get(code, code.co_name))
            if not code.co_flags & inspect.CO_OPTIMIZED:
                name = frame.f_locals.get("__qualname__", name)  # a class's body
            stack.append((name, code.co_filename, frame.f_lineno))
            frame = frame.f_back
        truth[threads[ident].native_id] = [threads[ident].name, stack]
    print("ready", flush=True)
    print(json.dumps(truth), flush=True)
    time.sleep(100000)


main()

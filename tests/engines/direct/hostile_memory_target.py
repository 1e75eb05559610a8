"""Rewrites its own interpreter structures while it is watched, in ways that it survives itself.

Copies of its thread states, stacks, frames and code objects, whose pointers lead to each other, are linked behind the
oldest thread state; words in them are then overwritten all the time: pointers to anywhere and into each other, huge and
negative counts, zeros. What the interpreter itself reads of running code only for a traceback is overwritten, too. A
thread checks meanwhile that the program computes right. Arguments: offsets as JSON, a seed.

Runs on 3.8 and later; without concview.
"""

import ctypes
import json
import os
import random
import sys
import threading
import time

O = json.loads(sys.argv[1])  # noqa: E741
CHANCE = random.Random(int(sys.argv[2]))
HEAP_FRAMES = sys.version_info < (3, 11)
WORD = 8
api = ctypes.pythonapi
for name in ("PyThreadState_Get", "PyInterpreterState_Main"):
    getattr(api, name).restype = ctypes.c_void_p
api.PyInterpreterState_ThreadHead.restype = ctypes.c_void_p
api.PyInterpreterState_ThreadHead.argtypes = [ctypes.c_void_p]
api.PyThreadState_Next.restype = ctypes.c_void_p
api.PyThreadState_Next.argtypes = [ctypes.c_void_p]

SIZE = 1 << 20
ARENA = ctypes.create_string_buffer(SIZE)
BASE = ctypes.addressof(ARENA) + 63 & ~63
WORDS = (ctypes.c_uint64 * ((SIZE - 128) // WORD)).from_address(BASE)
used = 0
rounds = 0
copies = {}  # (original, length) -> copy


def word(address):
    return ctypes.c_uint64.from_address(address)


def copy(address, length):
    """Its place in the arena."""
    global used
    length = length + 15 & ~15
    if used + length > SIZE - 256:
        return 0
    place = BASE + used
    used += length
    ctypes.memmove(place, address, length)
    copies[address, length] = place
    return place


def work():
    global rounds
    while True:
        assert sum(n * n for n in range(2000)) == 2664667000
        rounds += 1
        deeper(12)


def deeper(n):
    if n:
        return deeper(n - 1)
    time.sleep(0.001)
    return 0


def states():
    found, state = [], api.PyInterpreterState_ThreadHead(api.PyInterpreterState_Main())
    while state:
        found.append(state)
        state = api.PyThreadState_Next(state)
    return found


def frames_of(state):
    for frame in sys._current_frames().values():
        while frame is not None:
            yield frame
            frame = frame.f_back


def build():
    """Copies of all states and what they lead to; the pointers between them lead to the copies."""
    every = states()
    own = [copy(state, max(O["ts.datastack_chunk"], O["ts.thread_id"]) + 64) for state in every]
    for state in every:
        if HEAP_FRAMES:
            break
        chunk = word(state + O["ts.datastack_chunk"]).value
        if chunk:
            copy(chunk, min(word(chunk + 8).value, 1 << 15))
        if O["ts.cframe"] >= 0:
            copy(word(state + O["ts.cframe"]).value, 32)
    for frame in list(frames_of(0))[:40]:
        if HEAP_FRAMES:
            copy(id(frame), sys.getsizeof(frame))
        copy(id(frame.f_code), sys.getsizeof(frame.f_code))
        copy(id(frame.f_code.co_name), sys.getsizeof(frame.f_code.co_name))
        copy(id(frame.f_globals), 48)
        copy(word(id(frame.f_globals) + O["dict.ma_keys"]).value, 1024)
    ranges = sorted((a, a + n, place) for (a, n), place in copies.items())
    for n in range(used // WORD):
        value = WORDS[n]
        for start, end, place in ranges:
            if start <= value < end:
                WORDS[n] = place + value - start
                break
    # Into a list that only goes one way: behind the oldest, which nobody unlinks before the end.
    last = every[-1] + O["ts.next"]
    for place in own:
        WORDS[(place + O["ts.next"] - BASE) // WORD] = 0
    for place in own[1:]:
        word(last).value = place
        last = place + O["ts.next"]
    return own


def palette(n):
    return CHANCE.choice(
        [
            lambda: BASE + CHANCE.randrange(used) & ~7,
            lambda: BASE + 8 * n,
            lambda: WORDS[CHANCE.randrange(used // WORD)],
            lambda: CHANCE.choice(REAL),
            lambda: CHANCE.choice(
                [
                    0,
                    1,
                    7,
                    0x7FFFFFFF,
                    0x80000000,
                    0xFFFFFFFF,
                    1 << 40,
                    1 << 62,
                    (1 << 63) - 1,
                    1 << 63,
                    (1 << 64) - 1,
                    0x7FFFFFFFF000,
                    0xFFFF800000000000,
                    0xDDDDDDDDDDDDDDDD,
                    4096,
                ]
            ),
            lambda: CHANCE.getrandbits(64),
            lambda: WORDS[n] + CHANCE.choice([-8, 8, 1, -1, 1 << 32]) & (1 << 64) - 1,
            lambda: (WORDS[n] & ~0xFFFFFFFF) | CHANCE.getrandbits(32),
        ]
    )()


def scribble(most):
    pristine = ctypes.string_at(BASE, used)
    while True:
        for _ in range(CHANCE.choice([1, 3, 30, 300])):
            n = CHANCE.randrange(used // WORD)
            WORDS[n] = palette(n)
        if CHANCE.random() < 0.3:
            ctypes.memmove(BASE, pristine, used)
        time.sleep(0.0005)


def lies(function):
    """Fields of running code that only a traceback reads."""
    code = id(function.__code__)
    fake = copy(id("x" * 100), 200)
    word(fake + O["str.length"]).value = 1 << 62
    word(code + O["co.filename"]).value = fake
    word(code + O["co.linetable"]).value = fake
    if O["co.qualname"] >= 0:
        word(code + O["co.qualname"]).value = BASE + 3
    ctypes.c_int32.from_address(code + O["co.firstlineno"]).value = -(1 << 31)


for number in range(4):
    threading.Thread(target=work, name="work-" + str(number), daemon=True).start()
time.sleep(0.3)
REAL = [id(None), id(int), id(dict), id(threading), id(sys.modules), id(type), id(build.__code__), *states()]
build()
lies(deeper)
threading.Thread(target=scribble, args=(0,), daemon=True).start()
print("ready", flush=True)
sys.stdin.readline()
print(rounds, flush=True)
os._exit(0)

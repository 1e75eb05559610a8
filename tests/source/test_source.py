"""Locks inferred from source, and what happens with source that cannot be trusted.

A case is a program; a comment `#? function | holds | takes` on a line states what `lookup` must say about that line.
"""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from concview.model import Site
from concview.source.calls import calls_of, role_of
from concview.source.facts import MAX_FILE, Facts, SourceFacts
from concview.source.names import is_lock_name
from concview.source.obligations import Obligations
from concview.source.origin import is_module, origin
from concview.source.parse import parse
from concview.source.uses import Uses
from concview.source.wakes import File

CASES = {
    "with self": """
        class Cache:
            def get(self, key):
                before = 1  #? Cache.get | |
                with self._lock:  #? Cache.get | | self._lock
                    x = 1  #? Cache.get | self._lock |
                    return x  #? Cache.get | self._lock |
                return 0  #? Cache.get | |
        """,
    "bare names of old versions": """
        class Cache:
            def get(self):
                with self._lock:
                    pass  #? get | self._lock |
        class Other:
            def get(self):
                with self.mutex:
                    pass  #? get | self.mutex |
        """,
    "global, module level": """
        import threading
        guard_of_all = threading.Lock()
        with guard_of_all:  #? <module> | | guard_of_all
            x = 1  #? <module> | guard_of_all |
        """,
    "by assignment, whatever the name": """
        import threading
        gate = threading.RLock()
        def f():
            with gate:  #? f | | gate
                pass  #? f | gate |
        """,
    "by assignment to self": """
        from threading import Lock
        class A:
            def __init__(self):
                self.door = Lock()
            def f(self):
                with self.door:
                    pass  #? A.f | self.door |
        """,
    "by assignment in a base class": """
        import threading
        class Base:
            def __init__(self):
                self.door = threading.Condition()
        class A(Base):
            def f(self):
                with self.door:
                    pass  #? A.f | self.door |
        """,
    "class attribute, default or lock": """
        import threading
        class A:
            door = threading.Lock()
            def __init__(self, gate=None):
                self.gate = gate or threading.Lock()
            @classmethod
            def f(cls):
                with cls.door:
                    pass  #? A.f | cls.door |
            def g(self):
                with self.gate:
                    pass  #? A.g | self.gate |
        """,
    "dataclass field and annotation": """
        @dataclass
        class A:
            door: threading.Lock = field(default_factory=threading.Lock)
            def f(self, gate: threading.Semaphore):
                with self.door, gate:
                    pass  #? A.f | self.door, gate |
        """,
    "a name that says lock, made by what is no lock": """
        lock = open("x")
        def f():
            with lock:  #? f | |
                pass  #? f | |
        """,
    "not locks": """
        def f(self):
            with open("x") as lock:  #? f | |
                pass  #? f | |
            with self.session, self.clock, self.block:  #? f | |
                pass  #? f | |
            with self.pool.connection() as c, suppress(OSError):
                pass  #? f | |
            with self.lock_file:
                pass  #? f | |
            with threading.Lock():  #? f | |
                pass  #? f | |
        """,
    "calls that give a lock": """
        def f(self, key):
            with counter.get_lock():  #? f | | counter.get_lock()
                pass  #? f | counter.get_lock() |
            with self.rw.read_lock():
                pass  #? f | self.rw.read_lock() |
            with self.lock_for(key):
                pass  #? f | |
        """,
    "one of many: a wait, never a hold": """
        def f(self, key):
            with self.locks[key].lock:  #? f | | self.locks[key].lock
                pass  #? f | |
            with self.lock_of[0]:
                pass
        """,
    "a table of locks: by what was put into it, or by its name": """
        class A:
            def __init__(self):
                self.doors = [threading.Lock() for _ in range(8)]
            def f(self, key):
                with self.doors[key % 8]:  #? A.f | | self.doors[key % 8]
                    pass  #? A.f | |
                with self.locks[key]:  #? A.f | | self.locks[key]
                    pass  #? A.f | |
                with self.blocks[key]:  #? A.f | |
                    pass  #? A.f | |
        """,
    "nested and several items": """
        def f():
            with a_lock, b_lock:  #? f | | a_lock
                pass  #? f | a_lock, b_lock |
            with a_lock:
                with b_lock:  #? f | a_lock | b_lock
                    pass  #? f | a_lock, b_lock |
                x = 1  #? f | a_lock |
        """,
    "header over several lines": """
        def f():
            with (
                open("x") as x,
                a_lock,  #? f | | a_lock
                b_lock as b,  #? f | a_lock | b_lock
            ):
                pass  #? f | a_lock, b_lock |
        """,
    "body on the header's line": """
        def f():
            with a_lock: g()  #? f | | a_lock
            x = 1  #? f | |
        """,
    "acquire, try, finally": """
        def f(self):
            self._lock.acquire()  #? f | | self._lock
            try:
                work()  #? f | self._lock |
            except ValueError:
                handle()  #? f | self._lock |
            finally:
                tidy()  #? f | self._lock |
                self._lock.release()  #? f | |
            after()  #? f | |
        """,
    "acquire inside try": """
        def f():
            try:
                before()  #? f | |
                lock.acquire()  #? f | | lock
                work()  #? f | lock |
            finally:
                lock.release()
            after()  #? f | |
        """,
    "acquire and release in one block": """
        def f():
            before()  #? f | |
            lock.acquire()
            a()  #? f | lock |
            b()  #? f | lock |
            lock.release()
            after()  #? f | |
        """,
    "early release in a branch": """
        def f():
            lock.acquire()
            if x:  #? f | lock |
                a()  #? f | lock |
                lock.release()
                return b()  #? f | |
            c()  #? f | lock |
            lock.release()
        """,
    "unlocked for a while inside with": """
        def f():
            with lock:
                a()  #? f | lock |
                lock.release()
                try:
                    slow()  #? f | |
                finally:
                    lock.acquire()
                b()  #? f | lock |
        """,
    "acquire without a release in sight": """
        def enter(self):
            self.lock.acquire()  #? enter | | self.lock
            work()  #? enter | |
        """,
    "try-acquire": """
        def f():
            if lock.acquire(timeout=1):  #? f | | lock
                try:
                    a()  #? f | lock |
                finally:
                    lock.release()
            else:
                b()  #? f | |
            if not lock.acquire(False):  #? f | | lock
                return c()  #? f | |
            d()  #? f | lock |
            lock.release()
            got = lock.acquire(timeout=1)  #? f | | lock
            e()  #? f | |
            lock.release()
            lock.acquire(timeout=1)
            g()  #? f | |
            lock.release()
        """,
    "spin until acquired": """
        def f():
            while not lock.acquire(timeout=1):  #? f | | lock
                log()  #? f | |
            a()  #? f | lock |
            lock.release()
        """,
    "acquire of something that may be a pool": """
        def f(pool):
            connection = pool.acquire()  #? f | |
            gate.acquire()  #? f | | gate
        """,
    "condition wait lets go": """
        def f(self):
            with self.cond:
                while not self.ready:  #? f | self.cond |
                    self.cond.wait()  #? f | |
                self.cond.wait_for(
                    ready,
                    timeout=5,  #? f | |
                )
                self.other.wait()  #? f | self.cond |
        """,
    "a condition is the lock below it": """
        import threading
        class Q:
            def __init__(self):
                self.mutex = threading.Lock()
                self.not_empty = threading.Condition(self.mutex)
            def get(self):
                with self.not_empty:  #? Q.get | | self.mutex
                    a()  #? Q.get | self.mutex |
                    self.not_empty.wait()  #? Q.get | |
            def size(self):
                with self.mutex:
                    self.not_empty.wait()  #? Q.size | |
        """,
    "async": """
        async def f(self):
            async with self._lock:  #? f | |
                await g()  #? f | |
            await self._lock.acquire()  #? f | |
            await g()  #? f | |
            self._lock.release()
            with self._lock:
                await g()  #? f | self._lock |
        """,
    "nested functions hold nothing of their makers": """
        def outer():
            with lock:
                def inner():
                    work()  #? outer.<locals>.inner | |
                    with other_lock:
                        pass  #? outer.<locals>.inner | other_lock |
                inner()  #? outer | lock |
                f = lambda: work()  #? outer.<locals>.<lambda> | |
                x = [g() for y in z]  #? outer.<locals>.<listcomp> | |
        """,
    "lambda that takes": """
        take = lambda: lock.acquire()  #? <lambda> | | lock
        """,
    "generator, loops, match, try": """
        def f(x):
            for y in x:
                match y:
                    case 1:
                        with lock:
                            yield y  #? f | lock |
                    case _:
                        with lock:
                            for z in y:
                                try:
                                    a()  #? f | lock |
                                except E:
                                    b()  #? f | lock |
                                else:
                                    c()  #? f | lock |
                                finally:
                                    d()  #? f | lock |
        """,
    "decorated, and a name that is not there": """
        class A:
            @property
            @other
            def f(self):
                with self.lock:
                    pass  #? A.f | self.lock |
                x = 1  #? something_else | |
                with self.lock:
                    pass  #? B.f | self.lock |
        """,
    "with in a class body": """
        class A:
            with lock:
                x = 1  #? A | lock |
        """,
    "acquire as an argument": """
        def f():
            check(lock.acquire(), 1)  #? f | | lock
            work()  #? f | |
        """,
}


def _facts(tmp_path: Path, source: str, started: float | None = None) -> tuple[SourceFacts, str]:
    file = tmp_path / "program.py"
    file.write_text(source, "utf-8")
    return SourceFacts(None, time.time() if started is None else started), str(file)


@pytest.mark.parametrize("name", CASES)
def test_holds_and_takes(name: str, tmp_path: Path) -> None:
    source = textwrap.dedent(CASES[name])
    facts, file = _facts(tmp_path, source)
    stated = 0
    for number, line in enumerate(source.split("\n"), 1):
        code, mark, claim = line.partition("#?")
        if not mark:
            continue
        function, holds, takes = (part.strip() for part in claim.split("|"))
        found = facts.lookup(function, file, number)
        said = (", ".join(site.expression for site in found.holds), found.acquires.expression if found.acquires else "")
        assert said == (holds, takes), f"line {number}: {code.strip()}"
        assert found.text == line.strip()
        for site in filter(None, (*found.holds, found.acquires)):
            # Where a lock was taken, and how: memory can confirm a `with`, not an acquire()
            taken = source.split("\n")[site.line - 1]
            assert (".acquire(" in taken) == (site.how == "acquire")
        stated += 1
    assert stated


SCOPES = """
import threading
top = threading.Lock()

class A:
    def __init__(self):
        self.lock = threading.Lock()
        self.cond = threading.Condition(self.lock)
    def f(self):
        with self.lock: pass
    def g(self):
        with self.cond: pass
    def made(self):
        def inner():
            with self.lock: pass
        return inner

class B(A):
    def f(self):
        with self.lock: pass

class C:
    def f(self):
        with self.lock: pass
    @staticmethod
    def s(self):
        with self.lock: pass

def f():
    lock = threading.Lock()
    def inner():
        with lock: pass
    def other():
        with lock: pass
    def own(lock):
        with lock: pass
    def outermost():
        global top
        with top: pass
    with top: pass

def swap():
    nonlocal_lock = 0
    def g():
        nonlocal nonlocal_lock
        nonlocal_lock = threading.Lock()
        with nonlocal_lock: pass
"""


def test_scopes_tell_locks_apart(tmp_path: Path) -> None:
    facts, file = _facts(tmp_path, SCOPES)
    found: dict[str, Site] = {}
    functions = ["A.f", "A.g", "A.made.<locals>.inner", "B.f", "C.f", "C.s", "f", "swap.<locals>.g"]
    functions += [f"f.<locals>.{name}" for name in ("inner", "other", "own", "outermost")]
    for number, line in enumerate(SCOPES.split("\n"), 1):
        if "with " in line:
            for function in functions:
                site = facts.lookup(function, file, number).acquires
                if site is not None and site.function == function:
                    found[function] = site
                    assert (site.file, site.line) == (file, number)
    keys = {function: site.key.replace(file, "F") for function, site in found.items()}
    assert keys == {
        "A.f": "F::A::self.lock",
        "A.g": "F::A::self.lock",
        "A.made.<locals>.inner": "F::A::self.lock",
        "B.f": "F::A::self.lock",
        "C.f": "F::C::self.lock",
        "C.s": "F::C.s::self.lock",
        "f": "F::top",
        "f.<locals>.inner": "F::f::lock",
        "f.<locals>.other": "F::f::lock",
        "f.<locals>.own": "F::f.<locals>.own::lock",
        "f.<locals>.outermost": "F::top",
        "swap.<locals>.g": "F::swap::nonlocal_lock",
    }


@pytest.mark.parametrize("name", ["lock", "_lock", "read_lock", "iolock", "lock1", "stateMutex", "RLock", "_cv", "sem"])
def test_lock_names(name: str) -> None:
    assert is_lock_name(name)


@pytest.mark.parametrize(
    "name",
    ["clock", "block", "code_block", "lock_file", "lockTimeout", "flock", "session", "unlock", "condense", "", "_"],
)
def test_other_names(name: str) -> None:
    assert not is_lock_name(name)


@pytest.mark.parametrize(
    ("file", "expected"),
    [
        ("/home/u/app/main.py", "user"),
        ("main.py", "user"),
        ("<string>", "user"),
        ("<stdin>", "user"),
        ("/usr/lib/python3.11/threading.py", "stdlib"),
        ("/opt/py/lib/python3.13t/asyncio/events.py", "stdlib"),
        ("/usr/lib/python312.zip/os.py", "stdlib"),
        ("/usr/lib/python3/dist-packages/x.py", "library"),
        ("/v/lib/python3.11/site-packages/requests/api.py", "library"),
        ("<ipython-input-3-0f9d>", "user"),
        ("<frozen importlib._bootstrap>", "frozen"),
        # What libraries write at run time, as SQLAlchemy 2.1, attrs 25, cattrs, beartype, boltons, makefun, SymPy and
        # Werkzeug 3 call it.
        ("<sqlalchemy generated _go() wrapper for sqlalchemy.orm.session.SessionTransaction.close>", "library"),
        ("<attrs generated methods app.models.Order>", "library"),
        ("<cattrs generated structure app.models.Order>", "library"),
        ("<@beartype(app.models.total) at 0x7f6b3659c720>", "library"),
        ("<boltons.funcutils.FunctionBuilder-0>", "library"),
        ("<makefun-gen-1>", "library"),
        ("<decorator-gen-12>", "library"),
        ("<lambdifygenerated-1>", "library"),
        ("<werkzeug routing>", "library"),
        ("", "native"),
        ("/usr/lib/libc.so.6", "native"),
        ("/v/lib/python3.11/site-packages/x.cpython-311.so", "native"),
        ("ceval.c", "native"),
        ("/opt/py/lib/python3.13t/queue.py", "stdlib"),
        ("/opt/py/lib/python3.14td/lib-dynload/_queue.py", "stdlib"),
        ("/src/cpython/Lib/threading.py", "stdlib"),
        ("/srv/Lib/own.py", "user"),
        ("/srv/app.pyz/app/queue.py", "user"),
        ("/root/.shiv/app_1/site-packages/requests/api.py", "library"),
        ("concurrent/futures/thread.py", "stdlib"),  # in a frozen program
        ("/v/lib/python3.11/site-packages/concview/demos/deadlock.py", "user"),
        ("/v/lib/python3.11/site-packages/concview/agent/core.py", "library"),
    ],
)
def test_origin(file: str, expected: str) -> None:
    assert origin(file) == expected
    assert SourceFacts(None, 0).lookup("f", file, 1).origin == expected


@pytest.mark.parametrize(
    ("file", "module", "told", "expected"),
    [
        ("/opt/py/lib/python3.13t/queue.py", "queue.py", "", True),
        ("/srv/app/queue.py", "queue.py", "user", False),
        ("/v/lib/python3.11/site-packages/kombu/queue.py", "queue.py", "library", False),
        ("/v/lib/python3.11/site-packages/queue.py", "queue.py", "library", False),
        ("/v/lib/python3.11/site-packages/waitress/task.py", "waitress/task.py", "library", True),
        ("/srv/vendor/waitress/task.py", "waitress/task.py", "library", True),  # by the installer's own list
        ("/srv/waitress/task.py", "waitress/task.py", "user", False),
        ("<frozen queue>", "queue.py", "frozen", True),
        ("/usr/lib/python3.12/multiprocessing/queues.py", "multiprocessing/queues.py", "stdlib", True),
        ("/usr/lib/python3.12/asyncio/threads/queue.py", "queue.py", "stdlib", False),
    ],
)
def test_a_module_is_known_by_where_it_is_not_by_its_last_part(
    file: str, module: str, told: str, expected: bool
) -> None:
    assert is_module(file, module, told) is expected


def test_a_blocking_method_of_the_users_own_is_no_role() -> None:
    assert role_of("/opt/py/lib/python3.13t/queue.py", "Queue.get") == "Queue.get"
    assert role_of("/srv/app/queue.py", "Queue.get") == ""
    assert [c.via for c in calls_of("/usr/lib/python3.8/queue.py", "put", "stdlib")] == ["Queue.put"]
    assert calls_of("/usr/lib/python3.12/threading.py", "_RLock.acquire", "stdlib") == []


GOOD = "def f():\n    with lock:\n        pass\n"


def test_changed_source_says_nothing(tmp_path: Path) -> None:
    facts, file = _facts(tmp_path, GOOD, started=time.time() - 60)
    assert facts.lookup("f", file, 3) == Facts()


def test_change_while_watching_is_noticed(tmp_path: Path) -> None:
    facts, file = _facts(tmp_path, GOOD)
    assert facts.lookup("f", file, 2).acquires is not None
    Path(file).write_text("#\n" + GOOD)
    os.utime(file, (time.time() + 60,) * 2)
    assert facts.lookup("f", file, 3) == Facts()


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no FIFOs here")
def test_files_that_are_no_source(tmp_path: Path) -> None:
    later = time.time() + 60
    fifo = tmp_path / "fifo.py"
    os.mkfifo(fifo)
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(str(tmp_path / "socket.py"))
    contents = {
        "binary.py": bytes(range(256)) * 10,
        "nul.py": b"with lock:\n    \0\n",
        "huge.py": b"#" * (MAX_FILE + 1),
        "undecodable.py": b"with lock:\n    '\xff\xfe'\n",
        "unknown_codec.py": b"# coding: punycode\nwith lock:\n    pass\n",
        "empty.py": b"",
    }
    for name, content in contents.items():
        (tmp_path / name).write_bytes(content)
    (tmp_path / "loop.py").symlink_to("loop.py")
    files = [str(tmp_path / name) for name in (*contents, "loop.py", "fifo.py", "socket.py", "absent.py", "")]
    files += ["/dev/zero", "/dev/tty", "/proc/self/mem", "a\0b", "x" * 5000, "\ud800", "~", "../../.."]
    for file in files:
        found = SourceFacts(None, later).lookup("<module>", file, 2)
        assert (found.text, found.holds, found.acquires) == ("", (), None), file
    listener.close()


@pytest.mark.parametrize(
    "bomb",
    [
        "a+" * 100_000 + "1",
        "-" * 50_000 + "1",
        "(" * 3000 + ")" * 3000,
        "a" + ".b" * 50_000,
        "f(lock.acquire" + "()" * 20_000 + ")",
        "if x: pass\n" + "elif x: pass\n" * 5_000,
        "lambda:" * 20_000 + "1",
        "class A(A):\n with lock: pass\n" * 500,
        "x = '\\d'",
        "def f(:",
    ],
    ids=lambda bomb: bomb[:12],
)
def test_bombs_are_only_text(bomb: str, tmp_path: Path, recwarn: pytest.WarningsRecorder) -> None:
    facts, file = _facts(tmp_path, f"with lock: pass\n{bomb}\n")
    assert facts.lookup("<module>", file, 1).text == "with lock: pass"
    assert facts.lookup("<module>", file, 2).holds == ()
    assert not [w for w in recwarn if issubclass(w.category, SyntaxWarning | DeprecationWarning)]


def test_encodings_and_line_ends(tmp_path: Path) -> None:
    facts = SourceFacts(None, time.time() + 60)
    for number, (content, line) in enumerate(
        [
            ("# -*- coding: latin-1 -*-\nwith lock:\n    x = 'é'\n".encode("latin-1"), "x = 'é'"),
            ("\ufeffif 1:\r\n  with lock:\r\n    x = 'é'\r\n".encode(), "x = 'é'"),
            (b"if 1:\r  with lock:\r    x = 1\r", "x = 1"),
        ]
    ):
        file = tmp_path / f"{number}.py"
        file.write_bytes(content)
        found = facts.lookup("<module>", str(file), 3)
        assert (found.text, [site.expression for site in found.holds]) == (line, ["lock"])


def test_text_is_safe_for_a_terminal(tmp_path: Path) -> None:
    facts, file = _facts(tmp_path, "x = '\x1b[2J" + "a" * 1000 + "'\n")
    text = facts.lookup("<module>", file, 1).text
    assert "\x1b" not in text and len(text) <= 240


def test_relative_path_is_read_in_the_targets_folder(tmp_path: Path) -> None:
    (tmp_path / "here.py").write_text(GOOD)
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE, cwd=tmp_path) as process:
        facts = SourceFacts(process.pid, time.time() + 60)
        assert facts.lookup("f", "here.py", 2).acquires is not None
        process.kill()
    assert SourceFacts(process.pid, time.time()).lookup("f", "here.py", 2) == Facts()


def test_root_keeps_absolute_links_inside(tmp_path: Path) -> None:
    root = tmp_path / "root"
    (root / "srv").mkdir(parents=True)
    (tmp_path / "srv").mkdir()
    (root / "srv" / "app.py").write_text(GOOD)
    (root / "app").symlink_to("/srv")
    (root / "up").symlink_to("../../../../srv")
    (root / "round").symlink_to("/round")
    facts = SourceFacts(None, time.time() + 60, root=str(root))
    for path in ("/srv/app.py", "/app/app.py", "/up/app.py", "/../srv/./app.py"):
        assert facts.lookup("f", path, 3).holds, path
    for path in ("/round/app.py", "/app/none.py", str(root / "srv" / "app.py")):
        assert facts.lookup("f", path, 3) == Facts(), path


def test_memory_is_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("concview.source.facts._MAX_TEXT", 10_000)
    monkeypatch.setattr("concview.source.facts._MAX_PLACES", 50)
    facts = SourceFacts(None, time.time() + 60)
    for number in range(40):
        file = tmp_path / f"{number}.py"
        file.write_text(GOOD + "#" * 1000)
        for line in (1, 2, 3):
            assert facts.lookup("f", str(file), line).text
    assert facts._kept <= 10_000 and len(facts._sources) <= 10 and len(facts._places) <= 50


_PIECES = """
with lock:|with self.a, b.lock as x:|async with lock:|lock.acquire()|lock.release()|if lock.acquire(0):|try:|
finally:|except E:|else:|while not l.acquire():|def f(self):|class A(A):|return|pass|global lock|nonlocal lock|
lock = Lock()|self.a = Condition(self.a)|lock = Condition(lock)|cond.wait()|lambda: lock.acquire()|match x:|
case _:|await lock.acquire()|with (a,|lock):|x = [y for y in lock]|del lock|import lock|for lock in x:
"""


@settings(max_examples=300)
@given(
    st.lists(st.tuples(st.integers(0, 5), st.sampled_from(_PIECES.replace("\n", "").split("|"))), max_size=25),
    st.sampled_from(["f", "A.f", "<module>", "<lambda>"]),
)
def test_never_raises_on_code(
    tmp_path_factory: pytest.TempPathFactory, lines: list[tuple[int, str]], name: str
) -> None:
    source = "\n".join("  " * depth + piece + (" pass" if piece.endswith(":") else "") for depth, piece in lines)
    facts, file = _facts(tmp_path_factory.mktemp("fuzz"), source)
    for line in range(-1, len(lines) + 2):
        assert isinstance(facts.lookup(name, file, line), Facts)


@settings(max_examples=200)
@given(st.binary(max_size=400), st.text(max_size=40), st.text(max_size=40), st.integers())
def test_never_raises_on_bytes(
    tmp_path_factory: pytest.TempPathFactory, data: bytes, function: str, file: str, line: int
) -> None:
    path = tmp_path_factory.mktemp("fuzz") / "x.py"
    path.write_bytes(b"with lock:\n pass\n" + data)
    facts = SourceFacts(None, time.time() + 60)
    for candidate in (str(path), file, f"/{file}", f"<{file}"):
        for number in (1, 2, 3, line):
            assert isinstance(facts.lookup(function, candidate, number), Facts)


@pytest.mark.parametrize(("text", "line", "bell"), [
    ("def f():\n    while True:\n        with c:\n            c.wait()\n", 4, True),
    ("def f():\n    with c:\n        while True:\n            c.wait()\n            look()\n", 4, True),
    ("def f():\n    with c:\n        while not ready:\n            c.wait()\n", 4, False),
    ("def f():\n    with c:\n        while True:\n            if ready: break\n            c.wait()\n", 5, False),
    ("def f():\n    while True:\n        for x in xs:\n            if x: break\n        with c: c.wait()\n", 5, True),
    ("def f():\n    while True:\n        with c:\n            while not ready:\n                c.wait()\n", 5, False),
    ("def f():\n    with c:\n        c.wait()\n", 3, False),
])  # fmt: skip
def test_a_wait_that_is_repeated_and_looks_at_nothing_is_one_for_a_bell(text: str, line: int, bell: bool) -> None:
    read = Obligations(Uses(lambda _: text.split("\n")))
    assert read.of("f", "x.py", line, -1, "c", "Condition").loops == bell
    assert read.of("f", "x.py", line, 12, "c", "Queue").loops is False
    loop = File(parse(text)).loop("f", line)
    assert bool(loop is not None and loop.for_ever) == bell


@pytest.mark.parametrize(
    ("after", "back"),
    [
        ("self.pool.put(c)", True),
        ("POOL.put_nowait(c)", False),  # another queue: work that is handed on
        ("self.done.put(c)", False),
        ("self.pool.put(other)", False),
    ],
)
def test_a_queue_is_a_pool_where_what_was_taken_out_of_it_is_put_back_into_it(after: str, back: bool) -> None:
    text = f"def f(self):\n    c = self.pool.get()\n    use(c)\n    {after}\n"
    assert File(parse(text)).puts_back("f", 2) is back

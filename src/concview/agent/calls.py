"""Exact call counts and times with yappi, in windows of a few seconds, started and stopped so that nothing stays.

yappi's own start, get_func_stats, stop and clear_stats crash programs that create threads on 3.12 and newer: a thread
born in the window calls its setprofile hook after the stop, which hooks every thread again, and clear_stats then frees
what the hooks write to (yappi #188). So: the hook given to new threads is ours and asks whether a window is open; rows
are read by the C function that does not un-hook anything; after the stop every thread is un-hooked once more; and
nothing is freed before the counts have stood still.

Runs inside targets: Python 3.8 and newer, standard library and yappi only.
"""

from __future__ import annotations

import sys
import time

from .cost import Meter
from .originals import cooperative, original
from .rates import Rates
from .wire import plain

TYPE_CHECKING = False  # `typing` is not imported for its names alone: that costs a target milliseconds
if TYPE_CHECKING:
    from typing import Any

#: A window ends by itself when this many threads were seen in it: each costs about 20 kB until the end.
MAX_CONTEXTS = 500
#: Rows of one live reading, and of the account at the end.
LIVE_ROWS = 200
FINAL_ROWS = 4000
#: Callees kept for one row of the account at the end.
MAX_CALLEES = 50
_CLOCKS = {"wall": 0, "cpu": 1}  # CLOCK_TYPES in yappi.py


class Refused(Exception):
    """It cannot be done in this program. One sentence, what would help or '', and a code of `concview.errors.Code`,
    which is not there to be imported."""

    def __init__(self, message: str, remedy: str = "", code: str = "") -> None:
        super().__init__(message)
        self.remedy, self.code = remedy, code


def python_name() -> str:
    return "%d.%d" % sys.version_info[:2]


def load(folders: list[str]) -> tuple[Any, str]:
    """yappi's C module, and where it came from: 'loaded', 'installed' (both the program's own) or 'ours'.

    Its Python part is not needed: what it does is done here, more carefully, or in the dashboard.
    """
    found = sys.modules.get("_yappi")
    if found is not None:
        return found, "loaded"
    import importlib
    import importlib.machinery
    import importlib.util
    import os

    flags = getattr(sys, "abiflags", "")
    if "t" not in flags:  # yappi has no build for free-threaded Pythons, and its C code relies on the GIL
        try:
            if importlib.util.find_spec("_yappi") is not None:
                return importlib.import_module("_yappi"), "installed"
        except (ImportError, ValueError):
            pass
        for folder in folders:
            path = os.path.join(folder, "_yappi" + importlib.machinery.EXTENSION_SUFFIXES[0])
            if not os.path.isfile(path):
                continue
            # Loaded from its file: sys.path stays as it is.
            loader = importlib.machinery.ExtensionFileLoader("_yappi", path)
            spec = importlib.util.spec_from_file_location("_yappi", path, loader=loader)
            if spec is None:
                continue
            try:
                module = importlib.util.module_from_spec(spec)
                loader.exec_module(module)
            except ImportError:  # noexec mount, other C library
                continue
            sys.modules["_yappi"] = module
            return module, "ours"
    what = "free-threaded Python" if "t" in flags else "Python"
    raise Refused(
        "yappi cannot be imported in the target (%s %s, %s)" % (what, python_name(), _abi()),
        "%s -m pip install yappi" % (plain(sys.executable, 1000) or "python"),
        "missing",
    )


def _abi() -> str:
    import importlib.machinery

    return importlib.machinery.EXTENSION_SUFFIXES[0].split(".")[1]


class CallWindow:
    """One window of yappi. Made, started, read and stopped by the agent's thread only."""

    source = "yappi"

    def __init__(self, clock: str, seconds: float, folders: list[str]) -> None:
        if clock not in _CLOCKS:
            raise Refused("no such clock: %s" % plain(clock, 20), "wall or cpu")
        self.clock = clock
        self.seconds = seconds
        self.started = 0.0
        self._lent: set[tuple[int, ...]] = set()  #: (thread, function), (.., callee) that were given a call too many
        self._meter, self._rates = Meter(), Rates()
        self._on: list[bool] = []  #: not empty while the window is open; the hook of new threads looks at it
        library = cooperative()
        if library:
            raise Refused("the program runs on %s, whose switches yappi would count as calls of one thread" % library)
        threading = sys.modules.get("threading")
        if threading is None:
            raise Refused("the program has not imported threading, and it is not for us to do so from a foreign thread")
        self._threading: Any = threading
        self._yappi, self.origin = load(folders)
        if self._yappi.is_running():
            raise Refused("yappi runs already in the target, started by the program itself")
        if getattr(threading, "_profile_hook", None) is not None:
            raise Refused("another profiler is active in the target (threading.setprofile)")
        if self._rows():
            raise Refused("the target's yappi holds results of the program's own, which a window would destroy")
        if self._yappi.get_context_backend() != "NATIVE_THREAD":
            raise Refused("the program uses yappi with greenlets; a window would mix them up")

    # ------------------------------------------------------------ open and close

    def start(self) -> None:
        yappi = self._yappi
        self._rates.look()
        self._meter.begin()
        self._clock_before = yappi.get_clock_type()
        yappi.set_clock_type(_CLOCKS[self.clock])
        # Called for every new thread. `str` gives '' and makes no frame; yappi's default asks threading, which would
        # register foreign threads as dummies.
        yappi.set_context_name_callback(str)
        self._on.append(True)
        self._threading.setprofile(_hook(self._on, yappi._profile_event))
        self.started = time.monotonic()
        yappi.start(True, True)
        self._meter.hooked()
        sys.setprofile(None)  # not us: the agent is not what the user wants to see

    @property
    def over(self) -> bool:
        """Its time is up, or it grows too large."""
        return time.monotonic() - self.started >= self.seconds or self.contexts > MAX_CONTEXTS

    @property
    def contexts(self) -> int:
        seen: list[Any] = []
        self._yappi.enum_context_stats(seen.append)
        return len(seen)

    def stop(self) -> bool:
        """Un-hook every thread, and prove it: the counts stand still. False when they do not; then nothing is freed."""
        if not self._on:
            return True
        yappi = self._yappi
        self.ended, self._used = time.monotonic(), self._meter.used()
        del self._on[:]
        self._threading.setprofile(None)
        for _ in range(10):
            yappi.stop()
            _sleep(0.02)  # threads on their way into a hook get there
            everywhere = getattr(sys, "_setprofileallthreads", None)
            if everywhere is not None:  # 3.12 and newer
                everywhere(None)
            else:
                # With the flags of the window: yappi does not tell built-in functions after a start without them.
                yappi.start(True, True)
                yappi.stop()
            before = self._count()
            _sleep(0.05)
            if self._count() == before:
                return True
        return False

    def clear(self) -> None:
        """Free what yappi holds. Only after a `stop` that was proved, and after the last reading."""
        self._yappi.clear_stats()
        self._yappi.set_context_name_callback(None)
        self._yappi.set_clock_type(_CLOCKS.get(self._clock_before, 1))

    def abandon(self) -> None:
        """In a forked child, or when the interpreter may be ending: un-hook at once, free nothing."""
        self._rates.abandon()
        if self._on:
            del self._on[:]
            self._threading.setprofile(None)
            self._yappi.stop()
            sys.setprofile(None)

    # ------------------------------------------------------------ reading

    def _rows(self) -> list[Any]:
        """(name, module, line, calls, own calls, builtin, total, own, index, callees, context, ...) per function and
        thread. The GIL is not let go meanwhile, so the rows are of one moment: 1 to 2.5 us each.

        A function that has not returned yet has 0 calls; yappi makes that 1 when it is asked, for good, so that the
        return is counted on top. That call is taken off again.
        """
        rows: list[Any] = []
        self._yappi.enum_func_stats(rows.append, {})
        suspended = {row[8] for row in rows if getattr(row[13], "co_flags", 0) & _SUSPENDED}
        return [
            (
                *row[:3],
                self._exact((row[10], row[8]), row[8] in suspended, *row[3:5], *row[6:8]),
                *row[4:9],
                [(c[0], self._exact((row[10], row[8], c[0]), c[0] in suspended, *c[1:]), *c[2:]) for c in row[9]],
                *row[10:],
            )
            for row in rows
        ]

    def _exact(self, key: tuple[int, ...], suspended: bool, calls: int, own: int, total: float, spent: float) -> int:
        """The number of calls. Of one that returned some time was spent, unless it can be suspended half way."""
        if calls > 1:
            return calls - (key in self._lent)
        if not own and (suspended or not (total or spent)):
            self._lent.add(key)
        return calls

    def _count(self) -> int:
        return sum(row[3] for row in self._rows())

    def account(self, final: bool) -> dict[str, Any]:
        """The rows as plain data, largest total time first. `dropped` rows did not fit."""
        contexts: list[Any] = []
        self._yappi.enum_context_stats(contexts.append)
        # From 3.12 on yappi finds our thread again although it was un-hooked: what it does is not the program's.
        me = _ident()
        ours = [c[1] for c in contexts if c[2] == me]
        rows = [row for row in self._rows() if row[10] not in ours and not row[1].startswith(_OURS)]
        rows.sort(key=_total, reverse=True)
        limit = FINAL_ROWS if final else LIVE_ROWS
        natives = _native_ids(self._threading)
        builtin = sum(row[3] for row in rows if row[5])
        everything = sum(row[3] for row in rows)
        by_code: dict[Any, int] = {}
        for row in rows:
            by_code[row[13]] = by_code.get(row[13], 0) + row[3]
        used = self._used if final else self._meter.used()
        end = self.ended if final else time.monotonic()
        return {
            "source": self.source,
            "clock": self.clock,
            "seconds": end - self.started,
            "calls": everything,
            "cost": self._meter.account(everything - builtin, builtin, used, self._rates.factor(by_code, used)),
            "dropped": max(0, len(rows) - limit),
            "threads": [[c[1], natives.get(c[2], 0)] for c in contexts[:MAX_CONTEXTS] if c[1] not in ours],
            "rows": [
                [
                    row[8],
                    plain(row[0]),
                    plain(row[1], 1000),
                    row[2],
                    row[3],
                    row[4],
                    row[6],
                    row[7],
                    row[10],
                    [list(callee) for callee in row[9][:MAX_CALLEES]] if final else [],
                ]
                for row in rows[:limit]
            ],
        }


#: Code flags of generators, coroutines and asynchronous generators.
_SUSPENDED = 0x20 | 0x80 | 0x200
#: File names of the agent's own code begin with this when it was injected (engines/inject/boot.py).
_OURS = "<concview agent"


def _total(row: Any) -> float:
    return float(row[6])


def _hook(on: list[bool], profile_event: Any) -> Any:
    """The hook of threads that start in the window: yappi's while it is open, none afterwards."""
    unset = sys.setprofile

    def hook(frame: Any, event: str, arg: Any) -> None:
        if on:
            profile_event(frame, event, arg)
        else:
            unset(None)

    return hook


def _native_ids(threading: Any) -> dict[int, int]:
    """pthread id -> the kernel's id. Without threading's lock: a forked or dying thread may hold it."""
    found = {}
    for ident, thread in list(threading._active.items()):
        found[ident] = getattr(thread, "native_id", None) or 0
    return found


def _ident() -> int:
    import _thread

    return _thread.get_ident()


def _sleep(seconds: float) -> None:
    original("time", "sleep")(seconds)

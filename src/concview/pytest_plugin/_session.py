"""The plugin where tests run: in pytest's own process, or in each of pytest-xdist's workers."""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from collections.abc import Generator
from contextlib import nullcontext
from typing import Any

import msgspec
import pytest

from concview.commands._fail_on import parse
from concview.commands.base import CommandError
from concview.model import Severity
from concview.pytest_plugin import _messages as messages
from concview.pytest_plugin._client import CannotWatch, Client
from concview.pytest_plugin._controller import Outcome, show
from concview.pytest_plugin._leaks import Tasks, Threads, frames_of, runs
from concview.text import plural

#: Interrupts the main thread in a test that can never go on. Real-time signals are hardly ever used in tests.
SIGNAL = signal.SIGRTMIN + 7
#: What a test shorter than this did cannot be told from what those around it did: findings then fail the session.
LONG_NS = 2_000_000_000
#: An explanation of a timeout is of this moment before it struck.
BEFORE_NS = 50_000_000
LEAKS = ("threads", "tasks", "none")


class WatchedSession:
    def __init__(self, config: pytest.Config) -> None:
        self._config = config
        self._client = Client(self._deadlocked)
        try:
            self._fail_on = parse([config.getoption("--concview-fail-on")])
            grace_s = float(config.getini("concview_grace"))
        except CommandError as error:
            raise pytest.UsageError(f"--concview-fail-on: {error.message}; {error.remedy}") from None
        except ValueError:
            raise pytest.UsageError("concview_grace: must be a number of seconds") from None
        leaks = {word.strip() for word in config.getoption("--concview-leaks").split(",")}
        if not leaks <= set(LEAKS):
            raise pytest.UsageError(
                f"--concview-leaks: {', '.join(LEAKS)}; not {', '.join(sorted(leaks - set(LEAKS)))}"
            )
        self._threads = Threads(tuple(config.getini("concview_allow_threads")), grace_s) if "threads" in leaks else None
        self._tasks = Tasks() if "tasks" in leaks else None
        self._outcome = Outcome()
        self._item: pytest.Item | None = None
        self._began_ns = 0
        self._timeout_ns = 0  #: when pytest-timeout will strike; 0: not
        self._inside = False  #: a phase of a test is running: what is raised now fails it
        self._deadlocks: list[messages.Deadlock] = []  #: of this test
        self._raising: messages.Deadlock | None = None
        self._previous: Any = None
        self._exitstatus = 0
        self._stuck: set[int] = set()  #: tids of threads that are deadlocked at the end

    # ------------------------------------------------------------ the session

    @pytest.hookimpl(trylast=True)
    def pytest_sessionstart(self) -> None:
        capture = self._config.pluginmanager.getplugin("capturemanager")
        # The watcher gets the real standard error: it may have to speak when we cannot any more.
        with capture.global_and_fixture_disabled() if capture is not None else nullcontext():
            try:
                self._client.start(
                    self._config.getoption("--concview-rate"), self._config.getoption("--concview-config")
                )
            except CannotWatch as error:
                remedy = f" ({error.remedy})" if error.remedy else ""
                raise pytest.UsageError(f"--concview: this process cannot be watched: {error.reason}{remedy}") from None
        self._outcome.engine = self._client.engine
        if self._tasks is not None:
            self._tasks.install()
            self._outcome.unseen = self._tasks.why_not
        if threading.current_thread() is threading.main_thread():
            self._previous = signal.signal(SIGNAL, self._interrupt)

    @pytest.hookimpl(tryfirst=True)
    def pytest_sessionfinish(self, session: pytest.Session, exitstatus: int) -> None:
        answer = self._client.ask(messages.Finish())
        if isinstance(answer, messages.Findings):
            self._take(answer)
            self._stuck = set(answer.stuck)
        else:
            self._outcome.lost = True
        self._client.close()
        if self._tasks is not None:
            self._tasks.uninstall()
        if self._previous is not None:
            signal.signal(SIGNAL, self._previous)
        output = getattr(self._config, "workeroutput", None)
        if output is not None:
            output["concview"] = msgspec.json.encode(self._outcome).decode()
        elif self._outcome.failed and session.exitstatus == pytest.ExitCode.OK:
            session.exitstatus = pytest.ExitCode.TESTS_FAILED
        self._exitstatus = int(session.exitstatus)

    def pytest_terminal_summary(self, terminalreporter: Any) -> None:
        show(terminalreporter, self._outcome, "")

    @pytest.hookimpl(trylast=True)
    def pytest_unconfigure(self) -> None:
        """Deadlocked threads that are no daemons would keep the interpreter from ending, for ever."""
        main = threading.main_thread()
        stuck = [t for t in threading.enumerate() if t.native_id in self._stuck and not t.daemon and t is not main]
        if not stuck or hasattr(self._config, "workeroutput"):
            return
        names = ", ".join(t.name for t in stuck)
        sys.stdout.flush()
        sys.stderr.write(f"concview: {names}: deadlocked; leaving without waiting for their end\n")
        sys.stderr.flush()
        os._exit(self._exitstatus)

    # ------------------------------------------------------------ a test

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtest_protocol(self, item: pytest.Item) -> Generator[None, object, object]:
        self._item, self._began_ns, self._timeout_ns = item, time.monotonic_ns(), 0
        self._deadlocks.clear()
        self._client.tell(messages.TestBegan(item.nodeid, self._began_ns))
        if self._threads is not None:
            self._threads.begin()
        if self._tasks is not None:
            self._tasks.take()
        try:
            return (yield)
        finally:
            self._item = None

    @pytest.hookimpl(wrapper=True)
    def pytest_fixture_setup(self, fixturedef: Any) -> Generator[None, object, object]:
        keeps = self._threads is not None and fixturedef.scope != "function"
        with self._threads.kept() if keeps and self._threads is not None else nullcontext():
            return (yield)

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtest_setup(self) -> Generator[None, object, object]:
        return (yield from self._phase())

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtest_call(self) -> Generator[None, object, object]:
        return (yield from self._phase())

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtest_teardown(self) -> Generator[None, object, object]:
        return (yield from self._phase())

    def _phase(self) -> Generator[None, object, object]:
        self._inside = True
        try:
            return (yield)
        finally:
            self._inside = False

    @pytest.hookimpl(optionalhook=True)
    def pytest_timeout_set_timer(self, item: pytest.Item, settings: Any) -> None:
        if settings.timeout:
            self._timeout_ns = time.monotonic_ns() + int(settings.timeout * 1e9)

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_makereport(
        self, item: pytest.Item, call: pytest.CallInfo[None]
    ) -> Generator[None, pytest.TestReport, pytest.TestReport]:
        report = yield
        if call.excinfo is not None and str(call.excinfo.value).startswith("Timeout"):
            now_ns = time.monotonic_ns()
            struck_ns = min(self._timeout_ns or now_ns, now_ns) - BEFORE_NS
            answer = self._client.ask(messages.Explain(self._began_ns, struck_ns))
            if isinstance(answer, messages.Explained):
                report.sections.append(("concview: who waited for whom when the time was over", answer.text))
        if call.when == "teardown":
            said = self._judge(item)
            if said and report.outcome == "passed":
                report.outcome = "failed"
                report.longrepr = "\n\n".join(said)
            elif said:
                report.sections.append(("concview", "\n\n".join(said)))
        return report

    # ------------------------------------------------------------ what is said of a test

    def _judge(self, item: pytest.Item) -> list[str]:
        """What fails this test now that it is over."""
        mark = item.get_closest_marker("concview")
        allows = mark.kwargs if mark is not None else {}
        said: list[str] = []
        leaks = self._left_behind()
        if allows.get("leaks", True):
            said += leaks
        now_ns = time.monotonic_ns()
        ended = messages.TestEnded(item.nodeid, now_ns, wants=now_ns - self._began_ns >= LONG_NS)
        if ended.wants:
            answer = self._client.ask(ended)
            if isinstance(answer, messages.Findings):
                found = self._take(answer, self._began_ns)
                if allows.get("findings", True):
                    said += [f"concview: {f.rule}: {f.title}\n{f.text}" for f in found if f.fails]
        else:
            self._client.tell(ended)
        if allows.get("deadlocks", True):
            sure = [d for d in self._deadlocks if d.exact]
            said += [f"concview: threads are deadlocked\n{d.text}" for d in sure]
            self._outcome.told += [d.tids for d in sure]
        return said

    def _left_behind(self) -> list[str]:
        said: list[str] = []
        left = self._threads.left() if self._threads is not None else []
        if left:
            tids = tuple(t.native_id for t in left if t.native_id is not None)
            answer = self._client.ask(messages.Explain(self._began_ns, time.monotonic_ns(), tids))
            reasons = answer.threads if isinstance(answer, messages.Explained) else {}
            rows = [
                f"concview: {len(left)} thread{'s' * (len(left) > 1)} of this test still run{'s' * (len(left) == 1)}"
            ]
            for thread in left:
                why = f": {reason}" if (reason := reasons.get(thread.native_id or 0, "")) else ""
                rows.append(f"  {thread.name}{' (daemon)' if thread.daemon else ''}{runs(thread)}{why}")
                rows += frames_of(thread)
            said.append("\n".join(rows))
        tasks = self._tasks.take() if self._tasks is not None else []
        if tasks:
            rows = [f"concview: {plural(len(tasks), 'task')} pending when the event loop was closed"]
            rows += [f"  {t.name}: {t.function}" + (f" at {t.place}" if t.place else "") for t in tasks]
            said.append("\n".join(rows))
        return said

    def _take(self, answer: messages.Findings, began_ns: int = -1) -> list[messages.Found]:
        """Remember what was found. Of a test that began then, what came with it; all is its own."""
        out = self._outcome
        out.seconds, out.samples = answer.seconds, answer.samples
        known = {(f.rule, f.title, f.severity): f for f in out.found}
        fresh = []
        for found in answer.found:
            if (found.rule, found.title, found.severity) in known:
                continue
            if found.rule == "deadlock" and any(d.exact for d in out.deadlocks):
                continue  # told already, with everybody in it
            fails = self._fails(found)
            found = msgspec.structs.replace(found, fails=fails)
            out.found.append(found)
            fresh.append(found)
        # What a long test is failed for, the session need not be.
        if began_ns < 0:
            out.failed = out.failed or any(f.fails for f in fresh)
            return fresh
        own = [f for f in fresh if f.began_ns == began_ns]
        out.failing += [f.title for f in own if f.fails]
        out.failed = out.failed or any(f.fails for f in fresh if f not in own)
        return own

    def _fails(self, found: messages.Found) -> bool:
        from concview.commands._fail_on import LEVELS

        return Severity(found.severity) in LEVELS[self._fail_on.level_of(found.rule)]

    # ------------------------------------------------------------ deadlocks

    def _deadlocked(self, deadlock: messages.Deadlock) -> None:
        """In the client's thread. The main thread may be one of those that stand still: then it is woken."""
        _put(self._outcome.deadlocks, deadlock)
        item = self._item
        if item is None or item.nodeid != deadlock.test:
            self._outcome.failed = self._outcome.failed or deadlock.exact
            return
        _put(self._deadlocks, deadlock)
        mark = item.get_closest_marker("concview")
        wanted = mark is None or mark.kwargs.get("deadlocks", True)
        if deadlock.exact and deadlock.main and self._inside and wanted and self._previous is not None:
            self._raising = deadlock
            signal.pthread_kill(threading.main_thread().ident or 0, SIGNAL)

    def _interrupt(self, number: int, frame: object) -> None:
        """In the main thread, in whatever it waited for."""
        deadlock, self._raising = self._raising, None
        if deadlock is None or not self._inside or self._item is None or self._item.nodeid != deadlock.test:
            return
        self._deadlocks = [d for d in self._deadlocks if d.tids != deadlock.tids]
        self._outcome.told.append(deadlock.tids)
        pytest.fail(f"concview: this test is deadlocked\n\n{deadlock.text}", pytrace=False)


def _put(known: list[messages.Deadlock], deadlock: messages.Deadlock) -> None:
    """In place of what was known of the same circle before."""
    known[:] = [d for d in known if d.tids != deadlock.tids] + [deadlock]

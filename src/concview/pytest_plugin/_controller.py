"""What watching a session found, and the section of the report that shows it; with pytest-xdist from every worker."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from concview.pytest_plugin._messages import Deadlock, Found
from concview.text import plural

#: Findings shown in full.
MOST_SHOWN = 10


class Outcome(msgspec.Struct):
    """Of one watched process."""

    engine: str = ""
    seconds: float = 0.0
    samples: int = 0
    unseen: str = ""  #: why leaks of tasks are not seen
    lost: bool = False  #: the watcher was gone at the end
    failed: bool = False  #: something that no single test was failed for
    found: list[Found] = []
    deadlocks: list[Deadlock] = []
    told: list[tuple[int, ...]] = []  #: of these deadlocks a test's own report tells
    failing: list[str] = []  #: and of these findings, by their titles


class Controller:
    """In pytest-xdist's controller."""

    def __init__(self) -> None:
        self._outcomes: dict[str, Outcome] = {}

    @pytest.hookimpl(optionalhook=True)
    def pytest_testnodedown(self, node: Any, error: object) -> None:
        told = getattr(node, "workeroutput", {}).get("concview")
        name = str(node.gateway.id)
        self._outcomes[name] = msgspec.json.decode(told, type=Outcome) if told else Outcome(lost=True)

    @pytest.hookimpl(tryfirst=True)
    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        if session.exitstatus == pytest.ExitCode.OK and any(o.failed for o in self._outcomes.values()):
            session.exitstatus = pytest.ExitCode.TESTS_FAILED

    def pytest_terminal_summary(self, terminalreporter: Any) -> None:
        for name, outcome in sorted(self._outcomes.items()):
            show(terminalreporter, outcome, name)


def show(reporter: Any, outcome: Outcome, worker: str) -> None:
    reporter.section(f"concview{f' {worker}' if worker else ''}")
    if outcome.lost:
        reporter.line("the watcher was gone before the end: what is said here is not all", red=True)
    reporter.line(
        f"watched {outcome.seconds:.1f} s, {plural(outcome.samples, 'sample')}, engine {outcome.engine or 'none'}"
    )
    if outcome.unseen:
        reporter.line(f"tasks left behind are not seen: {outcome.unseen}", yellow=True)
    for deadlock in outcome.deadlocks:
        sure = "deadlock" if deadlock.exact else "possible deadlock (holders inferred from the source)"
        reporter.line(f"{sure}{f' in {deadlock.test}' if deadlock.test else ''}", red=True)
        if deadlock.tids not in outcome.told:
            reporter.line(deadlock.text)
    for found in outcome.found[:MOST_SHOWN]:
        where = f"during {found.test}" if found.test else "between tests"
        if found.title in outcome.failing:
            reporter.line(f"{found.rule}, {where}: see its report", red=True)
        else:
            reporter.line(f"{where}:")
            reporter.line(found.text, red=found.fails)
    if len(outcome.found) > MOST_SHOWN:
        reporter.line(f"... {plural(len(outcome.found) - MOST_SHOWN, 'more finding')}")
    if not outcome.found and not outcome.deadlocks:
        reporter.line("no findings, no deadlocks")

"""Fixtures that run a test once for every interpreter found, and a header that says which are missing."""

from __future__ import annotations

import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

# Test files say `from interpreters import ...` from any folder.
sys.path.insert(0, str(Path(__file__).parent))
sys.path.insert(0, str(Path(__file__).parent / "readers"))

import at_hand

import capacity
from concview.linux import wakeups
from interpreters import FULL, Interpreter, few, interpreters, missing


def _coverage() -> list[str]:
    found = ", ".join(f"{i.version[0]}.{i.version[1]}.{i.micro}{'t' * i.free_threaded}" for i in interpreters())
    lines = [f"interpreters: {found or 'none'}"]
    if missing():
        lines.append(f"NOT TESTED: Python {', '.join(missing())} not found (set CONCVIEW_PYTHONS to where they are)")
    unread = at_hand.missing()
    if unread:
        lines.append(f"NOT TESTED: exports in {', '.join(unread)} (tools/fetch-readers DIR; CONCVIEW_READERS=DIR)")
    return lines


def pytest_report_header(config: pytest.Config) -> list[str]:
    return _coverage()


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Again at the end: with -q there is no header, and a missing version must not go unseen."""
    terminalreporter.write_line("\n".join(_coverage()), yellow=bool(missing()))


def _versions(minimum: int, maximum: int = 99, free_threaded: bool | None = None) -> list[Interpreter]:
    return [
        i
        for i in interpreters()
        if minimum <= i.version[1] <= maximum and (free_threaded is None or i.free_threaded == free_threaded)
    ]


# What hypothesis tries is the same in every run, so that a change is told from luck; with CONCVIEW_FULL=1 it looks for
# something new. A machine that stands still for a moment is no failure.
settings.register_profile("concview", deadline=None, derandomize=not FULL, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("concview")


def _pyspy(versions: list[Interpreter]) -> list[Interpreter]:
    """By choice only: a version that knows its threads' numbers and one that does not."""
    return versions if FULL else [i for i in versions if i.version in ((3, 8), (3, 13))]


#: fixture name -> the interpreters it runs over
_FIXTURES = {
    "any_python": lambda: _versions(8),
    "gil_python": lambda: _versions(8, free_threaded=False),
    "direct_python": lambda: _versions(8),
    "pyspy_python": lambda: _pyspy(_versions(8, 14, free_threaded=False)),
    "free_threaded_python": lambda: _versions(13, free_threaded=True),
}


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """`any_python` 3.8+, `gil_python` 3.8+ with a GIL, `direct_python` 3.8+, `pyspy_python` two of 3.8-3.14,
    `free_threaded_python`, `interpreter` = any_python limited by `@pytest.mark.python(minimum, maximum)` (False behind
    them: those with a GIL). With
    `@pytest.mark.few` on a few of them."""
    chosen = {name: versions() for name, versions in _FIXTURES.items() if name in metafunc.fixturenames}  # type: ignore[no-untyped-call]
    if "interpreter" in metafunc.fixturenames:
        mark = metafunc.definition.get_closest_marker("python")
        chosen["interpreter"] = _versions(*mark.args) if mark else _versions(8)
    of_few = metafunc.definition.get_closest_marker("few") is not None
    some = metafunc.definition.get_closest_marker("some")
    for name, versions in chosen.items():
        if some is not None and not FULL:
            versions = [i for i in versions if i.version[1] in some.args or i.free_threaded] or versions
        _parametrize(metafunc, name, few(versions) if of_few else versions)


def _parametrize(metafunc: pytest.Metafunc, name: str, versions: list[Interpreter]) -> None:
    """Without an interpreter the test shows as skipped, never as passed."""
    if versions:
        metafunc.parametrize(name, versions, ids=[i.label for i in versions])
    else:
        metafunc.parametrize(name, [pytest.param(None, marks=pytest.mark.skip(reason="no such interpreter found"))])


@pytest.fixture(autouse=True)
def _share_of_the_machine(request: pytest.FixtureRequest) -> Iterator[None]:
    mark = request.node.get_closest_marker("units")
    with capacity.units(mark.args[0] if mark else capacity.USUAL):
        yield


def pytest_configure(config: pytest.Config) -> None:
    # Other tests, and whoever uses the machine, load programs into its one kernel at the same time: with as many as are
    # allowed together the next source of records does without wakers, and nothing is wrong with it. From the beginning
    # on: whether wakers can be had at all is asked when a file of tests is imported.
    wakeups._TOGETHER = 1 << 20
    interpreters()  # once, before there are workers: they inherit it
    # Started in the background of a script, or under nohup, we would hand on that these are ignored; tests send them.
    for number in (signal.SIGINT, signal.SIGHUP):
        if signal.getsignal(number) is signal.SIG_IGN:
            signal.signal(number, signal.default_int_handler if number == signal.SIGINT else signal.SIG_DFL)
    config.addinivalue_line(
        "markers", "python(minimum, maximum, free_threaded): limits the `interpreter` fixture to 3.minimum .. 3.maximum"
    )
    config.addinivalue_line(
        "markers",
        "few: what hardly depends on the version runs on the oldest and the newest, on all with CONCVIEW_FULL=1",
    )
    config.addinivalue_line("markers", "some(minors): runs on 3.minor for these, on all with CONCVIEW_FULL=1")
    config.addinivalue_line("markers", "units(count): of the machine's capacity while it runs, see capacity.py")

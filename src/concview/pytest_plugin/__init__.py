"""A pytest plugin: `pytest --concview` watches the session from outside while the tests run. See docs/pytest.md.

A test fails that deadlocks (it is told who holds what, and the session goes on), that leaves threads or tasks behind,
or during which a rule fires. This module is imported by every pytest where concview is installed: it must stay light.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pytest

DEFAULT_FAIL_ON = "warn,cpu-*=never"


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("concview", "threads, tasks, locks and deadlocks, by concview")
    group.addoption("--concview", action="store_true", help="watch the session from outside while the tests run")
    group.addoption(
        "--concview-leaks",
        metavar="WHAT",
        default="threads,tasks",
        help="what a test must not leave behind: threads, tasks (default: both) or none",
    )
    group.addoption(
        "--concview-fail-on",
        metavar="LEVEL",
        default=DEFAULT_FAIL_ON,
        help=f"findings that fail a test: info, warn, never, RULE=LEVEL (default {DEFAULT_FAIL_ON})",
    )
    group.addoption("--concview-rate", metavar="HZ", type=float, default=100.0, help="samples a second (default 100)")
    group.addoption("--concview-config", metavar="FILE", help="settings of rules, a concview.toml (default: none)")
    parser.addini("concview_allow_threads", "threads that may stay: patterns of names", type="linelist", default=[])
    parser.addini("concview_grace", "seconds that threads have to end after a test", default="1.0")


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line(
        "markers",
        "concview(leaks=False, deadlocks=False, findings=False): what of --concview may not fail this test",
    )
    if not config.getoption("--concview"):
        return
    # With pytest-xdist the workers run the tests: each is watched, and the controller shows what they found.
    spread = config.getoption("numprocesses", None) or getattr(config.option, "tx", None)
    if spread and not hasattr(config, "workerinput"):
        from concview.pytest_plugin._controller import Controller

        config.pluginmanager.register(Controller(), "concview-controller")
    else:
        from concview.pytest_plugin._session import WatchedSession

        config.pluginmanager.register(WatchedSession(config), "concview-session")

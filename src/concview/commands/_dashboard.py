"""Showing the dashboard, and cleaning up behind it. The only place that imports Textual."""

from __future__ import annotations

import argparse
import contextlib
import importlib
import threading
from typing import TYPE_CHECKING, Any, Protocol

from concview.commands import _agent
from concview.commands.base import CommandError, Exit
from concview.config import Config
from concview.tui import first

if TYPE_CHECKING:
    from concview.commands._target_process import Child, Ring
    from concview.demos.base import Demo
    from concview.process.discovery import Candidate
    from concview.session import Session
    from concview.session.service import LiveService
    from concview.tui.ports import DeepFrame, Service

#: A demo has said 'ready' within this time, or something is wrong with it.
DEMO_START_S = 30.0


class _Row:
    """A process as the picker's list wants it: discovery says `user` where the list has an owner."""

    def __init__(self, candidate: Candidate) -> None:
        self._candidate = candidate

    @property
    def owner(self) -> str:
        return self._candidate.user

    def __getattr__(self, name: str) -> Any:
        return getattr(self._candidate, name)


def deep_look(pid: int, tid: int, native: bool) -> list[DeepFrame]:
    """One thread as py-spy reads it now, innermost frame first. TargetError with a remedy; LookupError: it ended.

    Without native frames the target is not stopped; with them it must be.
    """
    from concview.engines.pyspy import look
    from concview.errors import TargetGone
    from concview.tui.ports import DeepFrame, DeepLocal

    try:
        seen = look(pid, native=native, locals=True, nonblocking=not native)
    except TargetGone:
        raise LookupError(f"process {pid} has ended") from None
    thread = next((t for t in seen.threads if t.tid == tid), None)
    if thread is None:
        raise LookupError(f"py-spy does not see thread {tid}: it ended, or it runs no Python code")
    return [
        DeepFrame(f.function, f.file, f.line, f.native, tuple(DeepLocal(x.name, x.value, x.argument) for x in f.locals))
        for f in thread.frames
    ]


class Launch(Protocol):
    """How the target on screen was started, to do it again. `variant`: of a demo."""

    variant: str

    def start(self, other: bool) -> Child:
        """A running target; `other`: in the other variant, where there is one. CommandError when it does not start."""
        ...

    def begun(self, session: Session) -> None:
        """It is watched now."""
        ...

    def output(self, child: Child) -> Ring | None:
        """What a pane shows of what it prints."""
        ...


class DemoLaunch:
    """A demo, in the variant that is asked for."""

    def __init__(
        self, demo: Demo, variant: str, python: str | None = None, agent: bool = False, calls: str = ""
    ) -> None:
        self.demo, self.variant, self._python, self._agent, self._calls = demo, variant, python, agent, calls

    def start(self, other: bool) -> Child:
        if other:
            self.variant = "fixed" if self.variant == "bad" else "bad"
        return start(self.demo, self.variant, self._python)

    def begun(self, session: Session) -> None:
        _agent.invite_for_demo(session, self.demo.id, self._agent, self._calls)

    def output(self, child: Child) -> Ring | None:
        return child.ring if self.demo.prints else None


def load() -> None:
    """Import Textual and all that is built on it."""
    importlib.import_module("concview.tui.app")


def preload() -> None:
    """Begin with it while the collector starts: both take a quarter of a second, on different CPUs."""

    def begin() -> None:
        # A failure shows again, and properly, where it is imported for use.
        with contextlib.suppress(Exception):
            load()

    # Not a daemon: when attaching fails, the interpreter must not end in the middle of an import.
    threading.Thread(target=begin, name="concview-preload").start()


def show(
    session: Session | None,
    config: Config,
    blocking: bool = False,
    child: Child | None = None,
    output: Ring | None = None,
    launch: Launch | None = None,
) -> int:
    """Run the dashboard until it is left; everything that was started is ended then. `output` gets a pane.

    `launch` starts the target anew when that is asked for; `child` is then what it started first.
    """
    from concview.tui import remember
    from concview.tui.app import ConcviewApp
    from concview.tui.keys import UnusableKey
    from concview.tui.ports import Picker, StartAgain, Started

    sessions: list[Session] = [session] if session is not None else []
    services: list[LiveService] = []
    children: list[Child] = [child] if child is not None else []
    launches: list[Launch | None] = [launch]  #: the last one is of the target on screen

    def attach(pid: int) -> Session:
        launches.append(None)
        return watch(pid)

    def watch(pid: int) -> Session:
        from concview.commands import _open
        from concview.commands._target_process import in_lasting_thread

        # In a thread that lasts: the collector dies with the thread that started it.
        opened = in_lasting_thread(lambda: _open.open_live(pid, config, blocking))
        sessions.append(opened)
        return opened

    # What the list of processes needs is imported in the thread that fills it, behind the first picture.

    def list_processes() -> list[_Row]:
        from concview.process.discovery import python_processes

        return [_Row(candidate) for candidate in python_processes()]

    def watch_tree(pid: int) -> LiveService:
        from concview.commands import _several
        from concview.commands._target_process import in_lasting_thread

        options = argparse.Namespace(tree=True, blocking=blocking)
        service = in_lasting_thread(lambda: _several.service(options, config, [pid]))
        services.append(service)
        return service

    def list_demos() -> list[tuple[str, str]]:
        from concview.demos.base import demos

        return [(d.id, d.title) for d in demos().values()]

    def start_demo(demo_id: str) -> Session:
        from concview.demos.base import demos

        demo = DemoLaunch(demos()[demo_id], "bad")
        children.append(demo.start(False))
        session = watch(children[-1].pid)
        demo.begun(session)
        launches.append(demo)
        return session

    def restart(other: bool) -> Started:
        from concview.commands import _launch
        from concview.commands._target_process import in_lasting_thread

        launch = launches[-1]
        assert launch is not None
        # First, not after: the new one may need its ports and files.
        children[-1].close()
        children.append(launch.start(other))
        session = in_lasting_thread(lambda: _launch.attach(children[-1], config, blocking, keep=True).session)
        sessions.append(session)
        launch.begun(session)
        return Started(session, launch.output(children[-1]), launch.variant)

    def again() -> StartAgain | None:
        return restart if launches[-1] is not None else None

    def demo() -> tuple[str, str] | None:
        shown = launches[-1]
        return (shown.demo.id, shown.demo.story) if isinstance(shown, DemoLaunch) else None

    picker = Picker(
        demo=demo,
        list_processes=list_processes,
        attach=attach,
        watch_tree=watch_tree,
        list_demos=list_demos,
        start_demo=start_demo,
        again=again,
    )
    try:
        app = ConcviewApp(
            session=session,
            picker=picker,
            deep_look=deep_look,
            output=output,
            theme=config.theme,
            own_keys=config.keys,
            state=remember.file() if config.remember else None,
        )
    except UnusableKey as error:
        for each in sessions:
            each.close()
        for one in children:
            one.close()
        raise CommandError(f"settings: {error}", Exit.USAGE) from None
    try:
        first.echo()
        app.run(mouse=config.mouse)
        # Textual has told of its own failure; its code 1 would read as findings.
        return Exit.INTERNAL if app.return_code else Exit.FINE
    finally:
        for each in sessions:
            with contextlib.suppress(OSError):
                each.close()
        for service in services:
            with contextlib.suppress(OSError):
                service.close()
        for one in children:
            one.close()


def show_service(service: Service, config: Config) -> int:
    """Run the dashboard on several processes until it is left; the service is closed then."""
    from concview.tui import remember
    from concview.tui.app import ConcviewApp
    from concview.tui.keys import UnusableKey

    try:
        try:
            app = ConcviewApp(
                service=service,
                deep_look=deep_look,
                theme=config.theme,
                own_keys=config.keys,
                state=remember.file() if config.remember else None,
            )
        except UnusableKey as error:
            raise CommandError(f"settings: {error}", Exit.USAGE) from None
        first.echo()
        app.run(mouse=config.mouse)
        return Exit.INTERNAL if app.return_code else Exit.FINE
    finally:
        service.close()


def compare(demo: Demo, config: Config, blocking: bool = False, python: str | None = None) -> int:
    """A demo's bad and its fixed variant side by side, until it is left; both are ended then."""
    from concview.commands import _open
    from concview.tui import remember
    from concview.tui.app import ConcviewApp
    from concview.tui.keys import UnusableKey
    from concview.tui.ports import Picker
    from concview.tui.screens.comparison import Side

    with contextlib.ExitStack() as stack:
        sides = []
        for variant in ("bad", "fixed"):
            child = start(demo, variant, python)
            stack.callback(child.close)
            session = _open.open_live(child.pid, config, blocking)
            stack.callback(session.close)
            sides.append(Side(variant, session))
        picker = Picker(list_processes=list, attach=_nothing_else, demo=lambda: (demo.id, demo.story))
        try:
            app = ConcviewApp(
                picker=picker,
                theme=config.theme,
                own_keys=config.keys,
                state=remember.file() if config.remember else None,
                pair=(f"demo {demo.id}", sides[0], sides[1]),
            )
        except UnusableKey as error:
            raise CommandError(f"settings: {error}", Exit.USAGE) from None
        first.echo()
        app.run(mouse=config.mouse)
        return Exit.INTERNAL if app.return_code else Exit.FINE


def _nothing_else(pid: int) -> Session:
    raise LookupError("started for two programs; q quits")


def start(demo: Demo, variant: str, python: str | None = None) -> Child:
    """A running demo that works already."""
    from concview.commands._target_process import Child
    from concview.demos.base import interpreter_for

    try:
        python = interpreter_for(demo) if python is None else interpreter_for(demo, python)
    except LookupError as error:
        hint = "name one: --python python3.14t (pyenv install 3.14t, or CPython's ./configure --disable-gil)"
        raise CommandError(f"the demo {demo.id} needs a free-threaded build: {error}", Exit.USAGE, hint) from None
    command = demo.command(variant, python)
    child = Child(command)
    if not child.wait_for_line("ready", DEMO_START_S):
        said = child.ring.lines(1)
        child.close()
        raise CommandError(
            f"the demo {demo.id} did not start with {command[0]}", Exit.NO_TARGET, said[0] if said else ""
        )
    return child

"""The Textual application: a shell that opens the picker or the dashboard, and closes the session at the end."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from textual import events, on
from textual.app import App, SystemCommand
from textual.binding import BindingType
from textual.driver import Driver as BaseDriver
from textual.screen import Screen
from textual.widgets import Input

from concview.tui import first, keys, remember, suspend, textual_private
from concview.tui.ports import DeepLook, Output, Picker, Service, StartAgain, Started, ViewedSession
from concview.tui.screens.base import SizedScreen
from concview.tui.screens.comparison import Comparison, Side
from concview.tui.screens.dashboard import Dashboard
from concview.tui.screens.lesson import LessonScreen
from concview.tui.screens.picker import PickerScreen
from concview.tui.theme import CHOICES, DARK, OURS
from concview.tui.widgets.bars import Footer
from concview.tui.widgets.baseline import Baseline

if TYPE_CHECKING:
    from concview.tui.screens.processes import ProcessesScreen

#: Seconds. The stream is read and judged in threads of this process: a key waits for the GIL so long at most, and again
#: each time that drawing gives it up (Python's default is 0.005).
SWITCH_S = 0.001
#: Seconds after a dashboard was left for the list of processes: that has been drawn by then.
LEFT_S = 1.0


class ConcviewApp(App[None]):
    """`ConcviewApp(session=...)` opens the dashboard at once, `ConcviewApp(picker=...)` the list of processes.

    With both, the dashboard opens and `p` leads back to the list. `ConcviewApp(service=...)` opens the list of a
    service's processes; enter opens the dashboard of one, and `p` leads back. `output` is what the first session's
    target prints, when we started it. The session is closed when the app ends.
    """

    BINDINGS: ClassVar[list[BindingType]] = [*keys.bindings("app")]
    CSS = """
    Screen { background: $background; color: $foreground; }
    Toast { max-width: 100%; }
    Table, Page {
        scrollbar-background: $background; scrollbar-background-hover: $background;
        scrollbar-background-active: $background; scrollbar-color: $panel; scrollbar-color-hover: $primary;
    }
    """
    ENABLE_COMMAND_PALETTE = True

    def __init__(
        self,
        session: ViewedSession | None = None,
        picker: Picker | None = None,
        title: str = "concview",
        theme: str = DARK.name,
        deep_look: DeepLook | None = None,
        output: Output | None = None,
        own_keys: Mapping[str, str] | None = None,
        service: Service | None = None,
        state: Path | None = None,
        pair: tuple[str, Side, Side] | None = None,
    ) -> None:
        """`theme`: a name of Textual's or ours, or one of `theme.CHOICES`. UnusableKey where `own_keys` cannot be.
        `state`: the file where sort orders, columns and the last view are kept; None: nowhere. `pair`: a title and two
        programs that are shown side by side; their sessions are closed by whoever made them."""
        keymap = keys.remap(own_keys or {})
        super().__init__()
        if session is None and picker is None and service is None and pair is None:
            raise ValueError("needs a session, a picker, a service or a pair")
        self.pair = pair
        self.large = False  #: large print
        sys.setswitchinterval(SWITCH_S)
        self.session, self.picker, self.deep_look, self.output = session, picker, deep_look, output
        self.service = service
        self.title = title
        self.state_file, self.state = state, remember.read(state)
        self._starting = False
        for each in OURS:
            self.register_theme(each)
        theme = CHOICES.get(theme, theme)
        self.theme = theme if theme in self.available_themes else DARK.name
        self.set_keymap(keymap)

    def get_driver_class(self) -> type[BaseDriver]:
        """Ours for a terminal; a browser and tests have others."""
        return textual_private.driver_class(super().get_driver_class())

    def hurry(self) -> None:
        """The driver has read something, in its own thread."""
        if self.session is not None:
            self.session.hurry()

    def get_default_screen(self) -> Screen[None]:
        """The first screen itself rather than one pushed over an empty one: that saves a frame."""
        if self.pair is not None:
            return Comparison(self.pair[0], self.pair[1:])
        if self.session is not None:
            return Dashboard(self.session, self.output, state=self.state)
        if self.service is not None:
            from concview.tui.screens.processes import ProcessesScreen

            return ProcessesScreen(self.service)
        return self._picker_screen()

    def _picker_screen(self) -> SizedScreen:
        assert self.picker is not None
        return PickerScreen(self.picker)

    def on_mount(self) -> None:
        self.theme_changed_signal.subscribe(self, lambda _theme: self._restyle())

    def on_resize(self) -> None:
        textual_private.forget(self)

    def action_redraw(self) -> None:
        """Another program has written on the terminal."""
        self._resumed(None)

    def _resumed(self, _: object) -> None:
        """Behind a shell (Ctrl-Z, fg) or an editor there is nothing left on the terminal of what was painted."""
        textual_private.forget(self)
        for widget in self.screen.walk_children(with_self=True):
            widget.refresh()

    def on_ready(self) -> None:
        self.app_resume_signal.subscribe(self, self._resumed)
        first.begun()

    def _restyle(self) -> None:
        for screen in self.screen_stack:
            if isinstance(screen, Dashboard) or hasattr(screen, "restyle"):
                self.call_after_refresh(screen.restyle)

    # ------------------------------------------------------------ sessions

    @on(PickerScreen.Attached)
    def open_session(self, event: PickerScreen.Attached) -> None:
        """Show this session; the picker stays below it."""
        self.close_session()
        self.session = event.session
        self.push_screen(Dashboard(event.session, state=self.state))

    @on(PickerScreen.Watched)
    def open_service(self, event: PickerScreen.Watched) -> None:
        """Show several processes that were chosen in the list of all, which stays below."""
        from concview.tui.screens.processes import ProcessesScreen

        self.close_session()
        self.service = event.service
        self.push_screen(ProcessesScreen(event.service))

    def on_processes_screen_left(self) -> None:
        """From them back to the list of all processes, where they were chosen there."""
        service = self.service
        if service is None or len(self.screen_stack) < 2:
            return
        self.service = None
        self.run_worker(service.close, thread=True, exit_on_error=False)
        self.pop_screen()

    def on_processes_screen_chosen(self, event: ProcessesScreen.Chosen) -> None:
        """At one of the service's processes; the list stays below it."""
        session = self.service.session(event.row.key) if self.service is not None else None
        if session is None:
            self.notify(event.row.state or "there is nothing to look at", markup=False)
            return
        self.session = session
        self.push_screen(Dashboard(session, state=self.state))

    def close_session(self) -> None:
        session, self.session = self.session, None
        if self.service is not None:  # its sessions go on
            self.service.leave()
        elif session is not None:
            session.close()

    @on(Dashboard.Leave)
    def choose_process(self) -> None:
        """Detach and go to the list of processes."""
        if self.pair is not None:
            self.pop_screen()
            return
        if self.picker is None and self.service is None:
            self.notify("started for one process; q quits", markup=False)
            return
        if isinstance(self.screen, Dashboard):
            self.remember(self.screen)
            self.screen.retire()
        self.close_session()
        if len(self.screen_stack) > 1:
            self.pop_screen()
        else:
            # The first screen of an app cannot be taken away; it rests below the list.
            self.push_screen(self._picker_screen())
        self.set_timer(LEFT_S, first.left)

    @on(Comparison.Open)
    def open_side(self, event: Comparison.Open) -> None:
        """One of the pair in full; `p` leads back to both."""
        self.push_screen(Dashboard(event.session, state=self.state))

    def action_lesson_of_demo(self) -> None:
        from concview.catalogue import lesson

        demo = self.picker.demo() if self.picker is not None else None
        if demo is None:
            self.notify("no finding is selected, and no demo runs: there is no lesson", markup=False)
            return
        name, story = demo
        rule = lesson.rule_of(name)
        sections = [("This demo", story), *(lesson.sections(rule) if rule is not None else ())]
        self.push_screen(LessonScreen(f"{name}: {rule.title}" if rule is not None else name, sections))

    @on(Dashboard.Again)
    def start_again(self, event: Dashboard.Again) -> None:
        """End the target and start it anew, behind the dashboard that is on screen."""
        again = self.picker.again() if self.picker is not None else None
        if again is None:
            self.notify("only for a program that concview started: concview run, concview demo", markup=False)
            return
        if self._starting or not isinstance(self.screen, Dashboard):
            return
        self._starting = True
        self.notify("starting the program again …", markup=False, timeout=2)
        self.run_worker(partial(self._start_again, again, event.other, self.screen), thread=True, exit_on_error=False)

    def _start_again(self, again: StartAgain, other: bool, shown: Dashboard) -> None:
        try:
            started = again(other)
        except Exception as error:
            told = ". ".join(part for part in (str(error), str(getattr(error, "remedy", "") or "")) if part)
            self.call_from_thread(self._not_started, told)
            return
        self.call_from_thread(self._started, started, other, shown)

    def _not_started(self, why: str) -> None:
        self._starting = False
        self.notify(why, severity="error", markup=False)

    def _started(self, started: Started, other: bool, shown: Dashboard) -> None:
        self._starting = False
        if self.session is not shown.session:  # left meanwhile
            started.session.close()
            return
        # What is judged is the live program, also when the view was paused in its past.
        baseline = Baseline(shown.newest, other=True) if other and started.variant else shown.baseline
        if baseline is shown.baseline and baseline is not None:  # threads of the new run have other ids
            baseline = Baseline(baseline.snapshot, other=True, name=baseline.name)
        view = shown.active if shown.specs[shown.active].tab else ""
        self.remember(shown)
        shown.retire()
        self.close_session()
        self.session = started.session
        self.push_screen(Dashboard(started.session, started.output, view, baseline, self.state))
        if started.variant and other:
            said = f"the {started.variant} variant; what differs from the other is shown, b forgets it"
            self.notify(said, markup=False)

    async def on_unmount(self) -> None:
        remember.write(self.state_file, self.state)
        self.close_session()

    def remember(self, shown: Dashboard) -> None:
        """What a dashboard looked like when it was left is kept for the next one."""
        self.state = shown.remembered(self.state)

    # ------------------------------------------------------------ keys

    def on_key(self, event: events.Key) -> None:
        """Letters typed right behind the slash were sent to the list before the field had the focus: they are text."""
        field = self.focused
        if isinstance(field, Input) and event.character and event.is_printable:
            field.insert_text_at_cursor(event.character)
            event.prevent_default()

    async def action_quit(self) -> None:
        self.exit()

    def action_suspend(self) -> None:
        refusal = suspend.WATCHED_PROGRAM if self.output is not None else ""
        if not refusal and not suspend.job_control():
            refusal = suspend.NO_SHELL
        if refusal:
            self.notify(refusal, markup=False, timeout=5)
        else:
            self.action_suspend_process()

    def action_help(self) -> None:
        from concview.tui.screens.help import Help

        if isinstance(self.screen, Help):
            return
        scopes = {"app", "list"}
        if isinstance(self.screen, Dashboard):
            # Keys of one view are shown there: the flame's own, and in a thread's detail those of its deep look.
            deep = {"deep"} if self.screen.active == "thread" else set()
            scopes |= {"dashboard", "time", getattr(self.screen.view, "scope", "")} | deep
        else:
            scopes.add("comparison" if isinstance(self.screen, Comparison) else "picker")
        self.push_screen(Help(frozenset(scopes)))

    @on(Footer.Pressed)
    def footer_pressed(self, event: Footer.Pressed) -> None:
        self.call_later(self.press, event.key)

    async def press(self, key: keys.Key) -> None:
        """Do what a key does, as the footer and the palette ask for it: in the focused widget, else further out."""
        scopes = {"list": self.screen.focused, "page": self.screen.focused, "app": self}
        if isinstance(self.screen, Dashboard):
            if key.scope == "inside" and self.screen.active != "inside":
                self.screen.show_view("inside", key.action)
                return
            scopes["flame"] = scopes["inside"] = self.screen.view
        await self.run_action(key.action, scopes.get(key.scope) or self.screen)

    def get_system_commands(self, screen: Screen[object]) -> Iterable[SystemCommand]:
        from concview.tui import verbs

        for title, said, act in verbs.palette(self):
            yield SystemCommand(title, said, partial(self.call_later, act))

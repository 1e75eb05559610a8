"""The dashboard: header, tabs, one view at a time, footer. Views come from the registry, made when first shown."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, ClassVar, cast

from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import Container
from textual.events import Key
from textual.message import Message

from concview import registry
from concview.snapshot import Snapshot
from concview.text import short_command
from concview.tui import first, keys
from concview.tui.ports import Output, ViewedSession
from concview.tui.remember import ScreenState, TableState
from concview.tui.screens._take_away import TakeAway
from concview.tui.screens._time import pace
from concview.tui.screens.base import TooSmall
from concview.tui.screens.lesson import LessonScreen
from concview.tui.views.base import View, ViewSpec
from concview.tui.widgets.bars import Footer, Tabs
from concview.tui.widgets.baseline import Baseline
from concview.tui.widgets.commandline import CommandLine
from concview.tui.widgets.filter import FilterBar
from concview.tui.widgets.header import Header
from concview.tui.widgets.output import ROOMY, OutputPane
from concview.tui.widgets.page import Page
from concview.tui.widgets.table import Table
from concview.tui.widgets.timeline import TimeBar

if TYPE_CHECKING:
    from concview.tui.app import ConcviewApp

#: Seconds between looks at the session, slowest first.
SPEEDS = (5.0, 2.0, 1.0, 0.5, 0.2, 0.1)
#: Seconds after the first picture, and between two views that are made before they are asked for.
PREPARE_S, PREPARE_EVERY_S = 1.0, 0.3
#: So many keys wait for a view that is being made.
_MOST_EARLY = 16
#: What the footer offers while paused.
PAUSED_KEYS = ("pause", "earlier", "shorter", "last_finding", "open", "back")


def specs() -> dict[str, ViewSpec]:
    """The views in the order of their tabs; those without a number last."""
    found: list[ViewSpec] = list(registry.everything("concview.tui.views", "VIEW").values())
    return {spec.id: spec for spec in sorted(found, key=lambda s: (s.tab or 99, s.id))}


class Dashboard(TakeAway):
    BINDINGS: ClassVar[list[BindingType]] = [*keys.bindings("dashboard"), *keys.bindings("time")]
    DEFAULT_CSS = "Dashboard { layout: vertical; } Dashboard #views { height: 1fr; }"

    class Leave(Message):
        """The person wants another process."""

    class Again(Message):
        """The person wants the target started anew; with `other` a demo's other variant."""

        def __init__(self, other: bool) -> None:
            super().__init__()
            self.other = other

    def __init__(
        self,
        session: ViewedSession,
        output: Output | None = None,
        view: str = "",
        baseline: Baseline | None = None,
        state: ScreenState | None = None,
    ) -> None:
        """`view`: the id of the one that is shown first. `state`: what was kept of an earlier time."""
        super().__init__()
        self.session = session
        self.output = OutputPane(output) if output is not None else None
        self.specs = specs()
        self.newest: Snapshot = session.snapshot()
        self.shown: Snapshot = self.newest  #: what is on screen: the newest, or the one it was paused at
        self.speed = SPEEDS.index(0.1)
        self.trail: list[tuple[str, Any]] = []  #: where Escape leads
        self._early: list[str] = []  #: keys for a view that is being made
        self.state = state or ScreenState()
        self._tables: dict[str, Table] = {}  #: by the name under which its state is kept
        view = view or self.state.view_of(self._program(self.newest))
        self.active = view if view in self.specs and self.specs[view].tab else next(iter(self.specs))
        self.baseline = baseline
        self.subject: Any = None  #: what the view that is being opened shall show

    def compose(self) -> ComposeResult:
        yield Header(id="header")
        yield Tabs(id="tabs")
        yield TimeBar(id="time")
        yield Container(id="views")
        if self.output is not None:
            yield self.output
        yield Footer(id="footer")
        yield CommandLine(self._completions, id="command")
        yield TooSmall()

    def on_mount(self) -> None:
        self.set_class(self.too_small, "-too-small")
        if self.output is not None:
            self.output.display = self.size.height >= ROOMY
        self.timer = self.set_interval(SPEEDS[self.speed], self.poll)
        self.show_view(self.active)

    # ------------------------------------------------------------ data

    def poll(self) -> None:
        """Look whether there is something new; nothing is drawn when there is not."""
        snapshot = self.session.snapshot()
        if self.app.screen is self and self.focused is None:
            self.focus_view()
        if self.output is not None and not self.too_small:
            self.output.draw()
        if snapshot is self.newest:
            return
        self.arrived(snapshot)
        self.draw_bars()

    def retire(self) -> None:
        """Its session is closed and it will not be seen again."""
        self.timer.stop()

    def draw_bars(self) -> None:
        if self.too_small:
            return
        self.query_one(Header).show(self.shown, self.newest, self.paused, self.moved)
        self.draw_time()
        tabs = [(s.id, s.tab, s.title, s.short or s.title, s.mark(self.shown)) for s in self._tabs()]
        here = self.specs[self.active]
        if here.own_key:
            tabs.append((here.id, 0, here.title, here.short or here.title, ""))
        active = self.active if here.tab or here.own_key else (self.trail[-1][0] if self.trail else "")
        self.query_one(Tabs).show(tabs, active)
        offered = PAUSED_KEYS if self.paused and self.kept is not None else self.view.keys
        if self.paused:  # first, so that there is always room for it
            offered = ("pause", *(key for key in offered if key != "pause"))
        self.query_one(Footer).show(keys.footer(offered, self.paused), self._pace())

    def _tabs(self) -> list[ViewSpec]:
        """Those that have something to show, and the one that is shown."""
        return [s for s in self.specs.values() if s.tab and (s.present(self.shown) or s.id == self.active)]

    def _pace(self) -> str:
        if self.player is not None:
            return pace(self.player.speed)
        return f"every {SPEEDS[self.speed]:g} s" if self.speed != SPEEDS.index(0.1) else ""

    def draw_view(self) -> None:
        if not self.too_small and self.view.ready:
            self._restore()
            self.view.show(self.shown)

    def fit_room(self) -> None:
        self.draw_bars()
        self.draw_view()

    # ------------------------------------------------------------ views

    @property
    def view(self) -> View:
        return self.query_one(f"#view-{self.active}", View)

    def show_view(self, name: str, subject: Any = None) -> None:
        views = self._room()
        if views is None:
            return
        for child in views.children:
            child.display = child.id == f"view-{name}"
        self.active, self.subject = name, subject
        if views.query(f"#view-{name}") and self.view.ready:
            # Drawn before it is laid out: it has the size of last time, so that one paint of the screen is enough.
            # Where the terminal has another size by now, the layout tells the view, and it draws again.
            self.on_view_ready()
            return
        self.set_focus(None)  # what is typed now is meant for it, not for what was shown before
        if views.query(f"#view-{name}"):
            return  # made beforehand, and never shown: it says `Ready` when it has its place
        self._make(name)
        if len(views.children) == 1:
            self.set_timer(PREPARE_S, self._prepare)

    def _room(self) -> Container | None:
        """Where the views are; None while the dashboard is being left: Textual takes no widget then, and a timer or a
        key may still come."""
        return next((c for c in self.query("#views").results(Container) if c.is_attached), None)

    def _make(self, name: str) -> View:
        view = self.specs[name].make()
        view.id = f"view-{name}"
        self.query_one("#views", Container).mount(view)  # says `Ready` when it has its place and its parts are there
        return view

    def _prepare(self) -> None:
        """Make a view that was not yet shown: else the first key to it would wait for its style sheet."""
        if self._room() is None:
            return
        name = next((n for n in self.specs if not self.query(f"#view-{n}")), None)
        if name is not None:
            self._make(name).display = False
            self.set_timer(PREPARE_EVERY_S, self._prepare)
        else:
            first.settled()

    def on_view_ready(self) -> None:
        if not self.view.ready:
            return
        subject, self.subject = self.subject, None
        if subject is not None:
            self.view.aim(subject)
        self.draw_view()
        self.draw_bars()
        self.focus_view()
        early, self._early = self._early, []
        for key in early:
            self.app.call_later(self.app.simulate_key, key)  # sent by the app: one of ours would end at this screen

    def on_key(self, event: Key) -> None:
        """A key that comes while nothing has the keyboard, as for a moment after a view was shown, is for the view; one
        that comes before there is anything of the view waits for that."""
        if self.focused is not None or self.too_small:
            return
        self.focus_view()
        if self.focused is None and event.key not in self.active_bindings and len(self._early) < _MOST_EARLY:
            self._early.append(event.key)
            event.stop()

    def focus_view(self) -> None:
        # Before the first picture it has parts, some of which that picture hides, and nothing to act on.
        primary = self.view.primary() if self.view.snapshot is not None else None
        if primary is not None:
            self.set_focus(primary)

    def on_view_goto(self, event: View.Goto) -> None:
        event.stop()
        self.go(event.view, event.subject)

    def go(self, view: str, subject: Any = None) -> None:
        """Show it; Escape leads back here."""
        self.trail.append((self.active, getattr(self.view, "tid", None)))
        self.show_view(view, subject)

    # ------------------------------------------------------------ what is kept

    @staticmethod
    def _program(snapshot: Snapshot) -> str:
        return short_command(snapshot.target.command) if snapshot.target is not None else ""

    def _restore(self) -> None:
        """The sort orders and columns of the view's tables as they were left, once."""
        for table in self.view.query(Table):
            name = f"{self.active}/{table.id}"
            if name in self._tables:
                continue
            self._tables[name] = table
            kept = self.state.tables.get(name)
            if kept is not None:
                known = {c.id for c in table.every_column()}
                table.chosen = tuple(c for c in kept.columns if c in known)
                if any(c.id == kept.sort and c.sort is not None for c in table.every_column()):
                    table.sort_by, table.reversed, table.own_sort = kept.sort, kept.reversed, True

    def on_unmount(self) -> None:
        cast("ConcviewApp", self.app).remember(self)

    def remembered(self, state: ScreenState) -> ScreenState:
        """The same with what this screen looks like now."""
        tables = dict(state.tables)
        for name, table in self._tables.items():
            tables.pop(name, None)
            sort, back = (table.sort_by, table.reversed) if table.own_sort else ("", False)
            if table.own_sort or table.chosen:
                tables[name] = TableState(sort, back, table.chosen)
        program = self._program(self.newest)
        if not program:
            return ScreenState(program=state.program, view=state.view, at=state.at, tables=tables)
        view = self.active if self.specs[self.active].tab else (self.trail[0][0] if self.trail else "")
        return ScreenState(program=program, view=view, at=time.time(), tables=tables)

    # ------------------------------------------------------------ commands by name

    def _completions(self, line: str) -> list[str]:
        from concview.tui import verbs

        return verbs.completions(cast("ConcviewApp", self.app), line)

    def open_command(self, line: str = "") -> None:
        self.query_one(CommandLine).open(line)

    def action_command(self) -> None:
        self.open_command()

    def on_command_line_given(self, event: CommandLine.Given) -> None:
        from concview.tui import verbs

        event.stop()
        self.focus_view()
        verbs.execute(cast("ConcviewApp", self.app), event.line)

    def table(self) -> Table | None:
        """The one that has the keyboard, else the first with rows."""
        tables = [t for t in self.view.query(Table) if t.display]
        return next((t for t in tables if t.has_focus), None) or next(
            (t for t in reversed(tables) if t.rows), tables[0] if tables else None
        )

    def filter_by(self, words: str) -> bool:
        """False where there is nothing to filter."""
        bar = next(iter(self.view.query(FilterBar)), None)
        if bar is None:
            return False
        bar.display = bool(words)
        bar.field.value = words
        return True

    def action_move_column(self, step: int) -> None:
        table = self.table()
        if table is not None:
            table.move_column(step)

    def on_tabs_chosen(self, event: Tabs.Chosen) -> None:
        self.trail.clear()
        self.show_view(event.view)

    # ------------------------------------------------------------ keys

    def action_tab(self, number: int) -> None:
        for spec in self.specs.values():
            if spec.tab == number:
                self.trail.clear()
                self.show_view(spec.id)

    def action_requests(self) -> None:
        if self.active != "work":
            self.trail.append((self.active, getattr(self.view, "tid", None)))
            self.show_view("work")

    def action_step_tab(self, step: int) -> None:
        numbered = [s.id for s in self._tabs()]
        here = self.active if self.active in numbered else (self.trail[0][0] if self.trail else numbered[0])
        self.trail.clear()
        self.show_view(numbered[(numbered.index(here) + step) % len(numbered)])

    def action_back(self) -> None:
        """Out of the command line, the filter, the detail, to the overview; never further."""
        command = self.query_one(CommandLine)
        if command.display:
            command.close()
            self.focus_view()
            return
        if self.view.back():
            return
        if self.trail:
            name, subject = self.trail.pop()
            self.show_view(name, subject)
        elif self.active != "overview":
            self.show_view("overview")

    def action_next_part(self) -> None:
        parts = self.view.parts()
        if self.output is not None and self.output.display:
            parts.append(self.output.query_one(Page))
        if parts:
            at = parts.index(self.focused) if self.focused in parts else -1
            self.set_focus(parts[(at + 1) % len(parts)])

    def action_output(self) -> None:
        """What the target prints: shown or hidden."""
        if self.output is None:
            self.app.notify("only for a target that concview started: concview run script.py", markup=False)
            return
        self.output.display = not self.output.display
        self.call_after_refresh(self.fit_room)

    def action_speed(self, step: int) -> None:
        if self.player is not None:
            self.speed_of_replay(step)
            return
        self.speed = max(0, min(len(SPEEDS) - 1, self.speed + step))
        self.timer.stop()
        self.timer = self.set_interval(SPEEDS[self.speed], self.poll)
        self.app.notify(f"the view is refreshed every {SPEEDS[self.speed]:g} s", markup=False, timeout=2)
        self.draw_bars()

    def action_view(self, name: str) -> None:
        """A key that only some views understand."""
        act = getattr(self.view, f"do_{name}", None)
        if act is not None:
            act()
            self.draw_bars()

    def action_lesson(self) -> None:
        """Of the finding that is read or selected, else of the demo that runs, else of the first finding."""
        from concview.catalogue import lesson
        from concview.model import Finding

        app = cast("ConcviewApp", self.app)
        table = self.table()
        chosen = table.current if table is not None and (table.has_focus or self.active == "findings") else None
        finding = chosen if isinstance(chosen, Finding) else None
        if finding is None and app.picker is not None and app.picker.demo() is not None:
            app.action_lesson_of_demo()
            return
        finding = finding or next(iter(self.shown.findings), None)
        rule = lesson.rule_of(finding.id) if finding is not None else None
        if finding is None or rule is None:
            self.app.notify("a lesson is about a finding: there is none now", markup=False)
            return
        demo = app.picker.demo() if app.picker is not None else None
        story = [("This demo", demo[1])] if demo is not None and demo[0] == finding.id else []
        self.app.push_screen(LessonScreen(f"{rule.id}: {rule.title}", [*story, *lesson.sections(rule, finding)]))

    def action_large(self) -> None:
        app = cast("ConcviewApp", self.app)
        app.large = not app.large
        self.fit_room()

    def action_again(self, other: bool) -> None:
        self.post_message(self.Again(other))

    def action_processes(self) -> None:
        self.post_message(self.Leave())

    def restyle(self) -> None:
        """Another theme: everything is drawn anew."""
        for table in self.query(Table):
            table.restyle()
        for page in self.query(Page):
            page.refresh()
        if self.output is not None:
            self.output.draw(anew=True)
        self.fit_room()

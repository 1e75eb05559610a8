"""Tab 7: where time goes, call by call, of all threads or one, in one state or all, in whosever name or one. Live, a
second at a time."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from rich.segment import Segment
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import Horizontal
from textual.widget import Widget
from textual.widgets import Input

from concview import text
from concview.model import State
from concview.session.work import title
from concview.snapshot import NO_SHARES, Shares, Snapshot
from concview.tui import editor, keys
from concview.tui.text_render import Line
from concview.tui.theme import palette_of
from concview.tui.views._calls import CallsView
from concview.tui.views.base import WIDE, ViewSpec
from concview.tui.widgets.calls import (
    MODES,
    NO_CALLS,
    about_line,
    call_lines,
    mode_line,
    own_total_table,
    why_empty,
    with_legend,
)
from concview.tui.widgets.filter import FilterBar
from concview.tui.widgets.flame import FlameGraph
from concview.tui.widgets.flamepaint import paint_of
from concview.tui.widgets.icicle import largest, matched_ns
from concview.tui.widgets.page import Page, Panel
from concview.tui.widgets.sourcelines import source_lines, times_of
from concview.tui.widgets.table import Table

if TYPE_CHECKING:
    from concview.source.facts import SourceFacts


class Flame(CallsView):
    BINDINGS: ClassVar[list[BindingType]] = [*keys.bindings("flame")]
    DEFAULT_CSS = """
    Flame #own { display: none; width: 38%; margin-left: 1; }
    Flame.-beside #own { display: block; }
    Flame #sides { height: 1fr; }
    Flame #lines { display: none; border-left: solid $panel; }
    Flame.-heat #lines { display: block; width: 52%; }
    Flame.-heat #own { display: none; }
    Flame.-heat.-below #sides { layout: vertical; }
    Flame.-heat.-below #lines { width: 100%; height: 50%; border-left: none; border-top: solid $panel; }
    """
    scope = "flame"
    keys = ("zoom", "mode", "by_line", "by_work", "filter", "fold", "back")

    def __init__(self) -> None:
        super().__init__()
        self.one: tuple[int, str] = (0, "")  #: the thread and the name that `t` comes back to
        self._theme = ""
        self._facts: SourceFacts | None = None
        self._heated: tuple[str, str] = ("", "")  #: the function whose hottest line was scrolled to

    def compose(self) -> ComposeResult:
        yield Panel(id="modes")
        with Horizontal(id="sides"):
            yield FlameGraph(id="flame")
            yield own_total_table(id="own")
            yield Page(id="lines")
        yield Panel(id="call")
        yield FilterBar("search")

    @property
    def graph(self) -> FlameGraph:
        return self.query_one(FlameGraph)

    def primary(self) -> Widget | None:
        # The dashboard asks before the parts are mounted.
        return next(iter(self.query(FlameGraph)), None)

    def parts(self) -> list[Widget]:
        return [w for w in self.query("FlameGraph, Table, #lines") if w.display and w.size]

    def aim(self, subject: Any) -> None:
        """The calls of a thread (0: of all), of all threads in a state, or of what is done in a name."""
        self.tid, self.work = 0, ""
        if isinstance(subject, State):
            self.mode = next(i for i, mode in enumerate(MODES) if mode.states and subject in mode.states)
        elif isinstance(subject, str):
            self.work = subject
            self.mode = next(i for i, mode in enumerate(MODES) if mode.tasks == self._only_tasks(subject))
        else:
            self.tid = int(subject)
        if self.tid or self.work:
            self.one = self.tid, self.work
        self.graph.zoom, self.graph.zooms, self.graph.chosen = (), [], ()
        self.anew()
        self._words()

    def _only_tasks(self, name: str) -> bool:
        """Whether no thread is in it now, but tasks wait for it."""
        work = self.snapshot.work if self.snapshot is not None else None
        now = [w for w in work.now if title(w) == name] if work is not None else []
        return self._tasks and any(w.tasks for w in now) and not any(w.threads for w in now)

    # ------------------------------------------------------------ data

    def draw(self, snapshot: Snapshot) -> None:
        self.look()
        if self._theme != self.app.theme:
            self._theme = self.app.theme
            self.graph.repaint()
        if self.calls is None:
            self._show()
        self._words()

    def arrived(self) -> None:
        self._show()
        self._words()

    def _show(self) -> None:
        calls = self.calls
        root = calls.root if calls is not None and calls.root.total_ns > 0 else None
        self.graph.set_tree(root, self._why_empty())
        table = self.query_one("#own", Table)
        rows = calls.entries if calls is not None else []
        table.set_rows(rows, (calls.root.total_ns, calls.seconds) if calls is not None else (0, 1.0))
        self._matched()
        self._heat()

    def _heat(self) -> None:
        """The source of the selected call, if it is wanted."""
        if not self.heat:
            return
        page, box = self.query_one("#lines", Page), self.graph.box
        frame = box.node.frame if box is not None else None
        if box is None or frame is None or not frame.file:
            page.set_lines([[Segment("choose a call to see its lines", palette_of(self).dim)]])
            return
        times = times_of(self.lines, box.node.key)
        lines, hottest = source_lines(
            times, self._source_of(frame.file), self.calls.seconds if self.calls else 1.0, page.room, palette_of(self)
        )
        page.set_lines(lines)
        if self._heated != box.node.key[:2] and times:
            self._heated = box.node.key[:2]
            page.scroll_to(y=max(0, hottest - page.size.height // 2), animate=False)

    def _source_of(self, file: str) -> list[str]:
        target = self.snapshot.target if self.snapshot is not None else None
        if target is None:
            return []
        if self._facts is None:
            live = bool(getattr(getattr(self.screen, "session", None), "live", False))
            from concview.source.facts import SourceFacts  # late: parsing Python is not needed for a first picture

            self._facts = SourceFacts(target.pid if live else None, target.started)
        return self._facts.lines(file)

    def _why_empty(self) -> str:
        if self.source is None:
            return NO_CALLS
        if self.error:
            return f"The calls could not be added up: {self.error}"
        return why_empty(self.snapshot, self.calls, MODES[self.mode], bool(self.tid), self.work)

    # ------------------------------------------------------------ words around the picture

    def _shares(self) -> Shares:
        if self.snapshot is None:
            return NO_SHARES
        if self.work:
            work = self.snapshot.work
            routes = work.routes if work is not None else ()
            return next((r.shares for r in routes if title(r) == self.work), NO_SHARES)
        thread = self.snapshot.thread(self.tid) if self.tid else None
        return thread.shares if thread is not None else NO_SHARES if self.tid else self.snapshot.states

    @property
    def _tasks(self) -> bool:
        return self.snapshot is not None and self.snapshot.aio is not None

    def _words(self) -> None:
        if not self.is_attached or not self.size:
            return
        palette = palette_of(self)
        top, call = self.query_one("#modes", Panel), self.query_one("#call", Panel)
        top.set_lines([mode_line(self.mode, self._shares(), top.room, palette, self._tasks), self._about(top.room)])
        box = self.graph.box
        calls = self.calls
        lines = call_lines(
            box.node if box else None,
            calls.root.total_ns if calls else 0,
            calls.seconds if calls else 1.0,
            call.room,
            palette,
        )
        call.set_lines(lines if self.size.height >= 12 else lines[:2])

    def _about(self, width: int) -> Line:
        palette, graph = palette_of(self), self.graph
        thread = self.snapshot.thread(self.tid) if self.snapshot and self.tid else None
        mode = MODES[self.mode]
        who = "" if not self.tid or mode.tasks else thread.name if thread is not None else f"thread {self.tid}"
        late = (self.calls.at_ns - self.snapshot.at_ns) / 1e9 if self.calls and self.snapshot and self.paused else 0.0
        inner = "" if not graph.zoom else graph.zoom[-1][0] if graph.base == graph.zoom else "a call not seen any more"
        how = [f"by {'line' if self.by_line else 'function'}", f"libraries {'folded' if self.folded else 'shown'}"]
        if self.by_work:
            how.insert(0, "by request and job")
        who = who or self.work
        kind = "tasks: where they wait" if mode.tasks else "threads"
        line = about_line(who, how, self.calls, late, inner, palette, self._back is not None, kind)
        return with_legend(line, width, palette, paint_of(self))

    def _matched(self) -> None:
        bar = self.query_one(FilterBar)
        needle = self.graph.needle.lower()
        if not needle or self.calls is None:
            bar.say("")
            return
        total = self.calls.root.total_ns
        bar.say(f"{text.percent(matched_ns(self.calls.root, needle) / max(1, total))} of the time")

    # ------------------------------------------------------------ keys

    def action_zoom(self) -> None:
        self.graph.zoom_in()

    def action_move(self, way: str) -> None:
        self.graph.move(way)

    def action_mode(self, step: int) -> None:
        self.mode = (self.mode + step) % len(MODES)
        if MODES[self.mode].tasks and not self._tasks:
            self.mode = (self.mode + step) % len(MODES)
        self.anew()
        self._words()

    def action_by_line(self) -> None:
        self.by_line = not self.by_line
        self.graph.zoom, self.graph.zooms, self.graph.chosen = (), [], ()
        self.anew()
        self._words()

    def action_one_thread(self) -> None:
        if self.one == (0, ""):
            self.app.notify("c in a thread's detail, or at a request, shows that alone", markup=False)
            return
        self.tid, self.work = (0, "") if self.tid or self.work else self.one
        self.anew()
        self._words()

    def action_by_work(self) -> None:
        able = self.snapshot.capabilities.get("labels") if self.snapshot is not None else None
        if able is not None and not able.available and not self.by_work:
            why = f"requests and jobs are not looked for: {able.why}" + (f"; {able.enable}" if able.enable else "")
            self.app.notify(why, severity="warning", markup=False)
            return
        self.by_work = not self.by_work
        self.graph.zoom, self.graph.zooms, self.graph.chosen = (), [], ()
        self.anew()
        self._words()

    def action_heat(self) -> None:
        self.heat = not self.heat
        self._heated = ("", "")
        self.set_class(self.heat, "-heat")
        self.anew()

    def action_source(self) -> None:
        own = self.query_one("#own", Table)
        box = self.graph.box
        frame = own.current.frame if own.has_focus and own.current else box.node.frame if box else None
        if frame is None:
            return
        problem = editor.open_source(self.app, frame.file, frame.line)
        if problem:
            self.app.notify(problem, severity="warning", markup=False)

    def do_exact(self) -> None:
        box = self.graph.box
        if box is not None and box.node.frame.file:
            self.post_message(self.Goto("inside", box.node.frame))

    def do_fold(self) -> None:
        self.folded = not self.folded
        self.anew()
        self._words()

    def do_filter(self) -> None:
        self.query_one(FilterBar).open()

    def do_sort(self) -> None:
        own = self.query_one("#own", Table)
        if own.display:
            own.cycle_sort()
        else:
            self.app.notify(f"the table of own and total times needs {WIDE} columns", markup=False)

    def do_reverse(self) -> None:
        self.query_one("#own", Table).reverse()

    def back(self) -> bool:
        bar = self.query_one(FilterBar)
        if bar.display:
            bar.close(keep=False)
            self._search("")
            self.graph.focus()
            return True
        if not self.graph.has_focus:
            self.graph.focus()
            return True
        if self.graph.zoom_out():
            return True
        self.tid, self.work = 0, ""  # next time this tab shows all threads again
        self.forget()
        return False

    def selection(self) -> str:
        box = self.graph.box
        if box is None or self.calls is None:
            return ""
        lines = call_lines(box.node, self.calls.root.total_ns, self.calls.seconds, 10_000, palette_of(self))
        return "\n".join("".join(s.text for s in line) for line in lines).strip()

    def as_text(self) -> list[str]:
        parts: list[Any] = [self.query_one("#modes", Panel), self.graph, self.query_one("#own", Table)]
        if self.heat:
            parts.append(self.query_one("#lines", Page))
        return [line for part in parts for line in [*part.as_text(), ""]]

    # ------------------------------------------------------------ events

    def on_resize(self) -> None:
        # By the terminal's width: the view's own is smaller by its padding.
        self.set_class(self.app.size.width >= WIDE, "-beside")
        self.set_class(self.app.size.width < WIDE, "-below")

    def on_flame_graph_chosen(self) -> None:
        self._words()
        self._heat()

    def on_page_resized(self, event: Page.Resized) -> None:
        event.stop()
        self._heat()

    def on_flame_graph_resized(self) -> None:
        self._words()

    def on_table_opened(self, event: Table.Opened) -> None:
        """From the table to the largest box of that function."""
        event.stop()
        path = largest(self.calls.root, event.row.key) if self.calls is not None else ()
        if path:
            self.graph.zoom_to(path)
            self.graph.focus()

    def on_input_changed(self, event: Input.Changed) -> None:
        self._search(event.value)

    def on_input_submitted(self, event: Input.Submitted) -> None:
        self.query_one(FilterBar).close(keep=True)
        self.graph.focus()

    def _search(self, needle: str) -> None:
        self.graph.needle = needle
        self.query_one("#own", Table).set_filter(needle)
        self.graph.repaint()
        self._matched()


VIEW = ViewSpec("flame", 7, "Flame", Flame)

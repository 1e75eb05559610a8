"""What is taken away from the dashboard: to the clipboard, as a page, a picture, a table, a recording."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from textual.message import Message

from concview import text
from concview.snapshot import Timeline
from concview.text import duration
from concview.tui import clipboard, export
from concview.tui.ports import Kept, Paged, Recordable
from concview.tui.screens._time import TimeTravel
from concview.tui.textual_private import picture
from concview.tui.views.base import View
from concview.tui.widgets.header import Header
from concview.tui.widgets.table import Table

if TYPE_CHECKING:
    from concview.session.account import Account


class TakeAway(TimeTravel):
    """What the dashboard adds to itself."""

    class Saved(Message):
        """A recording was written, or not."""

        def __init__(self, said: str, severity: str) -> None:
            super().__init__()
            self.said, self.severity = said, severity

    active: str  #: the id of the view on screen

    @property
    def view(self) -> View:
        raise NotImplementedError

    def table(self) -> Table | None:
        """The table that is meant; None where the view has none."""
        raise NotImplementedError

    def take_csv(self) -> str:
        """Copies the table; what cannot be, in a sentence."""
        table = self.table()
        if table is None or not table.ungrouped:
            return "no table with rows here"
        content, stem = table.as_csv(), self._stem(self.active)
        self._in_thread(lambda: clipboard.take(content, stem, self._osc52, suffix=".csv"))
        return ""

    def action_csv(self) -> None:
        wrong = self.take_csv()
        if wrong:
            self.app.notify(wrong, severity="warning", markup=False)

    def save_csv(self, path: Path) -> str:
        """Into a new file; what cannot be, in a sentence."""
        table = self.table()
        if table is None or not table.ungrouped:
            return "no table with rows here"
        try:
            with path.open("x", encoding="utf-8", newline="") as file:
                file.write(table.as_csv())
        except FileExistsError:
            return f"{path} exists: another name"
        except OSError as error:
            return f"could not save: {error.strerror}"
        self.app.notify(f"saved {path}: {text.plural(len(table.ungrouped), 'row')}", markup=False)
        return ""

    def action_copy(self) -> None:
        """The short form of the report."""

        def take(account: Account) -> str:
            from concview.session.brief import brief

            return clipboard.take(brief(account), self._stem("report"), self._osc52)

        self._take_away(take)

    def action_copy_line(self) -> None:
        chosen = self.view.selection()
        if chosen:
            stem = self._stem(self.active)
            self._in_thread(lambda: clipboard.take(chosen, stem, self._osc52))

    def action_report(self) -> None:
        """The page: it says itself where it is."""
        if not isinstance(self.session, Paged):
            self.app.notify("there is nothing to draw pictures of", severity="warning", markup=False)
            return
        session, back = self.session, self.back

        def save(account: Account) -> str:
            from concview.exporters.base import Nothing
            from concview.exporters.html import page_of_now

            try:
                content = page_of_now(session, account, back)
            except Nothing as nothing:
                return f"no page: {nothing.why}"
            file = clipboard.save(content, self._stem("report"), suffix=".html")
            return f"saved {file}" if file is not None else "the page could not be written here"

        self._take_away(save)

    def _stem(self, what: str) -> str:
        return f"concview-{self.shown.target.pid if self.shown.target else 0}-{what}"

    def _osc52(self, text: str) -> None:
        self.app.call_from_thread(self.app.copy_to_clipboard, text)

    def _take_away(self, act: Callable[[Account], str]) -> None:
        """In a thread: looking back takes its time, and so do other programs."""
        session, shown, newest = self.session, self.shown, self.newest

        def work() -> str:
            from concview.session.account import Account, Watched, account_of

            if shown is newest and isinstance(session, Watched):
                return act(account_of(session))
            timeline = session.timeline() if isinstance(session, Kept) else Timeline()
            return act(Account(shown, newest, timeline))

        self._in_thread(work)

    def _in_thread(self, work: Callable[[], str]) -> None:
        def run() -> None:
            said = work()
            self.app.call_from_thread(self.app.notify, said, markup=False, timeout=6)

        self.run_worker(run, thread=True, group="take-away", exit_on_error=False)

    def action_export(self) -> None:
        """Notices go first: they are no part of the view."""
        self.app.clear_notifications()
        self._without_notices(self._export)

    def _without_notices(self, act: Callable[[], None], patience: int = 40) -> None:
        if patience and any(self.query("Toast")):
            self.set_timer(0.025, lambda: self._without_notices(act, patience - 1))
        else:
            self.call_after_refresh(act)

    def _export(self) -> None:
        lines = [*self.query_one(Header).as_text(), "", *self.view.as_text()]
        pid = self.shown.target.pid if self.shown.target else 0
        try:
            svg, plain = export.save(picture.svg(self.app), lines, self.active, pid)
        except OSError as error:
            self.app.notify(f"could not save: {error.strerror}", severity="error", markup=False)
            return
        self.app.notify(f"saved {svg} and {plain}", markup=False)

    def action_record(self) -> None:
        self.save_recording()

    def save_recording(self, to: Path | None = None) -> None:
        """Under a name of its own; beside the person without one."""
        session = self.session
        if not self.session.live or not isinstance(session, Recordable):
            self.app.notify("this is a recording already", markup=False)
            return
        pid = self.newest.target.pid if self.newest.target else 0
        self.app.notify("saving the minutes in memory …", markup=False, timeout=2)

        def run() -> None:
            try:
                path, seconds = (to, session.save(to)) if to is not None else export.recording(session, pid)
            except FileExistsError:
                said, severity = f"{to} exists: another name", "error"
            except (OSError, LookupError) as error:
                why = error.strerror if isinstance(error, OSError) else str(error)
                said, severity = f"could not save: {why}", "error"
            else:
                said, severity = f"saved the last {duration(seconds)} as {path}", "information"
            if self.is_running:
                self.post_message(self.Saved(said, severity))

        # A daemon: the program does not wait for it at its end.
        threading.Thread(target=run, name="concview-save", daemon=True).start()

    def on_take_away_saved(self, event: Saved) -> None:
        event.stop()
        self.app.notify(event.said, severity="error" if event.severity == "error" else "information", markup=False)

"""Time travel on the dashboard: choose an interval of what is kept, compare with a baseline, play a recording."""

from __future__ import annotations

import threading
from functools import cached_property
from pathlib import Path
from typing import Any

from textual.message import Message
from textual.widgets import Input

from concview import text
from concview.snapshot import Snapshot, Status
from concview.tui.ports import Kept, Player, ViewedSession
from concview.tui.screens.base import SizedScreen
from concview.tui.widgets.baseline import Baseline
from concview.tui.widgets.timeline import TimeBar

#: Lengths of the interval, seconds, and the one to begin with: that of the live view.
SPANS = (1, 2, 5, 10, 20, 60, 120, 300, 600)
SPAN = SPANS.index(10)
#: Speeds of a recording, times real time, slowest first; 0 is as fast as it can be read.
SPEEDS_OF_REPLAY = (0.5, 1.0, 2.0, 4.0, 8.0, 16.0, 0.0)
#: The keys of `scope` time.
_ACTIONS = ("scrub", "edge", "span", "to_finding")
_STEP_NS = 500_000_000


class TimeTravel(SizedScreen):
    """What the dashboard adds to itself. `back` is the interval on screen; None while it is not paused."""

    class Looked(Message):
        """What a look back found."""

        def __init__(self, back: tuple[int, int], snapshot: Snapshot | None, error: str) -> None:
            super().__init__()
            self.back, self.snapshot, self.error = back, snapshot, error

    class BaselineRead(Message):
        """A recording was read to its end, or could not be."""

        def __init__(self, baseline: Baseline | None, said: str) -> None:
            super().__init__()
            self.baseline, self.said = baseline, said

    session: ViewedSession
    newest: Snapshot
    shown: Snapshot

    def __init__(self) -> None:
        super().__init__()
        self.paused = False
        self.back: tuple[int, int] | None = None  #: end and length, nanoseconds
        self.length = SPAN
        self.moved = False  #: another interval than that of the pause was chosen
        self.follow = False  #: at the newest moment of a recording: steps move on
        self.baseline: Baseline | None = None
        self._looking = False

    def draw_view(self) -> None:
        raise NotImplementedError

    def draw_bars(self) -> None:
        raise NotImplementedError

    @cached_property
    def kept(self) -> Kept | None:
        return self.session if isinstance(self.session, Kept) else None

    @property
    def player(self) -> Player | None:
        return self.kept.player if self.kept is not None else None

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Keys of the pause are others' keys elsewhere."""
        if action in _ACTIONS:
            return self.paused and self.kept is not None and not isinstance(self.focused, Input)
        return super().check_action(action, parameters)

    # ------------------------------------------------------------ the interval

    def arrived(self, snapshot: Snapshot) -> None:
        """There is a newer snapshot."""
        self.newest = snapshot
        if not self.paused or (self.follow and not self.moved):
            self.shown = snapshot
            if self.paused:
                self.back = (snapshot.at_ns, SPANS[self.length] * 1_000_000_000)
            self.draw_view()

    def draw_time(self) -> None:
        bar = self.query_one(TimeBar)
        kept = self.kept
        bar.display = self.paused and kept is not None
        if kept is None or not self.paused or self.back is None:
            return
        roomy = self.app.size.height >= 20
        bar.styles.height = 3 if roomy else 1
        bar.show(
            kept.timeline(),
            *self.back,
            self.shown.detail_s if self.moved else None,
            self._looking,
            self.baseline.snapshot.at_ns if self.baseline is not None else -1,
        )

    def action_pause(self) -> None:
        self.paused = not self.paused
        if self.player is not None:
            self.player.hold(self.paused)
        self.moved = False
        self.length = SPAN
        if self.paused:
            self.follow = self.player is not None
            # Until another interval is chosen, the one that is on screen.
            self.back = (self.shown.at_ns, SPANS[SPAN] * 1_000_000_000) if self.kept is not None else None
        else:
            self.back, self.shown = None, self.newest
        self.draw_view()
        self.draw_bars()

    def choose(self, end_ns: int) -> None:
        """Show the interval that ends then."""
        kept = self.kept
        if kept is None:
            return
        line = kept.timeline()
        span = SPANS[self.length] * 1_000_000_000
        end_ns = max(min(line.first_ns + span, line.last_ns), min(end_ns, line.last_ns))
        self.back, self.moved = (end_ns, span), True
        self.follow = self.player is not None and end_ns >= line.last_ns
        self._look()
        self.draw_bars()

    def _look(self) -> None:
        kept, back = self.kept, self.back
        if self._looking or kept is None or back is None:
            return  # the answer that is under way asks again
        self._looking = True

        def run() -> None:
            snapshot, error = None, ""
            try:
                snapshot = kept.at(*back)
            except Exception as failure:  # for the person, not for a traceback
                error = f"{type(failure).__name__}: {text.clean(str(failure))}"
            if self.is_running:
                self.post_message(self.Looked(back, snapshot, error))

        # A daemon: the program does not wait for it at its end.
        threading.Thread(target=run, name="concview-look-back", daemon=True).start()

    def on_time_travel_looked(self, event: Looked) -> None:
        event.stop()
        self._looking = False
        if not self.paused or not self.moved:
            return
        if event.snapshot is not None:
            self.shown = event.snapshot
            self.draw_view()
        elif event.error:
            self.app.notify(f"cannot look back: {event.error}", severity="warning", markup=False)
        if self.back is not None and event.back != self.back:
            self._look()
        self.draw_bars()

    # ------------------------------------------------------------ keys of the pause

    def action_scrub(self, steps: int) -> None:
        """By a tenth of the interval, at least half a second."""
        kept = self.kept
        if kept is None or self.back is None:
            return
        end, span = self.back
        step = max(_STEP_NS, span // 10) * steps
        newest = kept.timeline().last_ns
        if self.player is not None and step > 0 and end + _STEP_NS > newest:
            if self.newest.status is Status.REPLAY:
                self._play_on(newest + step)
            else:
                self.app.notify("the recording is at its end", markup=False, timeout=2)
            return
        self.choose(end + step)

    def _play_on(self, to_ns: int) -> None:
        assert self.player is not None
        self.moved, self.follow = False, True
        self.player.play_to(to_ns)

    def action_edge(self, side: int) -> None:
        kept = self.kept
        if kept is not None:
            line = kept.timeline()
            self.choose(line.first_ns if side < 0 else line.last_ns)

    def action_span(self, step: int) -> None:
        self.length = max(0, min(len(SPANS) - 1, self.length + step))
        if self.back is not None:
            self.choose(self.back[0])

    def action_to_finding(self, step: int) -> None:
        """To where a finding was raised. Beyond what was read of a recording, by playing on until there is one."""
        kept = self.kept
        if kept is None or self.back is None:
            return
        line, end = kept.timeline(), self.back[0]
        starts = [m for m in line.marks if (m.start_ns > end if step > 0 else m.start_ns < end)]
        if starts:
            mark = starts[0] if step > 0 else starts[-1]
            self.choose(mark.start_ns)
            self.app.notify(mark.title, markup=False, timeout=3)
        elif step > 0 and self.player is not None and self.newest.status is Status.REPLAY:
            self.moved, self.follow = False, True
            self.player.seek_finding()
            self.app.notify("playing on to the next finding; space stops", markup=False, timeout=3)
        else:
            self.app.notify(f"no {'later' if step > 0 else 'earlier'} finding is kept", markup=False, timeout=3)

    # ------------------------------------------------------------ baseline, speed of a recording

    def action_baseline(self) -> None:
        if self.baseline is not None:
            self.baseline = None
            said = "the baseline is forgotten"
        elif self.shown.target is None:
            return
        else:
            self.baseline = Baseline(self.shown)
            said = "this is the baseline now; overview and threads show what differs from it, b forgets it"
        self.app.notify(said, markup=False, timeout=3)
        self.draw_view()
        self.draw_bars()

    def read_baseline(self, path: Path) -> None:
        """The end of a recording as the baseline: of an earlier run, of another day, of another machine."""
        self.app.notify(f"reading {path} …", markup=False, timeout=2)

        def run() -> None:
            from concview import api
            from concview.config import Config, ConfigError
            from concview.session import AttachError

            base = None
            try:
                with api.recorded(path, Config(), to_end=True) as recording:
                    base = Baseline(recording.finish(), other=True, name=path.name)
                said = f"{path.name} is the baseline now; overview and threads show what differs from it, b forgets it"
            except (OSError, AttachError, ConfigError) as error:
                said = f"{path}: {getattr(error, 'strerror', None) or error}"
            if self.is_running:
                self.post_message(self.BaselineRead(base, said))

        # A daemon: the program does not wait for it at its end.
        threading.Thread(target=run, name="concview-baseline", daemon=True).start()

    def on_time_travel_baseline_read(self, event: BaselineRead) -> None:
        event.stop()
        self.app.notify(event.said, severity="information" if event.baseline else "error", markup=False)
        if event.baseline is not None:
            self.baseline = event.baseline
            self.draw_view()
            self.draw_bars()

    def speed_of_replay(self, step: int) -> None:
        player: Any = self.player
        at = min(range(len(SPEEDS_OF_REPLAY)), key=lambda i: abs(SPEEDS_OF_REPLAY[i] - player.speed))
        speed = SPEEDS_OF_REPLAY[max(0, min(len(SPEEDS_OF_REPLAY) - 1, at + step))]
        player.set_speed(speed)
        said = f"at {speed:g} times real time" if speed else "as fast as it can be read"
        self.app.notify(f"the recording plays {said}", markup=False, timeout=2)
        self.draw_bars()


def pace(speed: float) -> str:
    """For the footer."""
    return f"{speed:g}x" if speed else "max"

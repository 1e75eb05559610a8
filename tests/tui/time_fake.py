"""Sessions that can look back, live and recorded, for the tests of time travel."""

from __future__ import annotations

from dataclasses import dataclass, field

import fake
import msgspec

from concview.model import Severity
from concview.snapshot import Mark, Point, Snapshot, Status, Timeline

S = 1_000_000_000
#: The kept time of the fakes: two minutes up to the picture of now.
PICTURE = fake.busy(8)
LAST = PICTURE.at_ns
FIRST = LAST - 120 * S
KEPT = Timeline(
    FIRST,
    LAST,
    FIRST + 15 * S,
    0,
    tuple(
        Point(FIRST + n * S // 2, float(n % 100), 0.5, 1.0, 20, 100.0, 0.0, 1, 1, PICTURE.states) for n in range(240)
    ),
    (
        Mark(FIRST + 20 * S, FIRST + 40 * S, Severity.WARN, "lock-contention", "a lock is fought over"),
        Mark(FIRST + 70 * S, FIRST + 75 * S, Severity.INFO, "gil-contention", "the GIL is fought over"),
    ),
)


@dataclass
class FakePlayer:
    speed: float = 1.0
    seeking: bool = False
    held: bool = False
    to: list[int] = field(default_factory=list)

    def set_speed(self, speed: float) -> None:
        self.speed = speed

    def hold(self, held: bool) -> None:
        self.held = held

    def play_to(self, at_ns: int) -> None:
        self.to.append(at_ns)

    def seek_finding(self) -> None:
        self.seeking = True


@dataclass
class KeptSession(fake.FakeSession):
    player: FakePlayer | None = None
    asked: list[tuple[int, int]] = field(default_factory=list)

    def timeline(self) -> Timeline:
        return KEPT

    def at(self, end_ns: int, span_ns: int) -> Snapshot:
        self.asked.append((end_ns, span_ns))
        detail = 0.0 if end_ns < FIRST + 15 * S else min(span_ns / 1e9, 20.0)
        return msgspec.structs.replace(
            PICTURE,
            at_ns=end_ns,
            elapsed_s=PICTURE.elapsed_s - (LAST - end_ns) / 1e9,
            seconds=span_ns / 1e9,
            detail_s=detail,
        )


def recorded() -> KeptSession:
    now = fake.busy(20)
    return KeptSession([msgspec.structs.replace(now, status=Status.REPLAY)], live=False, player=FakePlayer())

"""Where the time went, followed to its ends."""

from __future__ import annotations

import msgspec

from concview.commands._schema.findings import ServedOut
from concview.commands._schema.threads import SiteOut


class BlameStepOut(msgspec.Struct):
    via: str
    what: str
    site: SiteOut
    waiters: list[int]
    owners: list[int]
    confidence: str
    waiting_tasks: list[int] = []
    owning_tasks: list[int] = []
    library: str = ""  #: the library's line, where `site` is the program's own that called it


class BlameRootOut(msgspec.Struct):
    kind: str
    what: str
    site: SiteOut
    library: str = ""  #: the library's line, where `site` is the program's own that called it


class BlameCauseOut(msgspec.Struct):
    """`share` of the time of active threads; `at_most`: without this wait its threads get at most
    so many times as much done; `estimate`: with what is known of the next thing that they would wait for; `at_least`:
    where nothing of which it is not known can do more at once than it was seen to do."""

    root: BlameRootOut
    family: str
    share: float
    thread_s: float
    threads: list[int]
    path: list[BlameStepOut]
    at_most: float | None
    limits: dict[str, float]
    stuck_s: float
    exact: bool
    rule: str | None
    tasks: list[int] = []  #: ids, of those whose time it is
    work: list[ServedOut] = []  #: in whose name they wait
    work_ahead: list[ServedOut] = []  #: and those that they wait for
    silent_s: float = 0.0  #: of waits at a connection, in slices: nothing was sent and nothing came for so long
    estimate: float | None = None
    at_least: float | None = None


class BlameQuietOut(msgspec.Struct):
    kind: str
    evidence: str
    threads: float
    site: SiteOut


class BlameOut(msgspec.Struct):
    """`held_up`, `waits`, `starved`, `unexplained`: shares of the time of the `active` threads."""

    window_s: float
    threads: float
    active: float
    held_up: float
    waits: float
    starved: float
    unexplained: float
    exact: float
    verdict: str
    severity: str | None
    sentence: str
    more: list[str]
    still_s: float
    quiet: list[BlameQuietOut]
    causes: list[BlameCauseOut]
    moments: int
    sampled_moments: int
    rule: str | None = None  #: that names what the verdict is about; null: no rule does, and as a warning it fails

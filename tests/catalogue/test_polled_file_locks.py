"""file-lock-contention where the lock is tried for again and again: the kernel knows of nobody who waits for it."""

from __future__ import annotations

import pytest
from build import SLEEP, Scene, frame

from concview.catalogue.rules.file_lock_contention import RULE
from concview.model import FileLock, FileLocks, Severity

PATH = "/srv/jobs.lock"


def scene(function: str, polled: bool = True, holder: int = 77) -> Scene:
    """Three threads that sleep in a function of that name, all the time but for a moment every half second."""
    made = Scene(rules={RULE.id: RULE})
    tids = [made.thread(f"work-{n}") for n in range(3)]
    stack = [frame(function, 40, "/site-packages/filelock/_api.py", "library"), frame("work", 5)]
    for round_ in range(16):
        for tid in tids:
            made.do(tid, stack, SLEEP)
        made.play(0.5)
        if not round_:
            locks = (FileLock(PATH, "flock", "WRITE", tuple(tids), holder, "other", polled=polled),)
            made.history.apply(FileLocks(made.history.now_ns, locks))
    return made


def test_a_queue_of_those_that_try_again_and_again() -> None:
    finding = scene("FileLock.acquire").found("file-lock-contention")
    assert finding is not None
    assert (finding.severity, finding.confidence) == (Severity.WARN, "inferred")
    assert finding.title == "3 threads queue for the lock on jobs.lock"
    assert "process 77 (other) has it" in finding.summary and PATH in finding.summary


@pytest.mark.parametrize(
    ("function", "polled", "holder"),
    [
        ("FileLock.poll", True, 77),  # a sleep of something else
        ("FileLock.acquire", False, 77),  # nothing that it tries for was found
        ("FileLock.acquire", True, 0),  # nobody has it
    ],
)
def test_other_pauses_are_none(function: str, polled: bool, holder: int) -> None:
    assert scene(function, polled, holder).ever() == set()

"""disk-wait: threads in fsync, or in the kernel's uninterruptible sleep."""

from __future__ import annotations

import pytest
from build import SLEEP, Scene, frame

from concview.model import Confidence, Peer, Severity, Wait, WaitKind

FSYNC = Wait(WaitKind.DISK, "fsync", 5, Peer("file", "/srv/journal"))
PAGE = Wait(WaitKind.DISK)


@pytest.mark.parametrize(("wait", "what"), [(FSYNC, "(fsync of /srv/journal)"), (PAGE, "(a page of memory)")])
def test_threads_that_wait_for_the_disk(wait: Wait, what: str) -> None:
    scene = Scene()
    tids = [scene.thread(f"writer-{n}") for n in range(4)]

    def script(at: float) -> None:
        for tid in tids:
            busy = at % 0.1 < 0.08
            scene.do(tid, [frame("keep", 9 if busy else 10)], wait if busy else SLEEP)

    scene.play(10, script)
    finding = scene.found("disk-wait")
    assert finding is not None
    assert (finding.severity, finding.confidence) == (Severity.WARN, Confidence.EXACT)
    assert set(finding.threads) == set(tids)
    assert what in finding.summary and "80 % of the time of each" in finding.summary


def test_now_and_then_is_silent() -> None:
    scene = Scene()
    tids = [scene.thread(f"writer-{n}") for n in range(4)]

    def script(at: float) -> None:
        for tid in tids:
            scene.do(tid, [frame("keep", 9)], FSYNC if at % 1 < 0.05 else SLEEP)

    scene.play(10, script)
    assert scene.ever() == set()

"""Who holds which lock and who waits for it, against programs that keep a diary. Prints the table (pytest -s)."""

from __future__ import annotations

import time

import pytest
import truth

from capacity import BUSY
from interpreters import Interpreter

#: Per group of programs, of which there are five: about 10 s a version with starting and stopping.
SECONDS = 1.2
#: Samples of a lock held in a `with`; where the machine is busy, everything is done again for more of them.
ENOUGH, ROUNDS = 300, 3
#: A named exact holder is right: any wrong one is a bug. Samples are few thousands, so none is expected.
RECALL = 0.99
INFERRED = 0.97


def test_corpus_is_large_enough() -> None:
    assert len(truth.PROGRAMS) >= 30


#: On a full machine most samples last too long to be of one moment: it takes more rounds, for so long.
PATIENCE_S = 150.0


#: A version of every layout of frames and locks.
@pytest.mark.some(8, 10, 11, 13, 15)
@pytest.mark.units(BUSY)
@pytest.mark.timeout(400)
def test_holders_and_waiters_are_those_of_the_diaries(
    direct_python: Interpreter, capsys: pytest.CaptureFixture[str]
) -> None:
    score = truth.Score()
    deadline, rounds = time.monotonic() + PATIENCE_S, 0
    while score.due[truth.WITH] <= ENOUGH and (rounds < ROUNDS or time.monotonic() < deadline):
        for names in truth.groups():
            score.add(truth.run(direct_python, names, SECONDS))
        rounds += 1
    said = f"\n{truth.table([(direct_python.label, score)])}\n{truth.details(score)}"
    with capsys.disabled():
        print(said)
    assert score.due[truth.WITH] > ENOUGH, "too little was sampled"
    assert score.named_wrong == 0, said
    assert score.recall >= RECALL, said
    assert score.edges_wrong == 0, said
    assert score.guessed - score.guessed_wrong >= INFERRED * score.guessed, said
    assert score.waits - score.waits_wrong >= 0.999 * score.waits, said
    assert score.blocked_named >= 0.99 * score.blocked, said
    assert score.other - score.other_wrong >= 0.99 * score.other, said

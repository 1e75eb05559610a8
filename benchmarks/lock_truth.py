"""Who holds which lock, against the diaries of the programs in tests/engines/locks/corpus, on every Python found.

    python benchmarks/lock_truth.py [--seconds 20] [--python 3.13] [--details]

One row per Python: how many of the holders named as exact were right, how many of the locks surely held in a `with`
were named, how many inferred holders were right, whether waiters wait for what was said.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from common import machine

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests" / "engines" / "locks"))

import truth

from interpreters import interpreters


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=20.0, help="per Python (default 20)")
    parser.add_argument("--python", help="only this one: 3.13, 3.14t")
    parser.add_argument("--programs", nargs="*", help="only these of the corpus")
    parser.add_argument("--pyspy", action="store_true", help="by py-spy: holders are inferred, locks have no address")
    parser.add_argument("--details", action="store_true", help="what was wrong or missed, by program")
    options = parser.parse_args()
    print(machine())
    for name, library in truth.MISSING.items():
        print(f"SKIPPED {name}: {library} is not installed (pip install {library})")
    scores = []
    for python in interpreters():
        if options.python not in (None, python.label):
            continue
        for name in set(truth.PROGRAMS) - set(truth.usable(python, truth.PROGRAMS)):
            print(f"SKIPPED {name} on {python.label}: it cannot import {truth.LIBRARIES[name]}")
        groups = [options.programs] if options.programs else truth.groups()
        score = truth.Score()
        for names in groups:
            score.add(truth.run(python, names, options.seconds / len(groups), pyspy=options.pyspy))
        scores.append((python.label, score))
        print(f"  {python.label}: {score.samples} samples", flush=True)
        if options.details:
            print(truth.details(score), flush=True)
    print(f"\n{len(truth.PROGRAMS)} programs, by {'py-spy' if options.pyspy else 'the direct engine'}")
    print(truth.table(scores))


if __name__ == "__main__":
    main()

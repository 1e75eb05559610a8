"""One file an anti-pattern: a bad and a fixed workload. They run as scripts of their own, on any Python from 3.8 on."""

import sys as _sys

if _sys.argv[:1] == ["-m"]:  # `python -m concview.demos.deadlock bad`: a script finds `_stage` beside itself
    _sys.path.extend(__path__)

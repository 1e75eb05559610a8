"""Running a function as another user, which only root can do."""

from __future__ import annotations

import json
import os
import traceback
from collections.abc import Callable
from typing import Any

import pytest

NOBODY = 65534
needs_root = pytest.mark.skipif(
    os.geteuid() != 0, reason="NOT TESTED: looking at another user's process (only root can become another user)"
)


def as_nobody(function: Callable[[], Any]) -> Any:
    """The function's answer (as JSON) from a child process of ours that belongs to nobody and has no capability."""
    r, w = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            os.setgroups([])
            os.setresgid(NOBODY, NOBODY, NOBODY)
            os.setresuid(NOBODY, NOBODY, NOBODY)
            answer = json.dumps([True, function()])
        except BaseException:
            answer = json.dumps([False, traceback.format_exc()])
        with os.fdopen(w, "w") as file:
            file.write(answer)
        os._exit(0)
    os.close(w)
    with os.fdopen(r) as file:
        good, answer = json.load(file)
    os.waitpid(child, 0)
    assert good, answer
    return answer

"""Runs a command at several worker counts, in turn, and says how fast each run was."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence

PLACEHOLDER = "{n}"
#: What is read of a run's output in search of its throughput, bytes: the end of it.
READ = 1 << 20


class RunFailed(Exception):
    """A run ended with an error, took too long, or did not say its throughput. The message says which run, and why."""


def runs(
    command: Sequence[str], counts: Sequence[int], repeats: int, said: re.Pattern[str] | None, timeout_s: float
) -> Iterator[tuple[int, float]]:
    """(worker count, throughput) of each run, all counts in turn, `repeats` times over: what drifts meets all alike.

    Throughput is runs per second (the same work at every count), or the first group of `said` in what a run printed
    last. RunFailed for a run that fails; whatever a run started in its session is ended with it.
    """
    for _ in range(repeats):
        for n in counts:
            yield n, _run([word.replace(PLACEHOLDER, str(n)) for word in command], n, said, timeout_s)


def _run(command: list[str], n: int, said: re.Pattern[str] | None, timeout_s: float) -> float:
    with tempfile.TemporaryFile() as output:
        started = time.monotonic()
        try:
            process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT, start_new_session=True
            )
        except OSError as error:
            raise RunFailed(f"{command[0]} cannot be started: {error.strerror}") from None
        try:
            code = process.wait(timeout_s)
            seconds = time.monotonic() - started
        except subprocess.TimeoutExpired:
            raise RunFailed(f"with n = {n} it takes longer than {timeout_s:.0f} s (--timeout)") from None
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)  # children of a run must not compete with the next one
            process.wait()
        output.seek(max(0, output.seek(0, os.SEEK_END) - READ))
        text = output.read().decode("utf-8", "replace")
    if code:
        last = next((line for line in reversed(text.splitlines()) if line.strip()), "it printed nothing")
        raise RunFailed(f"with n = {n} it ended with exit code {code}: {last}")
    if said is None:
        return 1 / seconds
    value = 0.0
    for found in said.finditer(text):
        with contextlib.suppress(ValueError):
            value = float((found[1] or "").replace(",", ""))
    if value <= 0:
        raise RunFailed(f"with n = {n} nothing that it printed gives a throughput above 0 by {said.pattern!r}")
    return value

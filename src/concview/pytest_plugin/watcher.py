"""The watcher: a process beside the tests, `python -m concview.pytest_plugin.watcher`, that sees them from outside.

It also sees what the tests' own process cannot tell any more: that all its threads stand still, or that it was ended in
the middle of a test (by pytest-timeout's thread method, by a signal); then it says on standard error who held what.
"""

from __future__ import annotations

import os
import queue
import signal
import sys
import threading
import time
from collections.abc import Iterable, Iterator
from pathlib import Path

import msgspec

from concview import api
from concview.config import Config, ConfigError, merge
from concview.errors import TargetError
from concview.model import Severity
from concview.pytest_plugin import _messages as messages
from concview.pytest_plugin._words import OWN_THREADS, explanation, finding_text
from concview.snapshot import ChainView, Snapshot

#: How often the latest picture is looked at; new ones come every 0.3 s.
LOOK_S = 0.1
#: A circle that is there for so long is one: a lock may be seen as held a moment longer than it was.
SURE_NS = 1_000_000_000
#: How long an answer may wait for the stream to come to the moment that was asked for.
PATIENCE_S = 3.0
#: An explanation is of so many nanoseconds at most, and at least.
MOST_NS, LEAST_NS = 20_000_000_000, 1_000_000_000
#: Findings kept; the first ones tell most.
MOST_FOUND = 200


class Watcher:
    def __init__(self, observation: api.Observation, say: _Say) -> None:
        self._observation = observation
        self._say = say
        self._last: Snapshot | None = None
        self._test, self._began_ns = "", 0
        self._circles: dict[tuple[int, ...], int] = {}  #: since when each is seen
        self._told: dict[tuple[int, ...], tuple[bool, bool]] = {}  #: circle -> (exact, main) as it was told last
        self._found: dict[tuple[str, str, str], messages.Found] = {}

    def serve(self, asked: queue.SimpleQueue[messages.Asked | None]) -> None:
        """Until it is told to finish, or the process is gone."""
        while True:
            try:
                message = asked.get(timeout=LOOK_S)
            except queue.Empty:
                self._look()
                if self._observation.ended:
                    self._gone()
                    return
                continue
            self._look()
            match message:
                case None:
                    self._closed()
                    return
                case messages.TestBegan(test, at_ns):
                    self._test, self._began_ns = test, at_ns
                case messages.TestEnded(_, at_ns, wants):
                    if wants:
                        self._catch_up(at_ns)
                    self._test = ""
                    if wants:
                        self._say(self._findings())
                case messages.Explain(from_ns, to_ns, tids):
                    self._say(self._explain(from_ns, to_ns, tids))
                case messages.Finish():
                    self._last = self._observation.finish()
                    self._note_findings(self._last)
                    self._say(self._findings())
                    return
                case messages.Attach():
                    pass  # the first message, taken before

    def _catch_up(self, at_ns: int) -> None:
        self._observation.session.wait_until(at_ns, PATIENCE_S, fresh=True)
        self._look()

    def _look(self) -> None:
        snapshot = self._observation.snapshot()
        if snapshot is self._last:
            return
        self._last = snapshot
        self._note_findings(snapshot)
        self._note_deadlocks(snapshot)

    # ------------------------------------------------------------ deadlocks

    def _note_deadlocks(self, snapshot: Snapshot) -> None:
        now = {tuple(sorted(c.cycle)): c for c in snapshot.chains if c.deadlock}
        self._circles = {key: self._circles.get(key, snapshot.at_ns) for key in now}
        for key, since_ns in self._circles.items():
            if snapshot.at_ns - since_ns < SURE_NS:
                continue
            chain = now[key]
            exact, main = self._told.get(key, (False, False))
            # The main thread may come to wait behind it later, and what was inferred may be read later.
            known = (exact or chain.exact, main or _main_waits(snapshot, chain))
            if key not in self._told or known != (exact, main):
                self._told[key] = known
                tids = tuple(dict.fromkeys((*chain.cycle, *(e.waiter for e in chain.edges))))
                self._say(messages.Deadlock(self._test, explanation(snapshot, tids), key, *known))

    # ------------------------------------------------------------ findings

    def _note_findings(self, snapshot: Snapshot) -> None:
        for finding in snapshot.findings:
            key = finding.identity
            known = self._found.get(key)
            worse = known is not None and known.severity != "warn" and finding.severity is Severity.WARN
            if (known is None or worse) and (worse or len(self._found) < MOST_FOUND):
                self._found[key] = messages.Found(
                    finding.id,
                    finding.severity.value,
                    finding.title,
                    self._test,
                    self._began_ns,
                    snapshot.at_ns,
                    finding_text(finding),
                )

    def _findings(self) -> messages.Findings:
        last = self._last
        if last is None:
            return messages.Findings([], 0.0, 0, [])
        stuck = sorted({tid for c in last.chains if c.deadlock and c.exact for tid in c.cycle})
        return messages.Findings(list(self._found.values()), last.elapsed_s, last.samples, stuck)

    # ------------------------------------------------------------ explaining

    def _explain(self, from_ns: int, to_ns: int, tids: tuple[int, ...]) -> messages.Explained:
        session = self._observation.session
        session.wait_until(to_ns, PATIENCE_S)
        span = min(max(to_ns - from_ns, LEAST_NS), MOST_NS)
        try:
            snapshot = session.at(to_ns, span)
        except LookupError:
            return messages.Explained("nothing was seen of that time", {})
        threads = {
            t.tid: (t.reason + (f"; {t.because}" if t.because else "")) for t in snapshot.threads if t.tid in tids
        }
        return messages.Explained(explanation(snapshot, tids), threads)

    def _gone(self) -> None:
        """The process ended without a word. In the middle of a test that is worth one."""
        last = self._observation.snapshot()
        if not self._test or last.target is None:
            return
        sys.stderr.write(f"\nconcview: {last.ending or 'the process ended'} during {self._test}. Before that:\n")
        sys.stderr.write(self._explain(self._began_ns, last.at_ns, ()).text)
        sys.stderr.flush()

    def _closed(self) -> None:
        """The plugin's end of the pipe is closed: the process is going, and the stream is about to say so."""
        deadline = time.monotonic() + PATIENCE_S
        while not self._observation.ended and time.monotonic() < deadline:
            time.sleep(0.02)
        self._gone()


def _main_waits(snapshot: Snapshot, chain: ChainView) -> bool:
    main = snapshot.target.pid if snapshot.target is not None else 0
    thread = snapshot.thread(main)
    return thread is not None and not thread.wait.timed and any(e.waiter == main for e in chain.edges)


class _Say:
    """Writes a message; nobody there to read it is no error."""

    def __init__(self) -> None:
        self._out = sys.stdout.buffer

    def __call__(self, message: messages.Told) -> None:
        try:
            self._out.write(msgspec.json.encode(message) + b"\n")
            self._out.flush()
        except OSError:
            pass


def _read(lines: Iterable[bytes], asked: queue.SimpleQueue[messages.Asked | None]) -> None:
    decoder = msgspec.json.Decoder(messages.Asked)
    for line in lines:
        asked.put(decoder.decode(line))
    asked.put(None)


def _lines(descriptor: int) -> Iterator[bytes]:
    """Without Python's buffer: a thread that waits in it would not let the interpreter end."""
    rest = b""
    while data := os.read(descriptor, 65536):
        *whole, rest = (rest + data).split(b"\n")
        yield from whole


def _config(first: messages.Attach) -> Config:
    """The settings given, and the plugin's own thread left out."""
    config = merge({"rate": first.rate}, Path(first.settings) if first.settings is not None else None, {})
    unknown, _ = api.unknown_rules(config.rules)
    if unknown:
        raise ConfigError(f"{first.settings}: no such rules: {', '.join(unknown)}")
    excluded = (*config.rules.exclude_threads, OWN_THREADS)
    return msgspec.structs.replace(config, rules=msgspec.structs.replace(config.rules, exclude_threads=excluded))


def main() -> int:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for pytest, which tells us to finish
    say = _Say()
    asked: queue.SimpleQueue[messages.Asked | None] = queue.SimpleQueue()
    threading.Thread(target=_read, args=(_lines(sys.stdin.fileno()), asked), daemon=True).start()
    first = asked.get()
    if not isinstance(first, messages.Attach):
        return 2
    try:
        observation = api.live(first.pid, _config(first))
    except TargetError as error:
        say(messages.Failed(str(error), error.remedy))
        return error.exit_code
    except ConfigError as error:
        say(messages.Failed(str(error), ""))
        return 2
    with observation:
        say(messages.Watching(observation.snapshot().engine))
        Watcher(observation, say).serve(asked)
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""What the dashboard and the command line say in the same words."""

from __future__ import annotations

from collections.abc import Sequence

from concview import text
from concview.catalogue.base import UNTOLD
from concview.model import Measured
from concview.snapshot import Gap, LockView, ThreadView
from concview.text import duration


def lasting(thread: ThreadView) -> str:
    """How long it has been in its state: '1.2 s', '<400 ms' where it is only known that it was woken lately, '>5 s'
    where it was so when it was first seen and the kernel does not tell since when."""
    if thread.since_open:
        return f">{duration(thread.since_s)}"
    if thread.unsure_s > thread.since_s / 4:
        return f"<{duration(thread.since_s + thread.unsure_s)}"
    return duration(thread.since_s)


def unended(lock: LockView) -> str:
    """Of a lock none of whose holds was seen to end, and whose longest is known: 'for 5 s and not given back yet'."""
    if lock.hold_sure:
        return f"for {duration(lock.hold_max_s or 0.0)} and not given back yet"
    return (
        f"at every sample for {duration(lock.hold_max_s or 0.0)} (given back and taken again between two samples would "
        "not be seen)"
    )


def _number(value: float, unit: str) -> str:
    if unit.startswith("share"):
        return text.fine_percent(value)
    if unit == "%":
        return f"{value:.0f} %"
    if unit == "s":
        return text.duration(value)
    return text.count(value) if abs(value) >= 1000 else f"{value:.3g}"


def measured_text(measured: Measured) -> str:
    """The number that decided beside its thresholds: 'waiting for the GIL: 76 % of the busy threads' time (at least
    74 % with 95 % confidence); info from 30 %, warn from 45 % (1245 samples, 476 episodes)'."""
    unit = measured.unit
    of = f" of {unit.removeprefix('share of ')}" if unit.startswith("share of ") else ""
    named = "" if unit.startswith("share") or unit in ("", "%", "s") else f" {text.of_unit(measured.value, unit)}"
    said = measured.name
    if not said.endswith(UNTOLD):
        said += f": {_number(measured.value, unit)}{of}{named}"
    if measured.lower is not None and measured.lower != measured.value:
        said += f" (at least {_number(measured.lower, unit)} with 95 % confidence)"
    info, warn = _number(measured.info, unit), _number(measured.warn, unit)
    said += f"; INFO from {info}, WARN from {warn}" if info != warn else f"; WARN from {warn}"
    counts = [text.plural(measured.samples, "sample")] if measured.samples else []
    counts += [text.plural(measured.episodes, "episode")] if measured.episodes else []
    return said + (f" ({', '.join(counts)})" if counts else "")


#: Gaps that are told one by one.
MOST_GAPS = 3


def unseen_for(gaps: Sequence[Gap], all_s: float) -> str:
    """'no sample for 3.1 s from 12.4 s on, for 0.8 s from 1 min 05 s on, and 2.0 s more': '' where there was none.
    `gaps`: the longest ones; `all_s`: of all together."""
    longest = sorted(sorted(gaps, key=lambda g: -g.seconds)[:MOST_GAPS], key=lambda g: g.start_s)
    if not longest:
        return ""
    told = ", ".join(f"for {duration(g.seconds)} {_from(g.start_s)}" for g in longest)
    more = all_s - sum(g.seconds for g in longest)
    return f"no sample {told}" + (f", and {duration(more)} more" if more >= 0.05 else "")


def _from(start_s: float) -> str:
    return "at the start" if start_s < 0.05 else f"from {duration(start_s)} on"

"""What the dashboard and the command line say in the same words."""

from __future__ import annotations

from concview.model import Measured
from concview.snapshot import LockView, ThreadView
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


def measured_text(measured: Measured) -> str:
    """The number that decided beside its thresholds."""
    lower = f" (at least {measured.lower:.3g} with 95 % confidence)" if measured.lower is not None else ""
    return (
        f"{measured.name} {measured.value:.3g}{lower}, info from {measured.info:g}, warn from {measured.warn:g} "
        f"({measured.unit})"
    )

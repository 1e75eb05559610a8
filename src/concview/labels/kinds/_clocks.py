"""Moments that libraries keep."""

from __future__ import annotations

import calendar

from concview.labels.access import Ref

#: Of a datetime object, behind its header: hash, whether it has a time zone, then year (2 bytes, high first), month,
#: day, hour, minute, second, microsecond (3 bytes). `PyDateTime_DateTime` of Include/datetime.h.
_AT, _SIZE = 8, 11


def local_time(moment: Ref) -> float | None:
    """A naive datetime as seconds since 1970-01-01 00:00 of the same clock."""
    found = _fields(moment)
    return found[1] if found is not None and not found[0] else None


def utc_time(moment: Ref) -> float:
    """A datetime in UTC, naive or not, as seconds since the epoch; 0.0: none. What zone an aware one is in is not read:
    only for libraries that say UTC."""
    found = _fields(moment)
    return found[1] if found is not None else 0.0


def _fields(moment: Ref) -> tuple[bool, float] | None:
    if moment.type != "datetime.datetime":
        return None
    raw = moment.raw(_AT, _SIZE)
    aware, year, micro = bool(raw[0]), raw[1] << 8 | raw[2], raw[8] << 16 | raw[9] << 8 | raw[10]
    month, day, hour, minute, second = raw[3:8]
    if not (1 <= month <= 12 and 1 <= day <= 31 and hour < 24 and minute < 60 and second < 60 and micro < 1_000_000):
        return None
    return aware, calendar.timegm((year, month, day, hour, minute, second)) + micro / 1e6

"""The Python processes below the one that is looked at."""

from __future__ import annotations

from enum import StrEnum

import msgspec

from concview.model.events import Event


class Role(StrEnum):
    PROGRAM = "program"  #: the one that was asked for, and whatever else runs a program of its own
    WORKER = "worker"
    HELPER = "helper"  #: multiprocessing's resource tracker, its fork server and their like: no work is done there


class Worker(msgspec.Struct, frozen=True, array_like=True):
    """One Python process below the target. With `start_ticks` its pid names it for ever."""

    pid: int
    start_ticks: int  #: field 22 of /proc/PID/stat
    parent: int  #: the nearest Python process above it
    role: Role
    name: str  #: what tells it from the others: 'worker 2', 'app.py', 'fork server'
    cpu_percent: float = -1.0  #: of one core since the report before; -1 not known yet
    threads: int = 0


class Workers(Event, frozen=True, tag=36):
    """Written when there are any or ended ones, every other second, and once when there are none any more."""

    at_ns: int
    workers: tuple[Worker, ...]
    more: int = 0  #: processes that were not looked at
    ended: tuple[int, ...] = ()  #: pids of its own children that have ended and that it has not collected


class Parent(Event, frozen=True, tag=22):
    """Of a process that multiprocessing (or billiard) started: the one that asked for it, as it remembers. Written when
    that is first known, and when it has changed."""

    at_ns: int
    pid: int  #: as the process itself numbers it: in its namespace
    alive: bool
    ppid: int  #: who its parent is for the kernel now

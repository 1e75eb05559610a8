"""Ways of looking at a process. `choose` picks one; each says beforehand what it can see."""

from __future__ import annotations

from dataclasses import replace

from concview.engines.base import Engine, Probe

#: In the order in which `auto` tries them.
NAMES = ("direct", "pyspy")


def choose(
    pid: int, name: str = "auto", rate_hz: float = 100.0, blocking: bool = False, labels: str = "safe"
) -> tuple[Engine | None, Probe]:
    """The engine to use and what it can see; (None, the probe that says why not) when there is none.

    With 'auto' the first usable one wins; if a better one was not, its reason goes with it. When none is, the first
    one's reason stands, because its remedy also helps the others. ValueError for a name that no engine has.
    """
    first: Probe | None = None
    for candidate in NAMES if name == "auto" else (name,):
        engine_class = _load(candidate)
        probe = engine_class.probe(pid)
        if probe.usable:
            engine = _make(candidate, rate_hz, blocking, labels)
            return engine, probe if first is None else replace(probe, why=first.why)
        if first is None or (probe.enable and not first.enable):  # what can be remedied tells more
            first = probe
    assert first is not None
    return None, first


def _load(name: str) -> type[Engine]:
    # Imported when needed: each engine brings its own libraries.
    if name == "direct":
        from concview.engines.direct import DirectEngine

        return DirectEngine
    if name == "pyspy":
        from concview.engines.pyspy import PySpyEngine

        return PySpyEngine
    raise ValueError(f"unknown engine {name!r}: one of {', '.join(NAMES)}")


def _make(name: str, rate_hz: float, blocking: bool, labels: str) -> Engine:
    if name == "pyspy":
        from concview.engines.pyspy import PySpyEngine

        return PySpyEngine(rate_hz, blocking)
    from concview.engines.direct import DirectEngine

    return DirectEngine(labels)

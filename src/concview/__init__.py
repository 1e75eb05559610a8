"""concview: why is no thread of this Python process making progress, and what to do about it.

    with concview.attach(1234) as process:
        print(process.observe(10).findings)

`attach` and `open` are described in docs/api.md; the names of `__all__` are loaded when they are first
used, and __init__.pyi says what they are.
"""

from __future__ import annotations

__version__ = "0.1.0"

__all__ = [
    "Blame",
    "ChainView",
    "Confidence",
    "ConfigError",
    "EdgeView",
    "Finding",
    "HolderView",
    "LockView",
    "Observation",
    "Severity",
    "Snapshot",
    "State",
    "Status",
    "StreamError",
    "TargetError",
    "ThreadView",
    "attach",
    "open",
]

#: Where each name lives. `import concview` alone loads nothing: the collector and the agent import it, too.
_HOMES = {
    "concview.api": ("Observation", "attach", "open"),
    "concview.codec": ("StreamError",),
    "concview.config": ("ConfigError",),
    "concview.errors": ("TargetError",),
    "concview.model": ("Confidence", "Finding", "Severity", "State"),
    "concview.snapshot": (
        "Blame",
        "ChainView",
        "EdgeView",
        "HolderView",
        "LockView",
        "Snapshot",
        "Status",
        "ThreadView",
    ),
}


def __getattr__(name: str) -> object:
    import importlib

    for home, names in _HOMES.items():
        if name in names:
            value: object = getattr(importlib.import_module(home), name)
            globals()[name] = value
            return value
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})

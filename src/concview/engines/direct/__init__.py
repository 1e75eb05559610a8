"""The `direct` engine: reads CPython 3.8 to 3.15 by process_vm_readv(2) and never stops the target."""

from concview.engines.direct.engine import DirectEngine

__all__ = ["DirectEngine"]

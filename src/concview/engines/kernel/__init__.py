"""What the kernel says of a process: wait states of its threads and counters, from /proc and psutil."""

from concview.engines.kernel.counters import CounterReader
from concview.engines.kernel.waits import WaitReader

__all__ = ["CounterReader", "WaitReader"]

"""What the kernel says of a process: wait states of its threads and counters, from /proc and psutil."""

from concview.linux.counters import CounterReader
from concview.linux.waits import WaitReader

__all__ = ["CounterReader", "WaitReader"]

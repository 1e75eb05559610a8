"""Asking a running Python to run one line of ours, by writing into its memory. Nothing is stopped, no machine code is
made, nothing is called in it: the interpreter itself finds the request at its next eval-breaker.

3.14 and newer have an interface for this (PEP 768, `script.py`); for 3.8 to 3.13 the queue of pending calls serves
(`ring.py`). A request that nobody takes is withdrawn.
"""

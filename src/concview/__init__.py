"""concview: why is no thread of this Python process making progress, and what to do about it."""

__version__ = "0.1.0"

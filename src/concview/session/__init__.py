"""A session: source -> history -> analysis -> catalogue -> the snapshot that every view shows.

The same code runs live and on replay; only the source differs.
"""

from concview.session.session import Session
from concview.session.stream_source import AttachError, FileSource, LiveSource, StreamSource

__all__ = ["AttachError", "FileSource", "LiveSource", "Session", "StreamSource"]

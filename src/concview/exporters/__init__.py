"""Recordings in the formats of other tools. One file a format, found by registry."""

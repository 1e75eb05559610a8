"""Interpreters whose frames are heap objects: CPython 3.8 to 3.10.

A `PyFrameObject` is made for each call and links to its caller; there is no stack of frames to copy as one piece. So
every known frame of a thread is copied by itself, and the innermost ones a second time: see `walk`.
"""

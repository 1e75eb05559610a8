"""Stacks by py-spy: for the Python versions that the direct engine does not read, and by choice."""

from concview.engines.pyspy.deep import DeepFrame, DeepLocal, DeepLook, DeepThread, deep_look, look
from concview.engines.pyspy.engine import PySpyEngine
from concview.engines.pyspy.failures import PySpyFailed

__all__ = ["DeepFrame", "DeepLocal", "DeepLook", "DeepThread", "PySpyEngine", "PySpyFailed", "deep_look", "look"]

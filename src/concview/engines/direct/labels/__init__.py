"""In whose name threads and tasks work, as a look beside the samples."""

from concview.engines.direct.labels.look import LabelLook

__all__ = ["LabelLook"]

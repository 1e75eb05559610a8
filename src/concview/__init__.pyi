# What __init__.py loads when it is first used.
from concview.api import Observation as Observation
from concview.api import attach as attach
from concview.api import open as open  # noqa: A004
from concview.codec import StreamError as StreamError
from concview.config import ConfigError as ConfigError
from concview.errors import TargetError as TargetError
from concview.model import Confidence as Confidence
from concview.model import Finding as Finding
from concview.model import Severity as Severity
from concview.model import State as State
from concview.snapshot import Blame as Blame
from concview.snapshot import ChainView as ChainView
from concview.snapshot import EdgeView as EdgeView
from concview.snapshot import HolderView as HolderView
from concview.snapshot import LockView as LockView
from concview.snapshot import Snapshot as Snapshot
from concview.snapshot import Status as Status
from concview.snapshot import ThreadView as ThreadView

__version__: str

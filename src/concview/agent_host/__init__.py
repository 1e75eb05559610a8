"""The dashboard's side of the agent: waiting for it at a private socket, checking who comes, and its reports as events.

attachment = inject(pid)            # blocks until the agent is there; CannotInject, NotPermitted, TargetGone
for message in attachment.poll(): ...
attachment.close()
"""

from concview.agent_host.attachment import Attachment, inject
from concview.agent_host.inject.request import CannotInject

__all__ = ["Attachment", "CannotInject", "inject"]

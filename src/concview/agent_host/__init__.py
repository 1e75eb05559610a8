"""The dashboard's side of the agent: waiting for it at a private socket, checking who comes, and its reports as events.

attachment = attach_agent(pid)            # blocks until the agent is there; CannotInject, NotPermitted, TargetGone
for message in attachment.poll(): ...
attachment.close()
"""

from concview.agent_host.attachment import Attachment, attach_agent
from concview.agent_host.inject.request import CannotInject

__all__ = ["Attachment", "CannotInject", "attach_agent"]

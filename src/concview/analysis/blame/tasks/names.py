"""Numbers and names of tasks among the threads."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from concview.analysis.blame.nouns import Node
from concview.text import group

if TYPE_CHECKING:
    from concview.analysis.blame.world import World
    from concview.analysis.tasks.records import TaskHistory

_DEFAULT_NAME = re.compile(r"Task-\d+$")


def node_of(task: int) -> Node:
    return -task


def task_name(world: World, node: Node) -> str:
    """Tasks of one coroutine function have one name here, unless somebody named them."""
    task = world.history.aio.find(-node)
    return name_of(task) if task is not None else "a task"


def name_of(task: TaskHistory) -> str:
    function = task.function.function if task.function is not None else ""
    # anyio and trio name a task by its function, with the module.
    if function and (_DEFAULT_NAME.match(task.name) or f".{task.name}".endswith(f".{function}")):
        return function.rpartition(".")[2]
    return group(task.name)

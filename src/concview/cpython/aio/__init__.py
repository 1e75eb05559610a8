"""Tasks in another process: where they are, what each awaits, what it waits for and holds, and their event loops.

`layout` has the offsets of asyncio's C objects, `listing` finds the tasks, `chain` walks from a task's coroutine to
what it waits for, `roles` is the one table of what libraries' functions mean, `waits` and `holders` apply it, `pools`
reads limits and use, `loops` the ready queues.
"""

"""What tasks wait for, as nodes beside the threads: the number of one is minus its id.

Everything here is decided by what was read of the task (its state, the object it waits at, who holds that); of queues
and events, by who was seen at them. `moment` knows who has what and who stands where; `answer` follows one task's wait
by its state: `turns` in the loop and pauses, `results` of calls and of other tasks, `objects` that others have,
`signals` that others will give, `circles` of those that would have to give one another what they wait for.
"""

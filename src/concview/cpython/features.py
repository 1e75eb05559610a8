"""What a version of CPython does otherwise than the one before, by name. Where things lie is in `offsets`."""

from __future__ import annotations


class Features:
    """Of one version. A new one is a line more where it differs, and nothing where it does not."""

    __slots__ = (
        "cancel_counter", "cleared_frames", "code_qualname", "deque_remove_counts_three", "entry_flag",
        "exception_row", "exit_unbound", "function_builtins", "heap_frames", "instruction_units",
        "large_pools", "line_table", "linked_tasks", "locks_without_semaphore", "long_tags",
        "own_created_state", "parking_lot", "remote_scripts", "semaphore_row_by_remove", "sent_value_on_top",
        "simple_queue_ring", "single_created_state", "stack_depth", "tagged_references", "values_before_dict",
        "values_or_dict", "values_with_head", "wait_for_inline", "wide_interned", "without_gil", "worker_context",
    )  # fmt: skip

    def __init__(self, version: tuple[int, int]) -> None:
        def since(minor: int) -> bool:
            return version >= (3, minor)

        #: Pools of small objects are 16 KiB (radix tree of arenas), before 4 KiB.
        self.large_pools = since(10)
        #: `f_lasti` and the handlers of blocks count instructions, before bytes.
        self.instruction_units = since(10)
        #: PEP 626's; before `co_lnotab`.
        self.line_table = since(10)
        #: Frames have `f_stackdepth`, before the pointer `f_stacktop`; and `f_state` numbers what runs otherwise.
        self.stack_depth = since(10)
        #: `deque.remove` raises its count of changes by three, before by two.
        self.deque_remove_counts_three = since(10)
        #: A function has `__builtins__` before its closure.
        self.function_builtins = since(10)
        #: Every frame is an object of its own; after that they lie one behind the other.
        self.heap_frames = not since(11)
        #: Frames say themselves whether C called them.
        self.entry_flag = version == (3, 11)
        #: What is being handled is one object, before three.
        self.exception_row = since(11)
        #: Code has a qualified name.
        self.code_qualname = since(11)
        #: Before an instance lie a pointer to its values and one to its dict; then one for either.
        self.values_before_dict = version == (3, 11)
        self.values_or_dict = version == (3, 12)
        #: Tasks count how often they were cancelled.
        self.cancel_counter = since(11)
        #: A waiter of asyncio's Semaphore takes itself out of the row; before, whoever wakes it does.
        self.semaphore_row_by_remove = since(11)
        #: The length of an integer lies beside its sign, three bits on; before the sign is the length's.
        self.long_tags = since(12)
        #: `asyncio.wait_for` makes no task of its own.
        self.wait_for_inline = since(12)
        #: The values that an instance has itself lie behind a word that says how many.
        self.values_with_head = since(13)
        #: There are builds without a GIL.
        self.without_gil = since(13)
        #: SimpleQueue is a ring, before a list.
        self.simple_queue_ring = since(13)
        #: Who waits for a PyMutex parks in a table; its lock is found on its own stack.
        self.parking_lot = since(13)
        #: A coroutine that was not begun has a state of its own that no longer is -2 (then -3, from 3.15 on 0).
        self.own_created_state = since(13)
        self.single_created_state = since(15)
        #: A frame that was left is cleared, and has a pointer to the end of its stack instead of an index.
        self.cleared_frames = since(14)
        #: Two bits of a reference on a frame say how it is counted; before without a GIL one.
        self.tagged_references = since(14)
        #: Inside a `with` the stack keeps the function `__exit__` and, above it, the manager; before, the bound method.
        self.exit_unbound = since(14)
        #: Interpreters and threads list their tasks.
        self.linked_tasks = since(14)
        #: `threading.Lock` is a PyMutex on every build.
        self.locks_without_semaphore = since(14)
        #: A worker of an executor is given what sets it up before the queue that it takes from.
        self.worker_context = since(14)
        #: PEP 768: a debugger may ask for a script to be run.
        self.remote_scripts = since(14)
        #: Without a GIL a string's `interned` is a byte.
        self.wide_interned = since(14)
        #: The value that is sent in lies above what is awaited.
        self.sent_value_on_top = since(15)

"""What the callback of a loop's timer reaches, and whether it is there to end a wait."""

from __future__ import annotations

import re
from typing import NamedTuple

from concview.cpython.aio.values import Values
from concview.cpython.aio.waits import Waits

#: Names of callbacks that end a wait which has taken too long.
ENDS_A_WAIT = re.compile("time_?out|expire|deadline|cancel|abort", re.IGNORECASE)
#: Bytes read of the name of a function in C.
_NAME = 16
_IN_C = ("builtin_function_or_method", "builtin_method")


class Called(NamedTuple):
    kind: str  #: type of the callback, of a functools.partial that of its function
    callback: int
    function: int  #: of a method
    reached: set[int]  #: what it is a method of, and its arguments


def called(values: Values, waits: Waits, callback: int, args: int, most: int) -> Called:
    """`most`: arguments. Raises BAD."""
    kind, function = values.type_name(callback), 0
    reached = set(values.members(args, most))
    if kind == "functools.partial":
        *given, callback = waits.enclosed(callback, kind)
        reached.update(given)
        kind = values.type_name(callback)
    if kind == "method":
        function = values.memory.word(callback + values.o["method.im_func"])
        reached.add(values.memory.word(callback + values.o["method.im_self"]))
    elif kind in _IN_C:
        reached.add(values.memory.word(callback + values.o["cfunction.m_self"]))
    return Called(kind, callback, function, reached)


def ends_a_wait(values: Values, waits: Waits, one: Called) -> bool:
    """By its name. Raises BAD."""
    name = ""
    if one.kind == "function":
        name = waits.name(one.callback)
    elif one.kind == "method" and values.type_name(one.function) == "function":
        name = waits.name(one.function)
    elif one.kind in _IN_C:
        # PyObject_HEAD; PyMethodDef *m_ml; PyObject *m_self. PyMethodDef begins with its name.
        definition = values.memory.word(one.callback + values.o["cfunction.m_self"] - 8)
        text = values.memory.read(values.memory.word(definition), _NAME)
        name = text.partition(b"\0")[0].decode("ascii", "replace")
    return ENDS_A_WAIT.search(name) is not None

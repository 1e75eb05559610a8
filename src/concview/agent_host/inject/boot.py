"""What the target is asked to run: one short line that starts a thread, and the script which that thread runs.

The line runs wherever the interpreter happens to look for requests, so it does next to nothing there: no name is bound,
no exception leaves it, and a Ctrl-C that arrives in these few microseconds is given back. `threading` is imported on
the spot if it never was: imported first by a foreign thread, it would take that one for the main thread before 3.13.
"""

from __future__ import annotations

from pathlib import Path

import concview.agent

#: In the order in which they can be loaded. `listener` is for programs that listen by themselves.
MODULES = ("originals", "wire", "fork", "cost", "rates", "calls", "counts", "tasks", "waits", "core", "start")
_CATCH = (
    "try:\n t.get_native_id()==p.getpid()and __import__('threading')"
    "\n t.start_new_thread(b.exec,(s,{'__builtins__':b}))"
    "\nexcept KeyboardInterrupt:t.interrupt_main()\nexcept BaseException:pass"
)


def line(script: str) -> str:
    """The expression to run, ASCII. `script`: path of the boot script as the target sees it."""
    source = f"try:\n with open({script!a},'rb')as f:exec(f.read(),{{'__name__':'_cv'}})\nexcept BaseException:pass"
    return (
        f"(lambda b,t,p:b.exec({_CATCH!a},{{'__builtins__':b,'b':b,'t':t,'p':p,'s':{source!a}}}))"
        "(*map(__import__,('builtins','_thread','posix')))"
    )


def script(settings: dict[str, object]) -> str:
    """The boot script: the agent's modules as text, and how it finds us."""
    folder = Path(concview.agent.__file__).parent
    sources = {name: (folder / f"{name}.py").read_text("utf-8") for name in MODULES}
    enter = (folder / "enter.py").read_text("utf-8")
    return f"{enter}\nenter({sources!a}, {settings!a})\n"

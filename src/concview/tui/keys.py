"""Every key, once. Bindings, footer, help screen and command palette are made from this table.

`remap` lays the user's own keys over it, before the first screen is made.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

from textual.binding import Binding
from textual.keys import KEY_NAME_REPLACEMENTS


@dataclass(frozen=True, slots=True)
class Key:
    """`keys` as Textual spells them, comma-separated. `scope` says whose bindings it belongs to:

    app (everywhere), dashboard, list (any table), page (any scrolling text), picker, flame (the flame view), deep (the
    deep look), time (the dashboard while it is paused; these go before all others), inside (the view of that name),
    agent and window (its questions). `label` is for the footer; keys
    without one do not appear there. `view` actions only work in views that offer them.
    """

    id: str
    keys: str
    shown: str  #: as people read it
    action: str
    help: str
    scope: str
    group: str
    label: str = ""
    view: bool = False


#: Scope and group of the keys that only some views understand.
LOOK = ("dashboard", "Look")
TIME = ("time", "Time, while paused")
PROGRAM = ("dashboard", "Program")

INSIDE = ("inside", "Inside")

KEYS: tuple[Key, ...] = (
    Key("open", "enter", "enter", "open", "open what is selected: its evidence, its stack", "list", "Move", "open"),
    Key("up", "up,k", "↑ k", "up", "one line up", "list", "Move"),
    Key("down", "down,j", "↓ j", "down", "one line down", "list", "Move"),
    Key("page_up", "pageup,ctrl+b", "pgup", "page_up", "one page up", "list", "Move"),
    Key("page_down", "pagedown,ctrl+f", "pgdn", "page_down", "one page down", "list", "Move"),
    Key("top", "home,g", "g", "top", "to the first line", "list", "Move"),
    Key("bottom", "end,G", "G", "bottom", "to the last line", "list", "Move"),
    Key("half_down", "ctrl+d", "ctrl+d", "half_down", "half a page down", "list", "Move"),
    Key("half_up", "ctrl+u", "ctrl+u", "half_up", "half a page up", "list", "Move"),
    Key("next_match", "n", "n", "match(1)", "the next match of the filter; N the one before", "list", "Move"),
    Key("previous_match", "N", "N", "match(-1)", "the match before", "list", "Move"),
    Key("scroll_up", "up,k", "↑ k", "scroll_up", "scroll up", "page", "Move"),
    Key("scroll_down", "down,j", "↓ j", "scroll_down", "scroll down", "page", "Move"),
    Key("scroll_page_up", "pageup,ctrl+b", "pgup", "page_up", "scroll one page up", "page", "Move"),
    Key("scroll_page_down", "pagedown,ctrl+f", "pgdn", "page_down", "scroll one page down", "page", "Move"),
    Key("scroll_top", "home,g", "g", "scroll_home", "to the first line", "page", "Move"),
    Key("scroll_bottom", "end,G", "G", "scroll_end", "to the last line", "page", "Move"),
    Key("scroll_half_down", "ctrl+d", "ctrl+d", "half_down", "scroll half a page down", "page", "Move"),
    Key("scroll_half_up", "ctrl+u", "ctrl+u", "half_up", "scroll half a page up", "page", "Move"),
    Key("next_line_match", "n", "n", "match(1)", "the next line that has the filter's text", "page", "Move"),
    Key("previous_line_match", "N", "N", "match(-1)", "the line before that has it", "page", "Move"),
    Key("back", "escape", "esc", "back", "go back; never quits", "dashboard", "Move", "back"),
    Key("focus", "tab", "tab", "next_part", "to the next part of the view", "dashboard", "Move", "next part"),
    Key("previous_tab", "left,h", "← h", "step_tab(-1)", "previous view", "dashboard", "Move"),
    Key("next_tab", "right,l", "→ l", "step_tab(1)", "next view", "dashboard", "Move"),
    *(Key(f"tab_{n}", str(n), str(n), f"tab({n})", f"view number {n}", "dashboard", "Views") for n in range(1, 10)),
    Key("requests", "0", "0", "requests", "requests, jobs and queries in progress", "dashboard", "Views"),
    Key("tab_10", "T", "T", "tab(10)", "tasks, where there are any", "dashboard", "Views"),
    Key("filter", "slash", "/", "view('filter')", "filter the list as you type", "dashboard", "Look", "filter", True),
    Key("sort", "s", "s", "view('sort')", "sort by the next column", "dashboard", "Look", "sort", True),
    Key("reverse", "r", "r", "view('reverse')", "reverse the order", "dashboard", "Look", "", True),
    Key("column_left", "less_than_sign", "<", "move_column(-1)", "move the sorted column to the left; > right", *LOOK),
    Key("column_right", "greater_than_sign", ">", "move_column(1)", "move the sorted column to the right", *LOOK),
    Key("fold", "f", "f", "view('fold')", "fold or unfold library frames; all groups of threads", *LOOK, "fold", True),
    Key("group", "t", "t", "view('group')", "group threads by pool; enter folds a group", *LOOK, "group", True),
    Key(
        "open_holder",
        "o",
        "o",
        "view('open_holder')",
        "go to the thread that is in the way",
        "dashboard",
        "Look",
        "holder",
        True,
    ),
    Key(
        "calls",
        "c",
        "c",
        "view('calls')",
        "the calls of this thread, or of what is done on this request",
        *LOOK,
        "flame",
        True,
    ),
    Key("deep", "d", "d", "view('deep')", "deep look: read this thread's local variables", *LOOK, "deep look", True),
    Key("native", "n", "n", "view('native')", "deep look with native frames; asks first", *LOOK, "native", True),
    Key("zoom", "enter", "enter", "zoom", "zoom into the box; esc zooms out", "flame", "Flame", "zoom"),
    Key("box_up", "up,k", "↑ k", "move('up')", "to the caller", "flame", "Flame"),
    Key("box_down", "down,j", "↓ j", "move('down')", "to what it calls most", "flame", "Flame"),
    Key("box_left", "left,h", "← h", "move('left')", "to the box on the left", "flame", "Flame"),
    Key("box_right", "right,l", "→ l", "move('right')", "to the box on the right", "flame", "Flame"),
    Key("box_top", "home,g", "g", "move('top')", "to the outermost call", "flame", "Flame"),
    Key("box_bottom", "end,G", "G", "move('bottom')", "down the widest boxes to the end", "flame", "Flame"),
    Key("mode", "m", "m", "mode(1)", "show another state: running, GIL, lock, I/O ...", "flame", "Flame", "state"),
    Key("mode_back", "M", "M", "mode(-1)", "the state before", "flame", "Flame"),
    Key("by_line", "b", "b", "by_line", "a box for every function, or for every line", "flame", "Flame", "lines"),
    Key(
        "by_work", "w", "w", "by_work", "a root for each request and job, above its calls", "flame", "Flame", "requests"
    ),
    Key(
        "one_thread",
        "t",
        "t",
        "one_thread",
        "all, or only the thread or request that this began with",
        "flame",
        "Flame",
    ),
    Key("heat", "v", "v", "heat", "the source of the selected call, with the time of every line", "flame", "Flame"),
    Key("source", "o", "o", "source", "open the source in $EDITOR", "flame", "Flame", "source"),
    Key("deep_again", "d", "d", "read(False)", "read the local variables again", "deep", "Deep look", "again"),
    Key("deep_native", "n", "n", "read(True)", "native frames too; asks first", "deep", "Deep look", "native"),
    Key("deep_yes", "y,enter", "y", "yes", "stop the process for a moment", "deep", "Deep look", "yes"),
    Key("deep_back", "escape,q", "esc", "back", "close the deep look", "deep", "Deep look", "close"),
    Key("exact", "x", "x", "view('exact')", "exact counts of this function, in the view Inside", *LOOK, "exact", True),
    Key("agent", "a", "a", "agent", "let the agent into the process, or send it away; asks first", *INSIDE, "agent"),
    Key("window", "w", "w", "window", "count every call for some seconds, or stop that; asks first", *INSIDE, "count"),
    Key("section", "m", "m", "section", "tasks, calls, queues", *INSIDE, "next part"),
    Key("save_calls", "S", "S", "save_calls", "save the counted calls as pstat and callgrind here", *INSIDE, "save"),
    Key("agent_yes", "y,enter", "y", "yes", "let the agent in", "agent", "Inside", "yes"),
    Key("agent_no", "escape,q,n", "esc", "no", "leave the process alone", "agent", "Inside", "no"),
    Key("window_wall", "y,enter", "y", "start('wall')", "count in wall-clock time", "window", "Inside", "wall"),
    Key("window_cpu", "c", "c", "start('cpu')", "count in CPU time", "window", "Inside", "CPU"),
    Key("window_none", "n", "n", "start('none')", "counts only, with sys.monitoring", "window", "Inside", "counts"),
    Key("window_more", "plus,equals_sign", "+", "longer(1)", "count longer", "window", "Inside"),
    Key("window_less", "minus", "-", "longer(-1)", "count less long", "window", "Inside"),
    Key("window_no", "escape,q", "esc", "no", "do not count", "window", "Inside", "no"),
    Key("pause", "space", "space", "pause", "pause the view; collection goes on", "dashboard", "Look", "pause"),
    Key("output", "O", "O", "output", "what the target prints; with concview run", "dashboard", "Look"),
    Key("faster", "plus,equals_sign", "+", "speed(1)", "refresh more often; a recording: play faster", *LOOK),
    Key("slower", "minus", "-", "speed(-1)", "refresh less often; a recording: play slower", *LOOK),
    Key("baseline", "b", "b", "baseline", "mark this as the baseline to compare with; again: forget it", *LOOK),
    Key("earlier", "left", "← →", "scrub(-1)", "back in time; → forward again", *TIME, "move"),
    Key("later", "right", "→", "scrub(1)", "forward in time; in a recording also one step on", *TIME),
    Key("much_earlier", "shift+left", "⇧←", "scrub(-10)", "back by the length of the interval", *TIME),
    Key("much_later", "shift+right", "⇧→", "scrub(10)", "forward by the length of the interval", *TIME),
    Key("oldest", "home", "home", "edge(-1)", "to the oldest moment that is kept", *TIME),
    Key("newest", "end", "end", "edge(1)", "to the newest moment", *TIME),
    Key("shorter", "left_square_bracket", "[ ]", "span(-1)", "a shorter interval; ] a longer one", *TIME, "length"),
    Key("longer", "right_square_bracket", "]", "span(1)", "a longer interval", *TIME),
    Key(
        "last_finding",
        "left_curly_bracket",
        "{ }",
        "to_finding(-1)",
        "to the finding before; } to the next",
        *TIME,
        "finding",
    ),
    Key("next_finding", "right_curly_bracket", "}", "to_finding(1)", "to the next finding", *TIME),
    Key(
        "copy", "y", "y", "copy", "copy what is wrong, in twenty lines for a channel", "dashboard", "Take away", "copy"
    ),
    Key("copy_line", "Y", "Y", "copy_line", "copy the selected line", "dashboard", "Take away"),
    Key("csv", "C", "C", "csv", "copy the table as CSV, all columns", "dashboard", "Take away"),
    Key("report", "W", "W", "report", "save a page for a ticket here", "dashboard", "Take away", "report"),
    Key("export", "e", "e", "export", "save this view as SVG and text here", "dashboard", "Take away", "export"),
    Key("record", "E", "E", "record", "save the minutes in memory as a recording here", "dashboard", "Take away"),
    Key("again", "R", "R", "again(False)", "start the program again; one that concview started", *PROGRAM),
    Key(
        "variant",
        "V",
        "V",
        "again(True)",
        "a demo: its other variant, beside this one as the baseline",
        *PROGRAM,
    ),
    Key("processes", "p", "p", "processes", "detach and choose another process", "dashboard", "Program"),
    Key("lesson", "L", "L", "lesson", "the lesson of this finding or demo: why, limits, fix, what next", *PROGRAM),
    Key("large", "P", "P", "large", "large print: the verdict and the time, for a projector", *LOOK),
    Key("compare_left", "1", "1", "open(0)", "the dashboard of the program on the left", "comparison", "Views", "left"),
    Key("compare_right", "2", "2", "open(1)", "the dashboard of the one on the right", "comparison", "Views", "right"),
    Key("compare_lesson", "L", "L", "app.lesson_of_demo", "the lesson of this demo", "comparison", "Views", "lesson"),
    Key("pick_filter", "slash", "/", "filter", "filter the list as you type", "picker", "Look", "filter"),
    Key("pick_sort", "s", "s", "sort", "sort by the next column", "picker", "Look", "sort"),
    Key("pick_reverse", "r", "r", "reverse", "reverse the order", "picker", "Look"),
    Key("pick_tree", "w", "w", "tree", "a master with all its workers, one list", "picker", "Look", "with workers"),
    Key(
        "pick_back",
        "escape",
        "esc",
        "back",
        "clear the filter; from a list of workers to all processes; never quits",
        "picker",
        "Move",
        "back",
    ),
    Key("command", "colon", ":", "command", "a command by its name, with completion", *PROGRAM),
    Key("help", "question_mark,f1", "?", "help", "this help", "app", "Program", "help"),
    Key("palette", "ctrl+p", "ctrl+p", "command_palette", "every command by name", "app", "Program"),
    Key(
        "suspend", "ctrl+z", "ctrl+z", "suspend", "back to the shell for a while; its fg returns here", "app", "Program"
    ),
    Key("redraw", "ctrl+l", "ctrl+l", "redraw", "draw the screen anew", "app", "Program"),
    Key("quit", "q,ctrl+c", "q", "quit", "quit and detach; the process goes on", "app", "Program", "quit"),
)


def bindings(scope: str) -> list[Binding]:
    """The bindings of one scope. Only those of the pause have priority: a text field gets its letters."""
    first = scope == "time"
    return [Binding(k.keys, k.action, k.help, show=False, id=k.id, priority=first) for k in KEYS if k.scope == scope]


#: What is in force: the table above with the user's own keys.
_in_force: tuple[Key, ...] = KEYS


class UnusableKey(ValueError):
    """A setting of a key that cannot be. The message says which, and why."""


def table() -> tuple[Key, ...]:
    """The keys in force."""
    return _in_force


def remap(own: Mapping[str, str]) -> dict[str, str]:
    """Put keys of the user's own in force: {id: 'p', 'ctrl+o' or 'p,space'}. Returns what Textual calls a keymap.

    UnusableKey for an id that does not exist, a key that is none, or one that two things of one screen would have.
    """
    global _in_force
    known = {k.id for k in KEYS}
    if unknown := [i for i in own if i not in known]:
        raise UnusableKey(f"[keys]: there is no {unknown[0]!r}; known: {', '.join(k.id for k in KEYS)}")
    keymap = {i: ",".join(_spelled(i, word) for word in _words(text)) for i, text in own.items()}
    changed = tuple(replace(k, keys=keymap[k.id], shown=_shown(keymap[k.id])) if k.id in keymap else k for k in KEYS)
    _check(changed, keymap)
    _in_force = changed
    return keymap


def _words(text: str) -> list[str]:
    """'p,ctrl+o' are two keys, and ',' is one."""
    return [","] if text.strip() == "," else text.split(",")


def _spelled(key: str, word: str) -> str:
    """As Textual spells it: '/' is 'slash', 'Ctrl+O' is 'ctrl+o'."""
    word = word.strip()
    *modifiers, last = word.split("+") if len(word) > 1 else [word]
    if not last or any(m.lower() not in ("ctrl", "shift", "alt") for m in modifiers):
        raise UnusableKey(f"[keys] {key}: {word!r} is no key; examples: 'p', 'ctrl+o', 'f5', 'space', '/'")
    if len(last) == 1 and not last.isalnum():
        name = unicodedata.name(last, "").lower().replace("-", "_").replace(" ", "_")
        last = KEY_NAME_REPLACEMENTS.get(name, name)
    elif len(last) > 1:
        last = last.lower()
        if last not in _NAMED and not (last[0] == "f" and last[1:].isdecimal() and 1 <= int(last[1:]) <= 24):
            raise UnusableKey(f"[keys] {key}: {word!r} is no key; examples: 'p', 'ctrl+o', 'f5', 'space', '/'")
    return "+".join([*(m.lower() for m in modifiers), last])


#: Keys with names, as Textual has them.
_NAMED = frozenset(
    """up down left right home end pageup pagedown insert delete enter tab escape space backspace slash backslash at
    minus plus underscore question_mark exclamation_mark comma full_stop colon semicolon equals_sign less_than_sign
    greater_than_sign left_square_bracket right_square_bracket left_curly_bracket right_curly_bracket""".split()  # noqa: SIM905
)


def _shown(keys: str) -> str:
    signs = {
        "less_than_sign": "<",
        "greater_than_sign": ">",
        "colon": ":",
        "slash": "/",
        "question_mark": "?",
        "up": "↑",
        "down": "↓",
        "left": "←",
        "right": "→",
        "escape": "esc",
    }
    return " ".join(signs.get(word, word) for word in keys.split(","))


def _check(changed: Iterable[Key], keymap: Mapping[str, str]) -> None:
    """A key may be two things on one screen only as the table has it."""
    taken: dict[tuple[str, str], Key] = {}
    everywhere = {word: k for k in changed if k.scope == "app" for word in k.keys.split(",")}
    for key in changed:
        for word in key.keys.split(","):
            other = taken.get((key.scope, word)) or (everywhere.get(word) if key.scope != "app" else None)
            if other is not None and (key.id in keymap or other.id in keymap):
                raise UnusableKey(f"[keys]: {_shown(word)!r} would be both {other.id} and {key.id}")
            taken[key.scope, word] = key


def by_id(key: str) -> Key:
    return next(k for k in _in_force if k.id == key)


def footer(ids: tuple[str, ...], paused: bool = False) -> list[Key]:
    """At most eight keys for a footer, quit and help always last. In a pause, its key ends it."""
    chosen = [by_id(i) for i in ids if i not in ("help", "quit")][:6]
    if paused:
        chosen = [replace(k, label="resume") if k.id == "pause" else k for k in chosen]
    return [*chosen, by_id("help"), by_id("quit")]


def document() -> str:
    """The table as Markdown, for docs/keys.md."""
    rows = [
        "# Keys",
        "",
        'The dashboard\'s keys by the ids that `[keys]` in `concview.toml` takes: `pause = "p"`, several with commas.',
        "One key may do different things in different places (*where*); the `?` screen shows what is in force.",
        "",
        "| id | keys | where | does |",
        "|---|---|---|---|",
    ]
    rows += [f"| `{k.id}` | `{k.keys}` | {k.scope} | {k.help} |" for k in KEYS]
    return "\n".join(rows) + "\n"


if __name__ == "__main__":
    print(document(), end="")

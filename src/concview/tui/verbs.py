"""What can be asked for by name: the command line (`:`) and the palette read this one registry.

A verb is a key of the table in `keys` by its id, or one of the few below that take an argument. Its `run` returns what
cannot be, in a sentence, or "".
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from textual.app import App

from concview.session.work import title
from concview.tui import keys
from concview.tui.screens.dashboard import Dashboard
from concview.tui.theme import CHOICES
from concview.tui.widgets.table import Table

if TYPE_CHECKING:
    from concview.tui.app import ConcviewApp

#: Of a list of things to choose from, so many are offered.
MOST_CHOICES = 200


@dataclass(frozen=True, slots=True)
class Choice:
    """`value` is what is typed, `title` what the palette shows."""

    value: str
    title: str = ""


@dataclass(frozen=True, slots=True)
class Verb:
    """`argument` names what may follow ('' nothing), in brackets where it may be left out. `each`: the palette offers
    every choice by itself. `key`: the one that does the same."""

    name: str
    help: str
    run: Callable[[ConcviewApp, str], str]
    argument: str = ""
    choices: Callable[[ConcviewApp], Sequence[Choice]] = lambda app: ()
    each: bool = False
    key: keys.Key | None = None


def _dashboard(app: App[None]) -> Dashboard | None:
    """The one that is shown, also below the palette, which asks while it is open."""
    for screen in reversed(app.screen_stack):
        if not screen.is_modal:
            return screen if isinstance(screen, Dashboard) else None
    return None


def _shown(app: ConcviewApp) -> Dashboard:
    dashboard = _dashboard(app)
    assert dashboard is not None  # verbs with an argument are only offered there
    return dashboard


# ---------------------------------------------------------------- with an argument


def _views(app: ConcviewApp) -> list[Choice]:
    shown = _shown(app)
    return [
        Choice(s.id, f"{s.title} ({keys.by_id(_tab(s.tab)).shown})")
        for s in shown.specs.values()
        if s.tab and s.present(shown.shown)
    ] + ([Choice("work", f"Requests ({keys.by_id('requests').shown})")] if "work" in shown.specs else [])


def _tab(number: int) -> str:
    return f"tab_{number}"


def _view(app: ConcviewApp, said: str) -> str:
    shown = _shown(app)
    asked = said.lower()
    names = {s.id: s.id for s in shown.specs.values() if s.tab or s.id == "work"}
    names |= {s.title.lower(): s.id for s in shown.specs.values() if s.tab}
    found = names.get(asked) or next((i for name, i in names.items() if asked and name.startswith(asked)), None)
    if found is None:
        return f"no view '{said}': {', '.join(sorted(set(names.values())))}"
    shown.trail.clear()
    shown.show_view(found)
    return ""


def _columns(app: ConcviewApp) -> list[Choice]:
    table = _shown(app).table()
    return [Choice(c.id, c.title.strip().lower()) for c in table.every_column()] if table is not None else []


def _sortable(app: ConcviewApp) -> list[Choice]:
    table = _shown(app).table()
    if table is None:
        return []
    return [Choice(c.id, c.title.strip()) for c in table.every_column() if c.sort is not None]


def _find_column(table: Table, word: str) -> str:
    """By its id or its title."""
    asked = word.lower()
    for column in table.every_column():
        if asked in (column.id, column.title.strip().lower()):
            return column.id
    return ""


def _sort(app: ConcviewApp, said: str) -> str:
    table = _shown(app).table()
    if table is None:
        return "no table here"
    word, _, order = said.partition(" ")
    column = _find_column(table, word)
    if column not in [c.value for c in _sortable(app)]:
        return f"cannot sort by '{word}': {', '.join(c.value for c in _sortable(app))}"
    if order.strip() not in ("", "up", "down"):
        return "the order is up (smallest first) or down"
    table.sort_to(column, order.strip())
    return ""


def _choose_columns(app: ConcviewApp, said: str) -> str:
    table = _shown(app).table()
    if table is None:
        return "no table here"
    words = said.replace(",", " ").split()
    found = [_find_column(table, word) for word in words]
    if "" in found:
        return f"no column '{words[found.index('')]}': {', '.join(c.id for c in table.every_column())}"
    table.choose_columns(tuple(dict.fromkeys(found)))
    return ""


def _filter(app: ConcviewApp, said: str) -> str:
    return "" if _shown(app).filter_by(said) else "this view has nothing to filter"


def _threads(app: ConcviewApp) -> list[Choice]:
    threads = sorted((t for t in _shown(app).shown.threads if t.alive), key=lambda t: t.name)
    return [Choice(t.name) for t in threads[:MOST_CHOICES]]


def _thread(app: ConcviewApp, said: str) -> str:
    shown = _shown(app)
    threads = shown.shown.threads
    asked = said.lower()
    found = (
        next((t for t in threads if said == str(t.tid)), None)
        or next((t for t in threads if t.name.lower() == asked), None)
        or next((t for t in threads if asked and asked in t.name.lower()), None)
    )
    if found is None:
        return f"no thread '{said}'" if said else "which thread? its name, or its tid"
    shown.go("thread", found.tid)
    return ""


def _findings(app: ConcviewApp) -> list[Choice]:
    return [Choice(f.id, f.title) for f in _shown(app).shown.findings]


def _finding(app: ConcviewApp, said: str) -> str:
    shown = _shown(app)
    found = next((f for f in shown.shown.findings if f.id == said or (said and said in f.id)), None)
    if found is None:
        return f"no finding '{said}' now"
    shown.go("findings", (found.id, found.subject))
    return ""


def _names_of_work(app: ConcviewApp) -> list[Choice]:
    work = _shown(app).shown.work
    if work is None:
        return []
    names = [*(title(r) for r in work.routes), *(title(w) for w in work.now)]
    return [Choice(name) for name in dict.fromkeys(names)][:MOST_CHOICES]


def _calls_of(app: ConcviewApp, said: str) -> str:
    if not said:
        return "which request, job, query or call? its name"
    names = [c.value for c in _names_of_work(app)]
    found = said if said in names else next((n for n in names if said.lower() in n.lower()), None)
    if found is None:
        return f"nothing called '{said}' was seen lately"
    _shown(app).go("flame", found)
    return ""


def _themes(app: ConcviewApp) -> list[Choice]:
    return [Choice(name, name) for name in CHOICES]


def _theme(app: ConcviewApp, said: str) -> str:
    if said not in CHOICES:
        return f"no theme '{said}': {', '.join(CHOICES)}"
    app.theme = CHOICES[said]
    return ""


def _save(app: ConcviewApp, said: str) -> str:
    _shown(app).save_recording(Path(said).expanduser() if said else None)
    return ""


def _baseline(app: ConcviewApp, said: str) -> str:
    if said:
        _shown(app).read_baseline(Path(said).expanduser())
    else:
        _shown(app).action_baseline()
    return ""


def _csv(app: ConcviewApp, said: str) -> str:
    return _shown(app).save_csv(Path(said).expanduser()) if said else _shown(app).take_csv()


WITH_ARGUMENTS: tuple[Verb, ...] = (
    Verb("view", "show a view", _view, "NAME", _views, each=True),
    Verb("sort", "sort the table by a column; 'up' or 'down' behind it", _sort, "COLUMN", _sortable),
    Verb("columns", "show these columns of the table, in this order; without any, as it was", _choose_columns,
         "[COLUMN ...]", _columns),
    Verb("filter", "filter the list; without a text, show all", _filter, "[TEXT]"),
    Verb("thread", "open a thread by its name or tid", _thread, "THREAD", _threads),
    Verb("finding", "open a finding by its rule", _finding, "RULE", _findings),
    Verb("calls-of", "the flame graph of what is done on a request, job, query or call", _calls_of, "NAME",
         _names_of_work),
    Verb("theme", "change the colours", _theme, "NAME", _themes, each=True),
    Verb("save", "save the minutes in memory as a recording", _save, "[FILE]"),
    Verb("baseline", "compare with the end of a recording; without a file, with what is shown, or no longer", _baseline,
         "[FILE]"),
    Verb("csv", "the table as CSV: into a file, or copied", _csv, "[FILE]"),
)  # fmt: skip


# ---------------------------------------------------------------- all that there are


def _press(key: keys.Key, app: ConcviewApp, said: str) -> str:
    app.call_later(app.press, key)
    return ""


def offered(app: ConcviewApp) -> list[Verb]:
    """The verbs of the screen that is shown."""
    shown = _dashboard(app)
    scopes = {"app", "dashboard" if shown is not None else "picker"}
    if shown is not None:
        scopes |= {"inside", getattr(shown.view, "scope", "")}
        if shown.paused and shown.kept is not None:
            scopes.add("time")
    found = list(WITH_ARGUMENTS) if shown is not None else []
    taken = {verb.name for verb in found}
    for key in keys.table():
        name = key.id.removeprefix("pick_").replace("_", "-")
        if key.scope not in scopes or key.id in ("palette", "command") or key.id.startswith("tab_") or name in taken:
            continue
        if key.view and shown is not None and not hasattr(shown.view, "do_" + key.action[6:-2]):
            continue
        found.append(Verb(name, key.help, partial(_press, key), key=key))
    return found


def palette(app: ConcviewApp) -> list[tuple[str, str, Callable[[], object]]]:
    """Title, help and what it does, for every entry of the palette."""
    found: list[tuple[str, str, Callable[[], object]]] = []
    for verb in offered(app):
        title = f"{verb.help[0].upper()}{verb.help[1:]}"
        if verb.key is not None:
            found.append((f"{title} ({verb.key.shown})", f":{verb.name}", partial(perform, app, verb, "")))
        elif verb.each:
            word = verb.name.capitalize()
            for choice in verb.choices(app):
                entry = partial(perform, app, verb, choice.value)
                found.append((f"{word}: {choice.title or choice.value}", f":{verb.name} {choice.value}", entry))
        else:
            ask = partial(_shown(app).open_command, f"{verb.name} ")
            found.append((f"{title} …", f":{verb.name} {verb.argument}", ask))
    return found


def perform(app: ConcviewApp, verb: Verb, argument: str) -> None:
    """What cannot be is said."""
    wrong = verb.run(app, argument)
    if wrong:
        app.notify(wrong, severity="warning", markup=False)


def find(app: ConcviewApp, name: str) -> tuple[Verb | None, str]:
    """The verb with this name, or the only one that begins with it; else what is wrong."""
    verbs = {verb.name: verb for verb in offered(app)}
    if name in verbs:
        return verbs[name], ""
    near = [verb for verb in verbs.values() if verb.name.startswith(name)]
    if len(near) == 1:
        return near[0], ""
    if near:
        return None, f"'{name}' may be {', '.join(verb.name for verb in near)}"
    return None, f"no command '{name}'; tab completes, {keys.by_id('help').shown} lists the keys"


def execute(app: ConcviewApp, line: str) -> None:
    """One line as it was typed."""
    name, _, argument = line.strip().partition(" ")
    if not name:
        return
    verb, wrong = find(app, name)
    if verb is None:
        app.notify(wrong, severity="warning", markup=False)
        return
    perform(app, verb, argument.strip())


def completions(app: ConcviewApp, line: str) -> list[str]:
    """Whole lines that begin with what was typed."""
    name, blank, rest = line.partition(" ")
    if not blank:
        return [verb.name + (" " if verb.argument else "") for verb in offered(app) if verb.name.startswith(name)]
    verb, _ = find(app, name)
    if verb is None or not verb.argument:
        return []
    before, _, word = rest.rpartition(" ") if "..." in verb.argument else ("", "", rest)
    head = f"{verb.name} {before} " if before else f"{verb.name} "
    asked = word.lower()
    choices = [c.value for c in verb.choices(app)]
    chosen = set(before.split())
    found = [c for c in choices if c.lower().startswith(asked) and c not in chosen]
    return [head + c for c in found or [c for c in choices if asked in c.lower() and c not in chosen]]

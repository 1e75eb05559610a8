"""`concview completion bash|zsh|fish`: what a shell needs to complete concview's commands, options and arguments."""

from __future__ import annotations

import argparse
import sys
from typing import Any

from concview.commands.base import Command, Exit, build_parser, commands

#: Shell functions for process ids: a quick list of processes that look like Python, no rights needed. zsh and fish show
#: the command beside each, by ps, which prints one line for each whatever its arguments hold.
_PIDS = {
    "bash": '_concview_pids() { compgen -W "$(pgrep -f \'[p]ython\' 2>/dev/null)" -- "$1"; }\n',
    "zsh": "_concview_pids() {\n"
    "  setopt localoptions extendedglob\n"
    "  local -a lines pids\n"
    "  lines=(${(f)\"$(ps -eo pid=,args= | grep '[p]ython' | cut -c1-90)\"})\n"
    "  lines=(${lines## #})\n"
    "  pids=(${lines%% *})\n"
    "  compadd -V processes -l -d lines -a pids\n"
    "}\n",
    "fish": "function _concview_pids\n"
    "  ps -eo pid=,args= | string match '*python*' | string trim | string replace ' ' \\t\n"
    "end\n",
}
_PID = {"bash": "_concview_pids", "zsh": "_concview_pids", "fish": "(_concview_pids)"}
_FILE = {"bash": "_shtab_compgen_files", "zsh": "_files", "fish": "(__fish_complete_path (commandline -ct))"}
_FOLDER = {"bash": "_shtab_compgen_dirs", "zsh": "_files -/", "fish": "(__fish_complete_directories)"}
#: Arguments that are files, by the name that the help gives them.
_FILES = frozenset({"FILE", "OUT", "PYTHON", "BASE", "NEW"})
_FOLDERS = frozenset({"DIR"})

#: Command and argument that takes the name of one of these.
_NAMES = {
    ("catalogue", "id"): "concview.catalogue.rules",
    ("record", "when"): "concview.catalogue.rules",
    ("demo", "id"): "concview.demos",
    ("export", "format"): "concview.exporters",
}


def configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("shell", choices=["bash", "zsh", "fish"])


def run(options: argparse.Namespace) -> int:
    import shtab

    known = commands()
    parser, parsers = build_parser(known)
    for name, sub in parsers.items():
        sub.description = known[name].summary  # beside a command there is room for one line
        for action in sub._actions:
            _tell(name, action)
    # As its documentation says: a text for each shell. Its annotation knows the text alone.
    preamble: Any = {shell: text for shell, text in _PIDS.items() if shell == options.shell} or None
    sys.stdout.write(shtab.complete(parser, shell=options.shell, preamble=preamble))
    return Exit.FINE


def _tell(command: str, action: Any) -> None:
    """What may stand there: `shtab` reads `complete` and `choices`; the parser itself is not used for anything else."""
    from concview import registry

    names = action.metavar if isinstance(action.metavar, str) else ""
    words = set(names.replace("|", " ").replace("/", " ").split())
    if action.choices is not None:
        return
    if "PID" in words:
        action.complete = _PID
    elif words & _FILES:
        action.complete = _FILE
    elif words & _FOLDERS:
        action.complete = _FOLDER
    elif (package := _NAMES.get((command, action.dest))) is not None:
        action.choices = [name.replace("_", "-") for name in registry.names(package)]


COMMAND = Command(
    name="completion",
    summary="completion for bash, zsh or fish",
    description="Print what a shell needs to complete concview's commands, options, files, process ids and rules.\n"
    "  bash: concview completion bash > ~/.local/share/bash-completion/completions/concview\n"
    "  zsh:  concview completion zsh > a folder of $fpath, as _concview\n"
    "  fish: concview completion fish > ~/.config/fish/completions/concview.fish",
    configure=configure,
    run=run,
    order=90,
)

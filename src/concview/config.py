"""Settings: `concview.toml`, environment variables and command-line flags merged into one `Config`.

Later wins: the defaults below, then the file, then the environment, then flags. The file is the one named by `--config`
or CONCVIEW_CONFIG, else `./concview.toml`, else `concview/concview.toml` in the user's configuration folder
($XDG_CONFIG_HOME or ~/.config). Of the environment CONCVIEW_ENGINE, CONCVIEW_RATE, CONCVIEW_BUDGET, CONCVIEW_MOUSE,
CONCVIEW_THEME and CONCVIEW_LABELS are read.

    engine = "auto"                 # auto, direct or pyspy
    rate = 100                      # samples a second asked for, 1 to 1000
    budget = 5                      # CPU the collector may use, percent of one core
    labels = "safe"                 # what is told of requests, jobs and queries: off, safe (templates and fingerprints
                                    # only) or full (paths and statements as they are)
    mouse = true                    # false: the terminal keeps its mouse, to select text with
    theme = "dark"                  # dark, light, ansi, ansi-light, contrast or colour-blind
    remember = true                 # false: sort orders, columns and the last view are not kept

    [keys]                          # keys of one's own, by the ids in docs/keys.md
    pause = "p"
    processes = "ctrl+o"

    [rules]
    only = ["lock-*", "deadlock"]   # nothing else is judged (default: every rule)
    disable = ["thread-explosion"]  # never reported, whatever `only` says
    only_threads = ["web-*"]        # rules look at these threads only, by name (default: all)
    exclude_threads = ["pydevd*"]   # threads that no rule looks at, whatever `only_threads` says
    exclude_places = ["vendor/*"]   # findings whose first line is in such a file, or file:function, are not reported

    [rules.thresholds.lock-contention]
    info = 0.5                      # either, or both
    warn = 2.0

    [rules.options.slow-logging]    # the same for one rule alone, in addition to the above
    exclude_threads = ["audit-*"]
    exclude_places = ["audit.py:Journal.write"]

All lists hold patterns: * ? [] as in file names. A place's file may be given by the end of its path.
"""

from __future__ import annotations

import difflib
import os
import tomllib
from collections.abc import Collection, Iterator, Mapping
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec

FILE_NAME = "concview.toml"
EngineName = Literal["auto", "direct", "pyspy"]
LabelsName = Literal["off", "safe", "full"]
ThemeName = Literal["dark", "light", "ansi", "ansi-light", "contrast", "colour-blind"]
#: Environment variable -> key of the file. CONCVIEW_CONFIG and CONCVIEW_DEBUG are read elsewhere.
ENVIRONMENT = {
    "CONCVIEW_ENGINE": "engine",
    "CONCVIEW_RATE": "rate",
    "CONCVIEW_BUDGET": "budget",
    "CONCVIEW_MOUSE": "mouse",
    "CONCVIEW_THEME": "theme",
    "CONCVIEW_LABELS": "labels",
}


class ConfigError(Exception):
    """A setting that cannot be used. The message says where it was made and what is allowed."""


class Limits(msgspec.Struct, frozen=True):
    """Thresholds of one rule in place of its own; None leaves the rule's."""

    info: float | None = None
    warn: float | None = None


class RuleOptions(msgspec.Struct, frozen=True):
    """What one rule alone leaves out, in addition to what all do."""

    exclude_threads: tuple[str, ...] = ()
    exclude_places: tuple[str, ...] = ()


class RuleConfig(msgspec.Struct, frozen=True):
    """What the user changed about the rules. Rules are named by their ids ('lock-contention') or patterns of them."""

    only: tuple[str, ...] = ()
    disable: tuple[str, ...] = ()
    thresholds: dict[str, Limits] = {}
    only_threads: tuple[str, ...] = ()
    exclude_threads: tuple[str, ...] = ()
    exclude_places: tuple[str, ...] = ()
    options: dict[str, RuleOptions] = {}

    def refuses(self, rule: str) -> str:
        """Why a rule is not to judge at all; empty when it is."""
        if _matches(rule, self.disable):
            return "switched off in the settings (rules.disable)"
        if self.only and not _matches(rule, self.only):
            return "not among those that the settings allow (rules.only)"
        return ""

    def thread_patterns(self, rule: str) -> tuple[str, ...]:
        """Patterns of the threads that a rule does not look at."""
        options = self.options.get(rule)
        return (*self.exclude_threads, *(options.exclude_threads if options is not None else ()))

    def excludes(self, thread_name: str, rule: str = "") -> bool:
        """True for a thread that the rule ('': no rule at all) is not to look at."""
        if self.only_threads and not _matches(thread_name, self.only_threads):
            return True
        return _matches(thread_name, self.thread_patterns(rule))

    def accepts(self, rule: str, file: str, function: str) -> bool:
        """True when what a rule finds at this place is not to be reported."""
        options = self.options.get(rule)
        patterns = (*self.exclude_places, *(options.exclude_places if options is not None else ()))
        return any(_is_at(pattern, file, function) for pattern in patterns)

    def unknown(self, rules: Collection[str]) -> list[str]:
        """What is named here as a rule and is none, or matches none."""
        patterns = [*self.only, *self.disable]
        missing = [p for p in patterns if not any(fnmatchcase(rule, p) for rule in rules)]
        return sorted({*missing, *({*self.thresholds, *self.options} - set(rules))})


def _matches(name: str, patterns: tuple[str, ...]) -> bool:
    return any(fnmatchcase(name, pattern) for pattern in patterns)


def _is_at(pattern: str, file: str, function: str) -> bool:
    """'cache.py', 'app/cache.py:Cache.get', '*/vendor/*': a file by the end of its path, and maybe a function in it."""
    path, colon, name = pattern.rpartition(":")
    if not colon:
        path, name = pattern, "*"
    return fnmatchcase(function, name) and (fnmatchcase(file, path) or fnmatchcase(file, f"*/{path}"))


class Config(msgspec.Struct, frozen=True):
    """All settings, valid."""

    engine: EngineName = "auto"
    rate: Annotated[float, msgspec.Meta(ge=1, le=1000)] = 100.0
    budget: Annotated[float, msgspec.Meta(gt=0, le=100)] = 5.0
    labels: LabelsName = "safe"
    gentle: bool = False  #: nothing is opened that costs the process anything: no exact waits
    mouse: bool = True
    theme: ThemeName = "dark"
    remember: bool = True  #: sort orders, columns and the last view of the dashboard
    keys: dict[str, str] = {}  #: id of a key of the dashboard -> keys in its place, comma-separated
    rules: RuleConfig = RuleConfig()


#: Tables of [rules] with one table for each rule id.
_PER_RULE: dict[str, type[msgspec.Struct]] = {"thresholds": Limits, "options": RuleOptions}
#: What a value must be, in words: the validator's own messages speak of types.
_ALLOWED = {
    "engine": "auto, direct or pyspy",
    "rate": "a number from 1 to 1000 (samples a second)",
    "budget": "a number above 0 and up to 100 (percent of one core)",
    "labels": "off, safe or full",
    "gentle": "true or false",
    "mouse": "true or false",
    "theme": "dark, light, ansi, ansi-light, contrast or colour-blind",
    "remember": "true or false",
    "keys": "a table of texts: what a key does -> the key",
    "rules": "a table",
    "rules.only": "a list of rule ids or patterns",
    "rules.disable": "a list of rule ids or patterns",
    "rules.thresholds": "one table with 'info' and 'warn' for each rule id",
    "rules.only_threads": "a list of patterns for thread names",
    "rules.exclude_threads": "a list of patterns for thread names",
    "rules.exclude_places": "a list of patterns for files ('vendor/*') or functions ('cache.py:Cache.get')",
    "rules.options": "one table with 'exclude_threads' and 'exclude_places' for each rule id",
}


def load(
    flags: Mapping[str, object] | None = None,
    path: Path | None = None,
    environment: Mapping[str, str] | None = None,
) -> Config:
    """The settings in force. `flags` holds what was given on the command line (None: not given)."""
    environment = os.environ if environment is None else environment
    return merge(flags or {}, path or find(environment), environment, "--")


def merge(flags: Mapping[str, object], found: Path | None, environment: Mapping[str, str], prefix: str = "") -> Config:
    """Settings of these alone; no file is looked for. `prefix` stands before the name of a flag that is wrong."""
    merged: dict[str, Any] = {}
    if found is not None:
        raw = _read(found)
        merged = msgspec.to_builtins(parse(raw, str(found)))
    for variable, key in ENVIRONMENT.items():
        text = environment.get(variable, "").strip()
        if text:
            merged[key] = _one(key, text, variable)
    for key, value in flags.items():
        if value is not None:
            merged[key] = _one(key, value, f"{prefix}{key}")
    return msgspec.convert(merged, Config)


def find(environment: Mapping[str, str]) -> Path | None:
    """The configuration file in force; None when there is none. ConfigError when the named one does not exist."""
    named = environment.get("CONCVIEW_CONFIG", "")
    if named:
        return Path(named)
    home = environment.get("XDG_CONFIG_HOME") or (
        str(Path(environment["HOME"], ".config")) if environment.get("HOME") else ""
    )
    places = [Path(FILE_NAME), *([Path(home, "concview", FILE_NAME)] if home else [])]
    return next((p for p in places if p.is_file()), None)


def _read(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(f"{path}: {error.strerror}") from None
    except UnicodeDecodeError:
        raise ConfigError(f"{path}: not UTF-8 text") from None
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"{path}: not valid TOML: {error}") from None


def parse(raw: dict[str, Any], source: str) -> Config:
    """The content of a file as settings. Every unknown key is named."""
    unknown = list(_unknown(raw, Config, ""))
    if unknown:
        keys = ", ".join(unknown)
        raise ConfigError(f"{source}: unknown {'key' if len(unknown) == 1 else 'keys'} {keys}")
    try:
        config = msgspec.convert(raw, Config)
    except msgspec.ValidationError as error:
        where = str(error).rpartition("`$.")[2].rstrip("`") if "`$." in str(error) else ""
        key = where.split("[")[0]
        if key.startswith("rules.thresholds.") or (key == "rules.thresholds" and "[" in where):
            raise ConfigError(f"{source}: [rules.thresholds]: 'info' and 'warn' must be numbers") from None
        if key.startswith("rules.options.") or (key == "rules.options" and "[" in where):
            raise ConfigError(f"{source}: [rules.options]: must hold tables with lists of patterns") from None
        raise ConfigError(f"{source}: '{key}' must be {_ALLOWED.get(key, str(error))}") from None
    for rule, limits in config.rules.thresholds.items():
        if limits.info is not None and limits.warn is not None and limits.info > limits.warn:
            raise ConfigError(f"{source}: [rules.thresholds.{rule}]: 'info' must not be above 'warn'")
    return config


def _unknown(raw: object, struct: type[msgspec.Struct], prefix: str) -> Iterator[str]:
    """Keys of `raw` that `struct` does not have, with a near one that it has, for every level."""
    if not isinstance(raw, dict):
        return
    fields = {f.name: f.type for f in msgspec.structs.fields(struct)}
    for key, value in raw.items():
        if key not in fields:
            near = difflib.get_close_matches(key, fields, 1)
            hint = f"did you mean '{near[0]}'?" if near else f"known here: {', '.join(fields)}"
            yield f"'{prefix}{key}' ({hint})"
        elif fields[key] is RuleConfig:
            yield from _unknown(value, RuleConfig, f"{prefix}{key}.")
        elif key in _PER_RULE and isinstance(value, dict):
            for rule, inner in value.items():
                yield from _unknown(inner, _PER_RULE[key], f"{prefix}{key}.{rule}.")


def _one(key: str, value: object, source: str) -> object:
    """One value from the environment or a flag, checked as the file's are."""
    fields = {f.name: f.type for f in msgspec.structs.fields(Config)}
    try:
        # Not strict: environment variables and flags are text.
        return msgspec.convert(value, fields[key], strict=False)
    except msgspec.ValidationError:
        raise ConfigError(f"{source}: must be {_ALLOWED[key]}, not '{value}'") from None

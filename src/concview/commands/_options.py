"""Options that several commands share, and the settings made of them."""

from __future__ import annotations

import argparse
import math
import sys
from pathlib import Path

from concview.commands.base import CommandError, Exit
from concview.config import Config, ConfigError, RuleConfig, load


def add_sampling(parser: argparse.ArgumentParser) -> None:
    """How to look: --engine, --rate, --budget, --blocking, --config. Values are checked by `settings`."""
    group = parser.add_argument_group("sampling")
    group.add_argument("--engine", metavar="NAME", help="auto (default), direct or pyspy")
    group.add_argument("--rate", metavar="HZ", help="samples a second, 1 to 1000 (default 100)")
    group.add_argument("--budget", metavar="PERCENT", help="CPU the sampling may use, of one core (default 5)")
    group.add_argument(
        "--labels", metavar="MODE", help="requests, jobs and queries: off, safe (default: no paths, no values) or full"
    )
    group.add_argument("--blocking", action="store_true", help="py-spy only: pause the target for each sample")
    group.add_argument(
        "--gentle", action="store_true", help="nothing that costs the process anything: no exact waits by the kernel"
    )
    add_config(parser)


def add_config(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--config", metavar="FILE", help="settings (default: ./concview.toml, then the user's)")


def add_python(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--python", metavar="INTERPRETER", default=sys.executable, help="interpreter to run it with (default: ours)"
    )


def settings(options: argparse.Namespace) -> Config:
    """The settings in force: file, environment, flags. CommandError names what is wrong."""
    flags = {key: getattr(options, key, None) for key in ("engine", "rate", "budget", "labels")}
    flags["gentle"] = getattr(options, "gentle", False) or None
    try:
        config = load(flags, Path(options.config) if options.config else None)
    except ConfigError as error:
        raise CommandError(str(error), Exit.USAGE) from None
    rules = config.rules
    if rules.only or rules.disable or rules.thresholds or rules.options:
        _check_rules(rules)
    return config


def _check_rules(rules: RuleConfig) -> None:
    """A rule id that does not exist would otherwise switch nothing off, silently."""
    from concview import api

    unknown, known = api.unknown_rules(rules)
    if unknown:
        raise CommandError(
            f"the settings name rules that do not exist: {', '.join(unknown)}", Exit.USAGE, f"rules: {', '.join(known)}"
        )


def pid_of(text: str) -> int:
    """A process id as typed."""
    # isdecimal alone accepts digits of every script; the kernel's largest pid has seven digits.
    if text.isascii() and text.isdecimal() and 0 < int(text[:10]) < 2**31:
        return int(text[:10]) if len(text) <= 10 else _not_a_pid(text)
    return _not_a_pid(text)


def _not_a_pid(text: str) -> int:
    raise CommandError(f"'{text}' is not a process id", Exit.USAGE, "'concview' without arguments lists the processes")


def seconds_of(text: str, option: str, maximum: float = 86400.0) -> float:
    """A duration as typed, in seconds."""
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not 0 < value <= maximum:
        raise CommandError(
            f"{option}: must be a number of seconds above 0 and up to {maximum:g}, not '{text}'", Exit.USAGE
        )
    return value

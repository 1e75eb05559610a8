"""Settings: file, environment and flags, and what is said of wrong ones."""

from __future__ import annotations

from pathlib import Path

import pytest

from concview.commands import _options
from concview.commands.base import CommandError, parse
from concview.config import Config, ConfigError, Limits, RuleConfig, RuleOptions, load

FULL = """
engine = "direct"
rate = 250
budget = 2.5

[rules]
disable = ["thread-explosion"]
exclude_threads = ["pydevd*"]

[rules.thresholds.lock-contention]
info = 0.5
"""


def test_defaults() -> None:
    assert load(environment={}) == Config("auto", 100.0, 5.0)


def test_the_file(tmp_path: Path) -> None:
    path = tmp_path / "concview.toml"
    path.write_text(FULL)
    config = load(path=path, environment={})
    assert (config.engine, config.rate, config.budget) == ("direct", 250.0, 2.5)
    assert config.rules.disable == ("thread-explosion",)
    assert config.rules.thresholds == {"lock-contention": Limits(0.5, None)}
    assert config.rules.excludes("pydevd.Writer") and not config.rules.excludes("worker")


def test_flags_beat_the_environment_beats_the_file(tmp_path: Path) -> None:
    path = tmp_path / "concview.toml"
    path.write_text("rate = 10\nbudget = 1\nengine = 'pyspy'")
    environment = {"CONCVIEW_CONFIG": str(path), "CONCVIEW_RATE": "20", "CONCVIEW_BUDGET": "2", "CONCVIEW_MOUSE": "0"}
    config = load({"rate": "30", "budget": None}, environment=environment)
    assert (config.rate, config.budget, config.engine, config.mouse) == (30.0, 2.0, "pyspy", False)


def test_where_the_file_is_looked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "here").mkdir()
    (tmp_path / "home" / "concview").mkdir(parents=True)
    (tmp_path / "home" / "concview" / "concview.toml").write_text("rate = 11")
    monkeypatch.chdir(tmp_path / "here")
    environment = {"XDG_CONFIG_HOME": str(tmp_path / "home")}
    assert load(environment=environment).rate == 11
    (tmp_path / "here" / "concview.toml").write_text("rate = 12")
    assert load(environment=environment).rate == 12


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("rat = 5\n[rules]\ndisabled = []", ["'rat' (did you mean 'rate'?)", "'rules.disabled' (did you mean 'disab"]),
        ("zzz = 1", ["'zzz'", "known here: engine, rate, budget, labels, gentle, mouse, theme, remember, keys, rules"]),
        ("rate = 0", ["'rate' must be a number from 1 to 1000"]),
        ("rate = nan", ["'rate' must be a number from 1 to 1000"]),
        ("rate = 'x'", ["'rate' must be a number"]),
        ("engine = 'x'", ["'engine' must be auto, direct or pyspy"]),
        ("budget = 101", ["'budget' must be a number above 0"]),
        ("rules = 3", ["'rules' must be a table"]),
        ("[rules]\ndisable = 'x'", ["'rules.disable' must be a list of rule ids"]),
        ("[rules]\nonly = 'x'", ["'rules.only' must be a list of rule ids"]),
        ("[rules]\nexclude_places = 3", ["'rules.exclude_places' must be a list of patterns for files"]),
        ("[rules.options.a]\nexclude = []", ["'rules.options.a.exclude' (did you mean 'exclude_"]),
        ("[rules.options.a]\nexclude_threads = 3", ["[rules.options]", "lists of patterns"]),
        ("[rules.thresholds.a]\ninfo = 'x'", ["[rules.thresholds]", "must be numbers"]),
        ("[rules.thresholds.a]\ninf = 1", ["'rules.thresholds.a.inf' (did you mean 'info'?)"]),
        ("[rules.thresholds.a]\ninfo = 2\nwarn = 1", ["'info' must not be above 'warn'"]),
        ("rate = ", ["not valid TOML"]),
    ],
)
def test_wrong_files(tmp_path: Path, text: str, words: list[str]) -> None:
    path = tmp_path / "concview.toml"
    path.write_text(text)
    with pytest.raises(ConfigError) as caught:
        load(path=path, environment={})
    assert str(caught.value).startswith(str(path))
    for word in words:
        assert word in str(caught.value)


def test_unreadable_files(tmp_path: Path) -> None:
    (tmp_path / "binary").write_bytes(b"\xff\xfe\x00")
    for path, word in ((tmp_path / "none", "No such file"), (tmp_path, "directory"), (tmp_path / "binary", "UTF-8")):
        with pytest.raises(ConfigError, match=word):
            load(path=path, environment={})


@pytest.mark.parametrize("value", ["abc", "0", "1001", "nan", "inf", "-5", "1_0"])
def test_wrong_flags_and_variables(value: str) -> None:
    with pytest.raises(ConfigError, match=r"^--rate: must be a number from 1 to 1000"):
        load({"rate": value}, environment={})
    with pytest.raises(ConfigError, match=r"^CONCVIEW_RATE: must be a number"):
        load(environment={"CONCVIEW_RATE": value})


def test_a_rule_that_does_not_exist_is_named(tmp_path: Path) -> None:
    path = tmp_path / "c.toml"
    path.write_text("[rules]\ndisable = ['deadlok', 'deadlock']")
    _, options = parse(["check", "1", "--config", str(path)])
    with pytest.raises(CommandError, match=r"rules that do not exist: deadlok$"):
        _options.settings(options)


@pytest.mark.parametrize("text", ["only = ['dead*k', 'lokc-*']", "disable = ['lokc-*']", "[rules.options.'lokc-*']"])
def test_a_pattern_that_matches_no_rule_is_named(tmp_path: Path, text: str) -> None:
    path = tmp_path / "c.toml"
    path.write_text(f"[rules]\n{text}\n")
    _, options = parse(["check", "1", "--config", str(path)])
    with pytest.raises(CommandError, match=r"rules that do not exist: lokc-\*$"):
        _options.settings(options)


def test_allow_and_deny_lists_of_rules() -> None:
    rules = RuleConfig(only=("lock-*", "deadlock"), disable=("lock-order-*",))
    judged = {"lock-contention", "deadlock"}
    for rule in (*judged, "lock-order-inversion", "gc-storm"):
        assert bool(rules.refuses(rule)) == (rule not in judged)
    assert not RuleConfig().refuses("gc-storm")


def test_threads_are_left_out_by_name() -> None:
    rules = RuleConfig(
        only_threads=("web-*", "db-*"),
        exclude_threads=("web-9",),
        options={"slow-logging": RuleOptions(exclude_threads=("db-*",))},
    )
    assert [n for n in ("web-1", "web-9", "db-1", "MainThread") if not rules.excludes(n)] == ["web-1", "db-1"]
    assert rules.excludes("db-1", "slow-logging") and not rules.excludes("db-1", "gc-storm")


@pytest.mark.parametrize(
    ("pattern", "accepted"),
    [
        ("cache.py", True),
        ("cache.py:Cache.get", True),
        ("app/cache.py:Cache.*", True),
        ("/srv/*", True),
        ("*/app/*", True),
        ("ache.py", False),
        ("cache.py:get", False),
        ("other.py", False),
        ("cache.py:", False),
    ],
)
def test_places_are_accepted(pattern: str, accepted: bool) -> None:
    everywhere = RuleConfig(exclude_places=(pattern,))
    for_one = RuleConfig(options={"deadlock": RuleOptions(exclude_places=(pattern,))})
    assert everywhere.accepts("deadlock", "/srv/app/cache.py", "Cache.get") == accepted
    assert for_one.accepts("deadlock", "/srv/app/cache.py", "Cache.get") == accepted
    assert not for_one.accepts("gc-storm", "/srv/app/cache.py", "Cache.get")

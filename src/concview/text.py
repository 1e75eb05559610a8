"""Untrusted strings made safe, and numbers made readable. Nothing here knows the rest of the project.

Everything read from a target (thread names, paths, function names, command lines) is written by whoever wrote the
target. `clean` is called where such a string enters the program and nowhere else.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

#: C0 and C1 controls, DEL, line separators, bidirectional controls, zero-width and tag characters, lone surrogates.
_UNSAFE = re.compile(
    "[\x00-\x1f\x7f-\x9f\u00ad\u061c\u180e\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb"
    "\U000e0000-\U000e007f\ud800-\udfff]"
)
#: Longest string kept from a target; longer ones are cut with an ellipsis.
MAX_LENGTH = 240
_BREAKS = re.compile(r"\s*[\n\r\t]\s*")
_POOL_NAME = re.compile(r"^(?:Thread-\d+ \((?P<target>.+)\)|(?P<prefix>.*?)[-_ #]*\d+)$")


def _escape(match: re.Match[str]) -> str:
    code = ord(match.group())
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}"


def one_line(raw: str) -> str:
    """A text of several lines, as the program behind `python -c`, on one; nothing else is changed."""
    return _BREAKS.sub(" ", raw).strip() if "\n" in raw or "\t" in raw or "\r" in raw else raw


def clean(raw: str, limit: int = MAX_LENGTH) -> str:
    """`raw` without anything a terminal could act on, at most `limit` characters.

    Control characters become visible escapes (``\\x1b``), so that two different names stay different.
    Idempotent. Never raises.
    """
    text = raw[: limit + 1]
    if not (text.isascii() and text.isprintable()):
        text = _UNSAFE.sub(_escape, text)
    if len(text) > limit:
        text = text[: limit - 1] + "…"
    return text


def percent(share: float, digits: int = 0) -> str:
    """A share 0..1 as '43 %'."""
    return f"{share * 100:.{digits}f} %"


def fine_percent(share: float) -> str:
    """A share whose first digits count, such as a threshold: '0.3 %', '1.5 %', '43 %'."""
    value = share * 100
    return f"{value:.2g} %" if abs(value) < 9.5 else f"{value:.0f} %"


#: Of units, the first word for one, where it is not the other without its s.
_ONE = {"children": "child", "switches": "switch"}


def of_unit(value: float, unit: str) -> str:
    """The unit behind that value: 'waiters', of 1 'waiter'; '5' 'tasks a worker', '1' 'task a worker'."""
    first, space, rest = unit.partition(" ")
    return f"{_ONE.get(first) or first.removesuffix('s')}{space}{rest}" if value == 1 else unit


def duration(seconds: float) -> str:
    """Seconds as people say them: '1.2 s', '340 ms', '85 µs', '3 min 20 s', '2 h 05 min'."""
    if seconds < 0:
        return "-" + duration(-seconds)
    if seconds < 0.001:
        return f"{seconds * 1e6:.0f} µs"
    if seconds < 1:
        return f"{seconds * 1e3:.3g} ms" if seconds < 0.01 else f"{seconds * 1e3:.0f} ms"
    if seconds < 60:
        return f"{seconds:.1f} s"
    if seconds < 3600:
        return f"{int(seconds) // 60} min {int(seconds) % 60:02d} s"
    return f"{int(seconds) // 3600} h {int(seconds) % 3600 // 60:02d} min"


def count(number: float) -> str:
    """A count or rate in four columns or fewer: '7', '1.2k', '3.4M'."""
    for limit, unit in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if abs(number) >= limit:
            scaled = number / limit
            return f"{scaled:.0f}{unit}" if abs(scaled) >= 100 else f"{scaled:.1f}{unit}"
    return f"{number:.0f}" if abs(number) >= 10 or number == int(number) else f"{number:.1f}"


def size(amount: float) -> str:
    """Bytes as '12 KiB', '3.4 GiB'."""
    for unit in ("B", "KiB", "MiB", "GiB"):
        if abs(amount) < 1024:
            return f"{amount:.0f} {unit}" if unit == "B" or abs(amount) >= 10 else f"{amount:.1f} {unit}"
        amount /= 1024
    return f"{amount:.1f} TiB"


def plural(number: int, noun: str, plural_form: str | None = None) -> str:
    """'1 thread', '3 threads'."""
    return f"{number} {noun if number == 1 else plural_form or noun + 's'}"


def waits(number: int) -> str:
    """The verb behind so many: 'waits', 'wait'."""
    return "waits" if number == 1 else "wait"


def with_article(noun: str) -> str:
    """'a pipe', 'an eventfd'."""
    return f"{'an' if noun[:1] in 'aeio' else 'a'} {noun}"


def listed(names: Sequence[str], most: int) -> str:
    """'a, b, c, …': as many as may be."""
    return ", ".join(names[:most]) + (", …" if len(names) > most else "")


def file_name(path: str) -> str:
    """The last part of a path; with its folder where many files have that name: 'logging/__init__.py'."""
    folder, _, name = path.rpartition("/")
    package = folder.rpartition("/")[2] if name in ("__init__.py", "__main__.py") else ""
    return f"{package}/{name}" if package else name


def short_path(path: str, width: int = 40) -> str:
    """The end of a path, cut at a slash where it can be."""
    if len(path) <= width:
        return path
    tail = path[-(width - 1) :]
    slash = tail.find("/")
    return "…" + (tail[slash:] if 0 <= slash < width // 2 else tail)


def group(name: str) -> str:
    """The pool a thread's name belongs to: 'web-3' -> 'web', 'Thread-7 (serve)' -> 'serve'."""
    match = _POOL_NAME.match(name)
    if match is None:
        return name
    return match["target"] or match["prefix"] or name


def pool(name: str) -> str:
    """The names of a pool's threads as a pattern: 'web-3' -> 'web-*', 'Thread-7 (serve)' -> 'Thread-* (serve)'; a name
    without a number is all there is of its pool."""
    match = _POOL_NAME.match(name)
    if match is None:
        return name
    if match["target"]:
        return f"Thread-* ({match['target']})"
    return name.rstrip("0123456789") + "*" if match["prefix"] else name


#: Options of the interpreter whose value is a word of its own.
_WITH_VALUE = frozenset({"-W", "-X", "--check-hash-based-pycs"})


def short_command(command: tuple[str, ...]) -> str:
    """'worker.py --port 80' rather than '/usr/bin/python3.13 /srv/app/worker.py --port 80'."""
    words = list(command)
    if words and words[0].rpartition("/")[2].startswith("python"):
        words = words[1:]
        while words and words[0].startswith("-") and words[0] not in ("-m", "-c", "-"):
            words = words[2 if words[0] in _WITH_VALUE else 1 :]
    if words and words[0] == "-c":
        words = [words[0], *(word.strip() for word in words[1:2]), *words[2:]]
    if words and words[0].startswith("/"):
        words[0] = words[0].rpartition("/")[2]
    return " ".join(words) or " ".join(command) or "?"

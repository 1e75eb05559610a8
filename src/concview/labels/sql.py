"""Fingerprints of SQL statements: keywords and names, never a literal.

There are libraries that take SQL to pieces, but each has to know the dialect, and but for a few drivers of one database
a statement does not tell it: `"x"` is a name in PostgreSQL and a text in MySQL, a backslash ends a text here and not
there, `#` begins a comment or is an operator. So what is kept is only what is no literal in any of them, and where
dialects disagree about where something ends, the fingerprint ends.
"""

from __future__ import annotations

import re

#: Characters of a fingerprint; of a statement that are looked at.
LONGEST, LOOKED_AT = 160, 4000
#: The statements whose names are kept; of others the first words tell enough (SET, PRAGMA and ATTACH have values that
#: look like names).
_WITH_NAMES = frozenset({"SELECT", "INSERT", "UPDATE", "DELETE", "MERGE", "REPLACE", "WITH"})
_STATEMENTS = """ALTER ANALYZE ATTACH BEGIN CALL CHECKPOINT CLOSE CLUSTER COMMIT COPY CREATE DEALLOCATE DECLARE DETACH
DISCARD DO DROP END EXECUTE EXPLAIN FETCH GRANT KILL LISTEN LOAD LOCK MOVE NOTIFY OPTIMIZE PRAGMA PREPARE REFRESH
REINDEX RELEASE RENAME RESET REVOKE ROLLBACK SAVEPOINT SET SHOW START TABLE TRUNCATE UNLISTEN UNLOCK USE VACUUM
VALUES"""
_OBJECTS = "DATABASE FUNCTION INDEX SCHEMA SEQUENCE TABLE TRANSACTION TRIGGER TYPE USER VIEW WORK"
_FIRST, _SECOND = frozenset(_STATEMENTS.split()), frozenset(_OBJECTS.split())
#: Behind these a quoted name is a table's; anywhere else it may be a text (MySQL).
_BEFORE_TABLES = frozenset({"FROM", "JOIN", "INTO", "UPDATE", "TABLE"})
_TABLED = _WITH_NAMES - {"WITH"}
_SPACE = re.compile(r"[ \t\r\n\f\v]+")
_WORD = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_NUMBER = re.compile(r"(?:\d|\.\d)[\w.]*(?:(?<=[eE])[+-]\d+)?", re.ASCII)
#: `$1`, `:name`, `%s`, `%(name)s`, `?`, `@name`
_PLACEHOLDER = re.compile(r"\$\d+|%\([^()'\"`\\]*\)s|%s|%b|%t|\?\d*|:[A-Za-z_]\w*|@{1,2}[A-Za-z_]\w*", re.ASCII)
_BRACKETS = re.compile(r"\[[^\[\]'\"`\\#$-]*\]")
#: What may stand directly before a text and belongs to it.
_PREFIXES = frozenset({"E", "N", "X", "B", "R"})
_OPERATORS = frozenset("()+*<>=!~|&^,.%/:-")
_SIMPLE = re.compile(r"[A-Za-z_][A-Za-z0-9_$]{0,62}")
_CUT = "…"


#: Drivers of databases in which `"x"` is never a text, whatever the settings.
_QUOTE_NAMES = frozenset({"psycopg", "psycopg2", "asyncpg", "aiopg"})


def fingerprint(statement: str, driver: str = "") -> str:
    """'' where not even the first word is one of SQL's. `…` at the end: what follows could not be told apart, or is too
    long."""
    tokens, whole = _tokens(statement[:LOOKED_AT], driver in _QUOTE_NAMES)
    if not tokens:
        return ""
    words = [t.upper() for t in tokens[:2]]
    if words[0] in _FIRST:
        return " ".join([words[0], *(w for w in words[1:] if w in _SECOND)])
    if words[0] not in _WITH_NAMES:
        return ""
    return _written(tokens, whole and len(statement) <= LOOKED_AT)


def _tokens(text: str, names: bool) -> tuple[list[str], bool]:
    """The tokens as far as they are sure, literals and placeholders as '?', and whether these are all. `names`: what is
    in double quotes is a name."""
    found: list[str] = []
    levels = [False]  #: of the open brackets: a SELECT, DELETE, INSERT or UPDATE is in it
    at, size = 0, len(text)
    while at < size:
        char = text[at]
        if match := _SPACE.match(text, at):
            at = match.end()
        elif match := _WORD.match(text, at):
            end = match.end()
            if end == size == LOOKED_AT:
                return found, False  # it may go on behind the cut
            following = text[end : end + 1]
            if following in ("'", '"', "`", "\\", "$", "#", "&") or following > "\x7f":
                # The prefix of a text, or part of something that is a name in one dialect only.
                if following != "'" or match.group().upper() not in _PREFIXES:
                    return found, False
            else:
                found.append(match.group())
                levels[-1] = levels[-1] or match.group().upper() in _TABLED
            at = end
        elif char in "'\"`":
            end = _quoted(text, at)
            if end < 0:
                return [*found, "?"], False
            inner = text[at + 1 : end - 1]
            # In brackets FROM may be that of TRIM or EXTRACT.
            table = (names and char == '"') or (
                levels[-1] and bool(found) and (found[-1].upper() in _BEFORE_TABLES or _qualified(found))
            )
            found.append(inner if char != "'" and table and _SIMPLE.fullmatch(inner) else "?")
            at = end
        elif text.startswith("--", at):
            line = text[at:].partition("\n")[0]
            if not re.match(r"--(\s|$)", line) or re.search(r"['\"`\\]", line) or "\r" in line.rstrip("\r"):
                return found, False
            at += len(line)
        elif text.startswith("/*", at):
            end = text.find("*/", at + 2)
            if end < 0 or re.search(r"/\*|['\"`\\#]|--", text[at + 2 : end]):
                return found, False
            at = end + 2
        elif text.startswith("::", at):  # PostgreSQL's cast
            found.append("::")
            at += 2
        elif match := _NUMBER.match(text, at) or _PLACEHOLDER.match(text, at):
            found.append("?")
            at = match.end()
            if text[at : at + 1] in ("'", '"', "`", "$", "\\"):
                return found, False
        elif char == "[":
            match = _BRACKETS.match(text, at)
            if match is None:
                return found, False
            found.append("?")
            at = match.end()
        elif char == ";":
            return found, not text[at + 1 :].strip()
        elif char in _OPERATORS and not text.startswith("%(", at):
            found.append(char)
            at += 1
            if char == "(":
                levels.append(False)
            elif char == ")" and len(levels) > 1:
                levels.pop()
        else:
            return found, False
    return found, True


def _quoted(text: str, at: int) -> int:
    """Index behind a quoted piece; -1 where that is not the same in all dialects."""
    quote = text[at]
    end = at + 1
    while True:
        end = text.find(quote, end)
        if end < 0 or "\\" in text[at:end]:
            return -1
        if text[end + 1 : end + 2] != quote:
            return end + 1
        end += 2


def _qualified(found: list[str]) -> bool:
    """Whether what comes next is behind `FROM x.`."""
    return len(found) >= 3 and found[-1] == "." and found[-3].upper() in _BEFORE_TABLES and found[-2] != "?"


def _written(tokens: list[str], whole: bool) -> str:
    """With single spaces; lists of literals and repeated rows of them are written once."""
    words = [
        t.upper() if t.upper() in _KEYWORDS and (not i or tokens[i - 1] != ".") else t for i, t in enumerate(tokens)
    ]
    text = re.sub(r"([<>=!~|&]) (?=[<>=!~|&])", r"\1", " ".join(words)).replace(" :: ", "::")
    text = re.sub(r" ?([().,]) ?", r"\1", text)
    text = re.sub(r"\?(?:,\?)+", "?", text)
    text = re.sub(r"\(\?\)(?:,\(\?\))+", "(?)", text)
    text = re.sub(r",", ", ", text)
    text = re.sub(r"\)(?=\w)", ") ", text)
    text = re.sub(r"(?<=[A-Za-z0-9_?])\((?=\?|SELECT\b)", " (", text, flags=re.IGNORECASE)
    if len(text) > LONGEST:
        text, whole = text[: LONGEST - 1], False
    return text if whole else f"{text.rstrip()} {_CUT}" if not text.endswith(" ") else text + _CUT


_WORDS = """SELECT INSERT INTO UPDATE DELETE FROM WHERE SET VALUES AND OR NOT NULL IS IN LIKE JOIN LEFT RIGHT INNER
OUTER ON AS GROUP BY ORDER HAVING LIMIT OFFSET UNION ALL DISTINCT EXISTS BETWEEN CASE WHEN THEN ELSE END ASC DESC WITH
FOR RETURNING CONFLICT DO NOTHING SKIP LOCKED MERGE USING REPLACE"""
_KEYWORDS = frozenset(_WORDS.split())

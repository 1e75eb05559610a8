"""Fingerprints: what they keep, and that no literal of any dialect gets through."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from concview.labels.sql import LONGEST, LOOKED_AT, fingerprint

SECRET = "xyzzysecret"


@pytest.mark.parametrize(
    ("statement", "expected"),
    [
        ("SELECT i, n FROM o WHERE u = 5 AND n = 'bob'", "SELECT i, n FROM o WHERE u = ? AND n = ?"),
        ('select * from "shop"."order" o where o.x in (1, 2,3)', "SELECT * FROM shop.order o WHERE o.x IN (?)"),
        ("INSERT INTO t (a,b) VALUES (%s, %s), (%s,%s)", "INSERT INTO t(a, b) VALUES (?)"),
        ("update `t` set a = :new where id=$1 ;", "UPDATE t SET a = ? WHERE id = ?"),
        ("SELECT 1 -- the first\nFROM t", "SELECT ? FROM t"),
        ("SELECT /* plain */ 1", "SELECT ?"),
        ("SELECT $1::text, a FROM t", "SELECT ?::text, a FROM t"),
        ("BEGIN", "BEGIN"),
        ("create table secret_name (x)", "CREATE TABLE"),
        ("PRAGMA key = abc", "PRAGMA"),
        ("not sql at all", ""),
        ("", ""),
    ],
)
def test_what_is_kept(statement: str, expected: str) -> None:
    assert fingerprint(statement) == expected


@pytest.mark.parametrize("driver", ["psycopg", "psycopg2", "asyncpg"])
def test_what_is_a_name_in_the_drivers_only_database_is_kept(driver: str) -> None:
    statement = """SELECT "item"."id", "item"."Na me" FROM "item" WHERE "item"."id" = 5 AND x = 'xyzzysecret'"""
    assert fingerprint(statement, driver) == "SELECT item.id, item.? FROM item WHERE item.id = ? AND x = ?"
    assert fingerprint(statement, "sqlite3") == fingerprint(statement)  # there it may be a text


#: A secret where some dialect has a literal, a comment or free text.
PLANTED = [
    "SELECT a FROM t WHERE b = '{}'",
    "SELECT a FROM t WHERE b = 'it''s {}'",
    r"SELECT a FROM t WHERE b = E'it\'s {} ' AND c = 'x'",
    r"SELECT a FROM t WHERE b = 'it\'s FROM {} ' AND c = 'x'",
    r"SELECT a FROM t WHERE b = '\\' AND c = ' FROM {} '",
    'SELECT a FROM t WHERE b = "{}"',
    'SELECT "{}" FROM t',
    r'SELECT a FROM t WHERE b = "\" FROM {} "',
    'SELECT TRIM(BOTH "x" FROM "{}") FROM t',
    'SELECT EXTRACT(YEAR FROM "{}")',
    "SELECT a FROM t WHERE b = $${}$$",
    "SELECT a FROM t WHERE b = $tag$ FROM {} $tag$",
    "SELECT a FROM t # FROM {}\nWHERE b = 1",
    "SELECT a FROM t -- FROM {}\nWHERE b = 1",
    "SELECT a FROM t WHERE b = 5--'\nFROM {}\n'",
    "SELECT a FROM t /* FROM {} */ WHERE b = 1",
    "SELECT a FROM t /* /* */ FROM {} */ WHERE b = 1",
    "SELECT a FROM t /*! ' */ FROM {} ' */",
    "SELECT a FROM t WHERE b = N'{}' AND c = X'{}'",
    "SELECT a FROM t WHERE b = q'[it's FROM {}]'",
    "SELECT a FROM [it's] WHERE a = ' FROM {} '",
    "SELECT a FROM t WHERE b = '{}",
    "SELECT a FROM t WHERE b = '\n FROM {}\n",
    "SELECT a FROM `t` WHERE b = `{}`",
    "SELECT a FROM `t' FROM {} `",
    "SET password = {}",
    "SET application_name TO {}",
    "PRAGMA key = {}",
    "ALTER USER bob IDENTIFIED BY {}",
    "CREATE USER {} PASSWORD 'x'",
    "ATTACH DATABASE {} AS x KEY '{}'",
    "EXECUTE plan({})",
    "NOTIFY channel, '{}'",
    "SELECT a FROM t; {}",
    "SELECT a FROM t WHERE b = 'a' 'FROM {}'",
    "SELECT a FROM t WHERE b = U&'{}' UESCAPE '!'",
    "SELECT a FROM t WHERE b = _utf8'{}'",
    "SELECT a FROM t WHERE b = 0x{}",
    "SELECT a FROM t WHERE b = 12{}",
    "SELECT a FROM t WHERE b = :{} AND c = %({})s AND d = @{}",
    "{} SELECT a FROM t",
    "SELECT ＇{}＇ FROM t",
    "SELECT a FROM t WHERE b = \u2019{}\u2019",
]


@pytest.mark.parametrize("template", PLANTED)
def test_no_literal_gets_through(template: str) -> None:
    assert SECRET not in fingerprint(template.replace("{}", SECRET)).lower()
    # Nor where the statement breaks off anywhere.
    whole = template.replace("{}", SECRET)
    for end in range(len(whole)):
        assert SECRET not in fingerprint(whole[:end]).lower()


@given(
    before=st.text("ab '\"`\\$#-/*[](),;=\n", max_size=12),
    quote=st.sampled_from(["'", '"', "$$", "$x$"]),
    after=st.text("ab '\"`\\$#-/*[](),;=\n", max_size=12),
)
def test_a_standard_text_anywhere(before: str, quote: str, after: str) -> None:
    """Inside a PostgreSQL literal whatever stands before and after it in the same literal."""
    inside = f"{before} FROM {SECRET} {after}"
    text = inside.replace("'", "''") if quote == "'" else inside.replace('"', '""') if quote == '"' else inside
    if quote.startswith("$") and "$" in inside:
        return
    found = fingerprint(f"SELECT a FROM t WHERE b = {quote}{text}{quote} AND c = 1")
    assert SECRET not in found.lower()


@given(st.text(max_size=200))
def test_anything_gives_a_short_fingerprint(text: str) -> None:
    for statement in (text, f"SELECT {text}", f"SELECT a FROM t WHERE b = {text}"):
        assert len(fingerprint(statement)) <= LONGEST + 2


def test_a_statement_that_is_cut_says_so() -> None:
    found = fingerprint("SELECT a FROM t WHERE b = 'x' AND " + "c = 1 AND " * LOOKED_AT)
    assert found.endswith("…")

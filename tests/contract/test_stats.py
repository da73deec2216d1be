"""Statistics are the same on every engine, and right on each."""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path

import pytest

from query.test_stats import as_the_original, check, random_event, run, write
from turso_hooks.drivers import Database, EmbeddedDatabase, Statement, open_database, parse_database_url
from turso_hooks.query import Reader
from turso_hooks.query.stats import BY
from turso_hooks.store import FIRST_WITH_STATISTICS, Rollups, differences, prepare_schema
from turso_hooks.store.migrations import MIGRATIONS, statements_of

ENGINES = ["turso_server", "libsql_server", "file"]


@pytest.fixture(params=ENGINES)
def database(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Database]:
    url = f"file:{tmp_path}/stats.db" if request.param == "file" else request.getfixturevalue(request.param).url
    with open_database(parse_database_url(url)) as database:
        yield database


def do_things(database: Database, seed: int) -> None:
    """Events with replays, the original logger, and what a person may do."""
    pick = random.Random(seed)
    rollups = Rollups(database)
    for _ in range(6):
        events = [random_event(pick) for _ in range(60)]
        write(database, *events)
        write(database, *events[:20])
        as_the_original(pick, database)
        run(database, "UPDATE sessions SET project = ? WHERE id = ?", pick.choice(["p8", "p9"]), f"s{pick.randrange(6)}")
        run(database, "DELETE FROM messages WHERE id IN (SELECT id FROM messages ORDER BY id LIMIT 3)")
        rollups.do_some()
    session_id = f"s{pick.randrange(6)}"
    for table in ("tool_executions", "model_calls", "notes", "messages"):
        run(database, f"DELETE FROM {table} WHERE session_id = ?", session_id)
    run(database, "DELETE FROM sessions WHERE id = ?", session_id)


def test_every_engine_keeps_the_same_numbers(database: Database, tmp_path: Path) -> None:
    prepare_schema(database)
    do_things(database, 5)
    assert list(differences(database)) == []
    with EmbeddedDatabase(tmp_path / "other.db") as other:
        prepare_schema(other)
        do_things(other, 5)
        for by in BY:
            numbers = Reader(database).stats(by)
            assert numbers == Reader(other).stats(by)
            assert Reader(database).stats(by, agent_type="*") == Reader(other).stats(by, agent_type="*")
    check(database, "day")


def test_what_was_logged_before_is_counted_afterwards(database: Database) -> None:
    before = [migration for migration in MIGRATIONS if migration.version < FIRST_WITH_STATISTICS]
    database.transaction([Statement(sql) for migration in before for sql in statements_of(migration)])
    pick = random.Random(3)
    for _ in range(60):
        as_the_original(pick, database)
    for n in range(9):
        called = "INSERT INTO model_calls (id, session_id, model, status, started_at, input_tokens) VALUES (?, ?, ?, ?, ?, ?)"
        run(database, called, f"c{n}", "o1", "m2", "completed", "2026-01-30T12:00:00.000000Z", n)
    prepare_schema(database)
    rollups = Rollups(database)
    sessions = database.execute("SELECT count(*) FROM sessions").rows[0][0]
    assert Reader(database).stats().uncounted_sessions == rollups.uncounted() == sessions
    while rollups.is_waiting():
        as_the_original(pick, database)
        rollups.do_some()
    assert list(differences(database)) == []
    assert Reader(database).stats().uncounted_sessions == 0
    for by in BY:
        check(database, by)
